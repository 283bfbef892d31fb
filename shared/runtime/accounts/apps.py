"""Which app of the provider may tell of which account: a body proven by one says nothing about another's."""

from __future__ import annotations

from collections.abc import Iterable

from shared.channel import Channel, HasApps, RawItem
from shared.contract.accounts import AccountRecord
from shared.runtime.accounts.registry import AccountRegistry


def may_tell_of(channel: Channel, app: str | None, account: AccountRecord) -> bool:
    """Whether what `app` has proven may concern the account; None is what no app in particular has."""
    return app is None or not isinstance(channel, HasApps) or channel.app_of(account) == app


def may_all_be_told(channel: Channel, items: Iterable[RawItem], accounts: AccountRegistry) -> bool:
    """Whether each item concerns only accounts of the app that has proven it, or accounts that nobody knows."""
    proven = {(item.app, item.account_id, item.external_id) for item in items if item.app is not None}
    if not proven or not isinstance(channel, HasApps):  # the second takes as long as the rest of a webhook's checks
        return True
    return all(
        may_tell_of(channel, app, account)
        for app, account_id, external_id in proven
        for account in accounts.records_of(account_id, external_id)
    )
