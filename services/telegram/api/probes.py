"""Whether a bot can be used: its token, and the call that sends."""

from __future__ import annotations

from services.telegram.api.client import Client
from shared.channel import Account, Failure, HealthChange, Identity, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit import loose
from shared.kit.failures import health_told

_NOBODY = {"chat_id": 0, "text": "."}  # no chat has this id: "chat not found"


async def check_sending(client: Client, account: Account) -> None:
    """Whether `sendMessage` is answered. Raises ProviderError."""
    await client.call(account, "sendMessage", _NOBODY)


async def identify(client: Client, account: Account) -> Identity:
    """The bot of the token. Raises ProviderError."""
    bot = await client.call(account, "getMe", {})
    told = bot if isinstance(bot, dict) else {}
    if not isinstance(told.get("id"), int):
        raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The answer names no bot."))
    return Identity(str(told["id"]), loose.text(told, "first_name", "username"))


async def probe(client: Client, account: Account) -> HealthChange:
    """Whether Telegram takes the token. Raises ProviderError when it does not say."""
    try:
        await client.call(account, "getMe", {})
    except ProviderError as refused:
        return health_told(refused)
    return HealthChange(Health.CONNECTED)
