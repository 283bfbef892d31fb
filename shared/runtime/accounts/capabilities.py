"""What a channel can do for one account: the channel's word, what the provider said of it, the account's settings."""

from __future__ import annotations

import contextlib

from pydantic import ValidationError

from shared.channel import Account, Channel, VariesByAccount
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Capabilities, Rate, Rates
from shared.policy.text import parts_allowed
from shared.runtime.accounts.rates import ToldRates
from shared.runtime.accounts.registry import AccountRegistry


def capabilities_of(channel: Channel, account: AccountRecord, told: Rate | None) -> Capabilities:
    """The capabilities of an account. `told` is the rate that the provider gave it, where it gave one.

    The operator has the last word: `told` replaces the channel's usual rate and none that the account's settings make,
    and `settings.rates` replaces buckets by name; what is no rate is left out. `settings.max_text_parts` says into how
    many messages a text may be split.
    """
    found = channel.capabilities_of(account) if isinstance(channel, VariesByAccount) else channel.capabilities
    rates = found.rates
    if told is not None and rates.account == channel.capabilities.rates.account:
        rates = rates.model_copy(update={"account": told})
    own = account.settings.get("rates")
    if isinstance(own, dict):
        with contextlib.suppress(ValidationError):
            rates = Rates.model_validate({**rates.model_dump(), **own})
    most = parts_allowed(account.settings) if found.text.splits else found.text.max_parts
    if rates is found.rates and most == found.text.max_parts:
        return found
    return found.model_copy(update={"rates": rates, "text": found.text.model_copy(update={"max_parts": most})})


class AccountCapabilities:
    """What the channel can do for each account, worked out again when its record or the provider's word has changed."""

    def __init__(self, channel: Channel, accounts: AccountRegistry, told: ToldRates) -> None:
        self._channel = channel
        self._told = told
        self._known: dict[str, tuple[AccountRecord, Rate | None, Capabilities]] = {}
        accounts.on_change(self._forget)

    async def of(self, account: AccountRecord) -> Capabilities:
        """Raises StateUnavailable."""
        told = await self._told.of(account)
        known = self._known.get(account.account_id)
        if known is not None and known[0] is account and known[1] == told:
            return known[2]
        found = capabilities_of(self._channel, account, told)
        self._known[account.account_id] = (account, told, found)
        return found

    def _forget(self, account_id: str, account: Account | None) -> None:
        if account is None:
            self._known.pop(account_id, None)
