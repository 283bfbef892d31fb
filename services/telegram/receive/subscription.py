"""How updates reach us: the webhook that Telegram calls, or long polling where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.telegram.api.client import Client
from services.telegram.peers import CHANNEL
from services.telegram.receive.inbound import ALLOWED_UPDATES, raw_item
from services.telegram.settings import Settings
from shared.channel import Account, Batch, Failure, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.http import webhook_url
from shared.kit.loose import Json

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


async def register_webhook(client: Client, settings: Settings, account: Account, base_url: str) -> None:
    """Set the webhook. The same parameters again change nothing. Raises ProviderError."""
    secret = account.credentials.get("webhook_secret")
    if not secret:
        raise ProviderError(Failure(ErrorCode.ACCOUNT_DISCONNECTED, detail="The account has no webhook secret."))
    parameters: Json = {
        "url": webhook_url(base_url, CHANNEL, account.account_id),
        "secret_token": secret,
        "allowed_updates": list(ALLOWED_UPDATES),
        "max_connections": settings.webhook_connections,
    }
    await client.call(account, "setWebhook", parameters)


async def check_webhook(client: Client, account: Account, base_url: str, now: float) -> str | None:
    """What is wrong with the webhook, in a sentence, or None. Raises ProviderError."""
    info: Json = await client.call(account, "getWebhookInfo", {}) or {}
    if not info.get("url"):
        return "No webhook is registered."
    if info["url"] != webhook_url(base_url, CHANNEL, account.account_id):
        return "The webhook points somewhere else: the bot's token may be in use by another system."
    missing = set(ALLOWED_UPDATES) - set(info.get("allowed_updates") or ())
    if missing:
        return f"The webhook does not bring {', '.join(sorted(missing))}."
    last_error = info.get("last_error_date")
    if isinstance(last_error, int) and now - last_error < _RECENT_ERROR:
        return f"Telegram's last delivery failed: {info.get('last_error_message') or 'it does not say why'}."
    pending = info.get("pending_update_count")
    if isinstance(pending, int) and pending >= _MANY_PENDING:
        return f"{pending} updates wait to be delivered."
    return None
