"""The accounts of a channel as `channels.accounts` has them now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from time import monotonic, time

import structlog

from shared.channel import Account, Channel, NamesAccounts
from shared.contract.accounts import AccountRecord
from shared.contract.base import Model
from shared.runtime.accounts.owners import Claim, Names, Owners
from shared.runtime.accounts.sealing import (
    CannotOpen,
    Opened,
    SealedForAnother,
    unseal_credentials,
)
from shared.stream.errors import NotNow
from shared.stream.records import Record

log = structlog.get_logger()
Changed = Callable[[str, Account | None], None]
AWAITED_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 0.2
_SEALED_AGAIN_SECONDS = 1.0


class AccountSealed(NotNow):
    """The account is there, and this replica cannot open its record: what concerns it waits."""

    def __init__(self) -> None:
        super().__init__(_SEALED_AGAIN_SECONDS, "account_sealed")


class Standing(StrEnum):
    """How an account's newest record stands with this replica."""

    OPENED = "opened"
    OLD_FORMAT = "old_format"  # opened; sealed for nobody in particular, so that a copy of it opens as well
    SEALED = "sealed"  # to another key, or damaged
    UNREADABLE = "unreadable"  # no account record at all
    SEALED_FOR_ANOTHER = "sealed_for_another"  # a copy of what belongs to another account
    TAKEN = "taken"  # its `external_id` is another account's


_UNOPENED = frozenset({Standing.SEALED, Standing.UNREADABLE})


class AccountRegistry:
    """Accounts of one channel, opened; answers `Accounts` of the port. Fed by a `Table` of the accounts topic, and by
    one of the capabilities topic (`apply_claim`), which says whose a name is.

    A record that cannot be opened is no account that has gone: nothing is said of it and what concerns it waits, unless
    an older record of it is known, which then goes on. What is refused is not served, as if it were not there.
    """

    def __init__(self, channel: str, sealing_key: str | None, names: NamesAccounts | None = None) -> None:
        """`names` is the channel where it names accounts in a way of its own."""
        self._channel = channel
        self._naming = names
        self._sealing_key = sealing_key
        self._accounts: dict[str, Account] = {}  # opened, also those whose names are taken
        self._served: dict[str, Account] = {}
        self._elsewhere: set[str] = set()  # other channels' accounts, and those that are switched off
        self._known: dict[str, AccountRecord] = {}  # the newest readable record of each
        self._records: dict[str, Standing] = {}
        self._sealed_since: dict[str, float] = {}
        self._workspaces: dict[str, str] = {}
        self._locked_out: bool | None = None  # not known since a record has changed
        self._owners = Owners()
        self._standings: dict[str, Standing] = {}
        self._changed: list[Changed] = []
        self._stood: list[Callable[[str, Standing | None], None]] = []

    @classmethod
    def of(cls, channel: Channel, sealing_key: str | None) -> AccountRegistry:
        """The accounts of a channel, by the names it has for them."""
        return cls(channel.capabilities.channel, sealing_key, channel if isinstance(channel, NamesAccounts) else None)

    def __len__(self) -> int:
        return len(self._served)

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._served.values()))

    def get(self, account_id: str) -> Account | None:
        """The account, or None when there is none to serve. Raises AccountSealed."""
        account = self._served.get(account_id)
        if account is None and self.is_sealed(account_id):
            raise AccountSealed
        return account

    def served(self, account_id: str) -> Account | None:
        """The account where it is served here."""
        return self._served.get(account_id)

    def find(self, account_id: str | None, external_id: str | None) -> list[Account]:
        """By our id where it is given, else by the provider's: all accounts, where it names what they belong to.

        Raises AccountSealed when there are some and none can be opened.
        """
        named = self.names_of(account_id, external_id)
        found = [self._served[name] for name in named if name in self._served]
        if not found and any(map(self.is_sealed, named)):
            raise AccountSealed
        return found

    def is_anothers(self, external_id: str, account_id: str) -> bool:
        """Whether another account has the name, and not as what it belongs to. Raises AccountSealed as `find`."""
        return any(
            other.account_id != account_id and other.record.parent_id != external_id
            for other in self.find(None, external_id)
        )

    def records_of(self, account_id: str | None, external_id: str | None) -> list[AccountRecord]:
        """The records of the accounts that `find` names, those that cannot be opened as well."""
        return [self._known[name] for name in self.names_of(account_id, external_id) if name in self._known]

    def names_of(self, account_id: str | None, external_id: str | None) -> list[str]:
        """Our ids of the accounts that are meant, served or not."""
        return [account_id] if account_id is not None else self._owners.reached_by(self._spelled(external_id) or "")

    @staticmethod
    def expect(record: Record) -> None:
        """Raises NotNow while a record is too young for us to be sure that its account is unknown.

        Replicas hear of an account one by one, so what comes of it may be faster than the news that it is there.
        """
        if abs(time() - record.timestamp_ms / 1000) < AWAITED_SECONDS:
            raise NotNow(_ASK_AGAIN_SECONDS, "account_unknown")

    # --- how records stand

    def standing(self, account_id: str) -> Standing | None:
        """How the newest record of the account stands; None when there is none."""
        return self._standings.get(account_id)

    def standings(self) -> Mapping[str, Standing]:
        """How the records stand, by account."""
        return self._standings

    def may_be_written(self, account_id: str, workspace_id: str) -> bool:
        """Whether a record of this id would be a new account, or replace one of the same workspace: not another
        channel's, nor one that is switched off or cannot be read."""
        known = self._known.get(account_id)
        if known is None:
            return account_id not in self._elsewhere and account_id not in self._records
        return known.workspace_id == workspace_id

    def record_of(self, account_id: str) -> AccountRecord | None:
        """The newest readable record of the account, whatever it is worth."""
        return self._known.get(account_id)

    def is_sealed(self, account_id: str) -> bool:
        """Whether the account is there and no record of it could be opened here."""
        return self._records.get(account_id) in _UNOPENED and account_id not in self._accounts

    def sealed_for(self, account_id: str) -> float:
        """Seconds since this replica has found that it cannot open the account."""
        since = self._sealed_since.get(account_id)
        return 0.0 if since is None else monotonic() - since

    def current(self, account_id: str) -> bool:
        """Whether what is served of the account is its newest record: our key is the one that it is sealed to."""
        return self._records.get(account_id) in (Standing.OPENED, Standing.OLD_FORMAT)

    @property
    def locked_out(self) -> bool:
        """Whether it is our key that is wrong, and not a record or two: more cannot be opened than can.

        Every workspace has one vote, which its accounts share: no tenant can take the others down with records that
        are damaged.
        """
        if self._locked_out is None:
            votes: dict[str, list[bool]] = {}
            for account_id, workspace_id in self._workspaces.items():
                votes.setdefault(workspace_id, []).append(self.is_sealed(account_id))
            self._locked_out = sum(sum(sealed) / len(sealed) for sealed in votes.values()) > len(votes) / 2
        return self._locked_out

    # --- fed by tables

    def on_change(self, callback: Changed) -> None:
        """Called with the account id and the account, or None when it is gone or refused. Must not block."""
        self._changed.append(callback)

    def on_standing(self, callback: Callable[[str, Standing | None], None]) -> None:
        """Called with the account id and how its record stands from now on, None when it is gone. Must not block."""
        self._stood.append(callback)

    def apply(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic. Raises ValueError for one that cannot be read or opened; the old one then stays."""
        account_id = key.decode()
        try:
            record = self._read(account_id, value)
        except ValueError:
            self._stands(account_id, Standing.UNREADABLE)
            names = None if account_id in self._known else self._owners.names_claimed(account_id)
            self._settle(self._owners.put(account_id, names, usable=False) if names else {account_id})
            raise
        served_elsewhere = record is not None and (record.channel != self._channel or not record.enabled)
        (self._elsewhere.add if served_elsewhere else self._elsewhere.discard)(account_id)
        if record is None or served_elsewhere:
            self._remove(account_id)
            return
        self._known[account_id] = record
        try:
            opened = self._open(record)
        except SealedForAnother:
            self._accounts.pop(account_id, None)
            self._stands(account_id, Standing.SEALED_FOR_ANOTHER)
            self._settle(self._owners.put(account_id, self._names(record), usable=False))
            raise
        except CannotOpen:
            self._stands(account_id, Standing.SEALED)
            goes_on = account_id in self._accounts  # as its older record says
            self._settle({account_id} if goes_on else self._owners.put(account_id, self._names(record), usable=False))
            raise
        self._stands(account_id, Standing.OPENED if opened.bound else Standing.OLD_FORMAT)
        self._accounts[account_id] = Account(record, opened.credentials)
        self._settle(self._owners.put(account_id, self._names(record), usable=True))

    def _read(self, account_id: str, value: bytes | None) -> AccountRecord | None:
        record = AccountRecord.model_validate_json(value) if value else None
        if record is not None and record.account_id != account_id:
            raise ValueError("the key is not the account's id")
        return record

    def apply_claim(self, key: bytes, value: bytes | None) -> None:
        """One record of the capabilities topic. Raises ValueError for a record that is none."""
        account_id = key.decode()
        if value is None:
            self._settle(self._owners.claim(account_id, None))
            return
        told = _Told.model_validate_json(value)
        if told.capabilities.channel == self._channel and told.served_since is not None:
            external_id, further = self._spelled(told.external_id), frozenset(told.further_names)
            names = Names(told.workspace_id, external_id, told.parent_id, further)
            self._settle(self._owners.claim(account_id, Claim(names, told.served_since)))

    def served_since(self, account_id: str) -> datetime | None:
        """Since when the account has been served under the names it has; None when nobody has said so yet."""
        claim = self._owners.claimed(account_id)
        return claim.since if claim else None

    def further_names(self, account_id: str) -> tuple[str, ...]:
        """Names beside its `external_id` that the account has, and nobody else."""
        return tuple(sorted(self._owners.had(account_id)))

    def _spelled(self, name: str | None) -> str | None:
        return self._naming.spelled(name) if self._naming is not None and name else name or None

    def _names(self, record: AccountRecord) -> Names:
        further = frozenset(self._naming.further_names(record)) if self._naming is not None else frozenset[str]()
        external_id = self._spelled(record.external_id)
        return Names(record.workspace_id, external_id, record.parent_id or None, further - {external_id})

    def _open(self, record: AccountRecord) -> Opened:
        if record.sealed is not None and self._sealing_key is None:
            raise CannotOpen("SEALING_KEY is not set")
        return unseal_credentials(record, self._sealing_key or "")

    def _stands(self, account_id: str, standing: Standing) -> None:
        self._records[account_id] = standing
        record = self._known.get(account_id)
        if record is not None and record.sealed is not None:
            self._workspaces[account_id] = record.workspace_id
        else:
            self._workspaces.pop(account_id, None)
        if self.is_sealed(account_id):
            self._sealed_since.setdefault(account_id, monotonic())
        else:
            self._sealed_since.pop(account_id, None)

    def _remove(self, account_id: str) -> None:
        for kept in (self._accounts, self._records, self._known, self._workspaces, self._sealed_since):
            kept.pop(account_id, None)
        self._settle(self._owners.drop(account_id) | {account_id})

    def _settle(self, account_ids: Iterable[str]) -> None:
        """Serve what is to be served of these accounts, and tell of those where that is something else now."""
        self._locked_out = None
        for account_id in sorted(account_ids):
            taken = self._owners.taken(account_id)
            self._serve(account_id, None if taken else self._accounts.get(account_id))
            standing = self._records.get(account_id)
            self._place(account_id, Standing.TAKEN if taken and self.current(account_id) else standing)

    def _serve(self, account_id: str, account: Account | None) -> None:
        if account == self._served.get(account_id):
            return
        if account is None:
            del self._served[account_id]
        else:
            self._served[account_id] = account
        for callback in self._changed:
            callback(account_id, account)

    def _place(self, account_id: str, standing: Standing | None) -> None:
        if standing is self._standings.get(account_id):
            return
        if standing is None:
            del self._standings[account_id]
        else:
            self._standings[account_id] = standing
        for callback in self._stood:
            callback(account_id, standing)


def log_standings(channel: str, accounts: AccountRegistry) -> None:
    """Say what is not served of the accounts that are known, and from now on what changes in that."""

    def changed(account_id: str, standing: Standing | None) -> None:
        log.info("account_record", channel=channel, account_id=account_id, standing=standing or "removed")

    counts = Counter(accounts.standings().values())
    if counts.keys() - {Standing.OPENED}:
        log.warning("account_records", channel=channel, standings={str(name): count for name, count in counts.items()})
    accounts.on_standing(changed)


class _Channel(Model):
    channel: str


class _Told(Model):
    """What a claim is made of in a `CapabilityRecord`: the rest of it is long, and every role reads all of them."""

    workspace_id: str
    external_id: str | None = None
    parent_id: str | None = None
    further_names: tuple[str, ...] = ()
    served_since: datetime | None = None
    capabilities: _Channel
