"""Which app of the provider may tell of which account: a body proven by one says nothing about another's.

`apps` is the channel where it has apps, else None: to look the protocol up takes as long as the rest of these checks.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.channel import HasApps, RawItem
from shared.contract.accounts import AccountRecord
from shared.runtime.accounts.registry import AccountRegistry


def may_tell_of(apps: HasApps | None, app: str | None, account: AccountRecord) -> bool:
    """Whether what `app` has proven may concern the account; None is what no app in particular has."""
    return app is None or apps is None or apps.app_of(account) == app


def may_all_be_told(apps: HasApps | None, items: Iterable[RawItem], accounts: AccountRegistry) -> bool:
    """Whether each item concerns only accounts of the app that has proven it, or accounts that nobody knows."""
    if apps is None:
        return True
    proven = {(item.app, item.account_id, item.external_id) for item in items if item.app is not None}
    return all(
        may_tell_of(apps, app, account)
        for app, account_id, external_id in proven
        for account in accounts.records_of(account_id, external_id)
    )
