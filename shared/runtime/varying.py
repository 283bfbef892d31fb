"""What a channel can do for one account: the channel's word, and the rates that the account's settings give."""

from __future__ import annotations

from pydantic import ValidationError

from shared.channel import Channel, VariesByAccount
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Capabilities, Rates


def capabilities_of(channel: Channel, account: AccountRecord) -> Capabilities:
    """The capabilities of an account. `settings.rates` replaces buckets by name; what is no rate is left out."""
    found = channel.capabilities_of(account) if isinstance(channel, VariesByAccount) else channel.capabilities
    own = account.settings.get("rates")
    if not isinstance(own, dict):
        return found
    try:
        rates = Rates.model_validate({**found.rates.model_dump(), **own})
    except ValidationError:
        return found
    return found.model_copy(update={"rates": rates})
