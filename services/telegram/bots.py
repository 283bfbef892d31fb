"""What concerns a bot as a whole: its webhook, its updates without one, its health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import time
from typing import Any

from services.telegram.client import Client
from services.telegram.inbound import ALLOWED_UPDATES, raw_item
from services.telegram.peers import CHANNEL
from services.telegram.settings import Settings
from shared.channel import Account, Batch, Failure, HealthChange, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health

Json = dict[str, Any]

_BATCH = 100
_RECENT_ERROR = 600  # seconds; Telegram keeps showing the last error long after it has passed
_MANY_PENDING = 1000


async def updates(client: Client, settings: Settings, account: Account, cursor: str | None) -> AsyncIterator[Batch]:
    """Long polling. The cursor is the id of the first update not yet seen: asking for it confirms those before."""
    offset = int(cursor) if cursor and cursor.isdigit() else 0
    while True:
        parameters: Json = {
            "timeout": settings.poll_timeout,
            "limit": _BATCH,
            "allowed_updates": list(ALLOWED_UPDATES),
        }
        if offset:
            parameters["offset"] = offset
        found = await client.call(account, "getUpdates", parameters, wait=settings.poll_timeout)
        batch = [update for update in found or () if isinstance(update, dict)]
        numbers = [number for update in batch if isinstance(number := update.get("update_id"), int)]
        offset = max(numbers, default=offset - 1) + 1
        yield Batch(tuple(raw_item(account.account_id, update) for update in batch), str(offset))


def webhook_url(account: Account, base_url: str) -> str:
    """Where Telegram is to call: the path holds our id of the account, never the token."""
    return f"{base_url.rstrip('/')}/webhooks/{CHANNEL}/{account.account_id}"


async def register_webhook(client: Client, settings: Settings, account: Account, base_url: str) -> None:
    """Set the webhook. The same parameters again change nothing. Raises ProviderError."""
    secret = account.credentials.get("webhook_secret")
    if not secret:
        raise ProviderError(Failure(ErrorCode.ACCOUNT_DISCONNECTED, detail="The account has no webhook secret."))
    parameters: Json = {
        "url": webhook_url(account, base_url),
        "secret_token": secret,
        "allowed_updates": list(ALLOWED_UPDATES),
        "max_connections": settings.webhook_connections,
    }
    await client.call(account, "setWebhook", parameters)


async def check_webhook(client: Client, account: Account, base_url: str) -> str | None:
    """What is wrong with the webhook, in a sentence, or None. Raises ProviderError."""
    info: Json = await client.call(account, "getWebhookInfo", {}) or {}
    if not info.get("url"):
        return "No webhook is registered."
    if info["url"] != webhook_url(account, base_url):
        return "The webhook points somewhere else: the bot's token may be in use by another system."
    missing = set(ALLOWED_UPDATES) - set(info.get("allowed_updates") or ())
    if missing:
        return f"The webhook does not bring {', '.join(sorted(missing))}."
    last_error = info.get("last_error_date")
    if isinstance(last_error, int) and time() - last_error < _RECENT_ERROR:
        return f"Telegram's last delivery failed: {info.get('last_error_message') or 'it does not say why'}."
    pending = info.get("pending_update_count")
    if isinstance(pending, int) and pending >= _MANY_PENDING:
        return f"{pending} updates wait to be delivered."
    return None


_NOBODY = {"chat_id": 0, "text": "."}  # no chat has this id: "chat not found"


async def check_sending(client: Client, account: Account) -> None:
    """Whether `sendMessage` is answered. Raises ProviderError."""
    await client.call(account, "sendMessage", _NOBODY)


async def probe(client: Client, account: Account) -> HealthChange:
    """Whether Telegram takes the token. Raises ProviderError when it does not say."""
    try:
        await client.call(account, "getMe", {})
    except ProviderError as refused:
        if refused.failure.health is None:
            raise
        return HealthChange(refused.failure.health, refused.failure.code, refused.failure.detail)
    return HealthChange(Health.CONNECTED)
