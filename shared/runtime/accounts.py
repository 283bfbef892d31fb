"""The accounts of a channel as `channels.accounts` has them now, and the command that writes them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any

import structlog
import yaml
from pydantic import ValidationError

from shared.channel import Account
from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.runtime.sealing import CannotOpen, public_key, seal, unseal
from shared.stream.errors import NotNow
from shared.stream.log import CaughtUp, Log, acknowledged
from shared.stream.records import Record

log = structlog.get_logger()

Changed = Callable[[str, Account | None], None]

AWAITED_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 0.2


class AccountRegistry:
    """Accounts of one channel, opened; answers `Accounts` of the port. Fed by a `Table` of the accounts topic."""

    def __init__(self, channel: str, sealing_key: str | None) -> None:
        self._channel = channel
        self._sealing_key = sealing_key
        self._accounts: dict[str, Account] = {}
        self._by_name: dict[str, list[str]] = {}
        self._changed: list[Changed] = []

    def __len__(self) -> int:
        return len(self._accounts)

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._accounts.values()))

    def get(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def by_external_id(self, external_id: str) -> Account | None:
        return next(iter(self.find(None, external_id)), None)

    def find(self, account_id: str | None, external_id: str | None) -> list[Account]:
        """By our id where it is given, else by the provider's: all accounts, where it names what they belong to."""
        if account_id is not None:
            found = [account_id] if account_id in self._accounts else []
        else:
            found = self._by_name.get(external_id or "", [])
        return [self._accounts[name] for name in found]

    @staticmethod
    def expect(record: Record) -> None:
        """Raises NotNow while a record is too young for us to be sure that its account is unknown.

        Replicas hear of an account one by one, so what comes of it may be faster than the news that it is there.
        """
        if abs(time() - record.timestamp_ms / 1000) < AWAITED_SECONDS:
            raise NotNow(_ASK_AGAIN_SECONDS, "account_unknown")

    def on_change(self, callback: Changed) -> None:
        """Called with the account id and the account, or None when it is gone. Must not block."""
        self._changed.append(callback)

    def apply(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic. Raises ValueError for a record that is no account; the old one then stays."""
        account_id = key.decode()
        record = AccountRecord.model_validate_json(value) if value else None
        if record is not None and record.account_id != account_id:
            raise ValueError("the key is not the account's id")
        if record is None or record.channel != self._channel or not record.enabled:
            self._remove(account_id)
            return
        account = Account(record, self._open(record))
        previous = self._accounts.get(account_id)
        if previous == account:
            return
        if previous is not None:
            self._forget_names(previous.record)
        self._accounts[account_id] = account
        for name in _names(record):
            self._by_name.setdefault(name, []).append(account_id)
        self._tell(account_id, account)

    def _open(self, record: AccountRecord) -> dict[str, str]:
        if record.sealed is None:
            return {}
        if self._sealing_key is None:
            raise CannotOpen("SEALING_KEY is not set")
        return unseal(record.sealed, self._sealing_key)

    def _remove(self, account_id: str) -> None:
        account = self._accounts.pop(account_id, None)
        if account is None:
            return
        self._forget_names(account.record)
        self._tell(account_id, None)

    def _forget_names(self, record: AccountRecord) -> None:
        for name in _names(record):
            self._by_name[name].remove(record.account_id)
            if not self._by_name[name]:
                del self._by_name[name]

    def _tell(self, account_id: str, account: Account | None) -> None:
        for callback in self._changed:
            callback(account_id, account)


def _names(record: AccountRecord) -> list[str]:
    """The provider's names of an account, each once."""
    return list(dict.fromkeys(name for name in (record.external_id, record.parent_id) if name))


class InvalidAccountsFile(ValueError):
    """The file cannot be applied; nothing was written."""


def read_accounts_file(path: Path, sealing_key: str | None) -> list[AccountRecord]:
    """Accounts of a YAML file: a list under `accounts`, credentials in the clear under `credentials` or `sealed`.

    Raises InvalidAccountsFile naming the entry and the field, never a value.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as failure:
        raise InvalidAccountsFile(f"{path.name}: {type(failure).__name__}") from None
    entries = document.get("accounts") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise InvalidAccountsFile(f"{path.name}: a list of accounts is expected")
    records = [_record(index, entry, sealing_key) for index, entry in enumerate(entries)]
    repeated = [account_id for account_id, times in Counter(r.account_id for r in records).items() if times > 1]
    if repeated:
        raise InvalidAccountsFile(f"{path.name}: account_id given twice: {', '.join(sorted(repeated))}")
    return records


def _record(index: int, entry: Any, sealing_key: str | None) -> AccountRecord:
    if not isinstance(entry, dict):
        raise InvalidAccountsFile(f"accounts[{index}]: not an object")
    credentials = entry.pop("credentials", None)
    if credentials:
        if not isinstance(credentials, dict):
            raise InvalidAccountsFile(f"accounts[{index}].credentials: not an object")
        if sealing_key is None:
            raise InvalidAccountsFile("SEALING_KEY is needed to seal credentials")
        entry["sealed"] = seal({str(k): str(v) for k, v in credentials.items()}, public_key(sealing_key))
    try:
        return AccountRecord.model_validate(entry)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise InvalidAccountsFile(f"accounts[{index}].{where}: {first['msg']}") from None


async def apply_accounts(
    stream: Log, topics: Topics, records: list[AccountRecord], sealing_key: str | None, *, prune: str | None = None
) -> dict[str, list[str]]:
    """Make the topic hold these accounts; unchanged ones are not written again.

    `prune` names a channel whose accounts are removed when they are not in the list; those of other channels stay.
    Returns account ids under `written`, `unchanged`, `removed`. Raises LogUnavailable; call it again then.
    """
    present = await _present(stream, topics.accounts)
    same = {r.account_id for r in records if _same(present.get(r.account_id), r, sealing_key)}
    written = [record for record in records if record.account_id not in same]
    named = {record.account_id for record in records}
    removed = sorted(name for name, known in present.items() if known.channel == prune and name not in named)
    acks = [await stream.enqueue(topics.accounts, r.account_id.encode(), r.to_json()) for r in written]
    acks += [await stream.enqueue(topics.accounts, account_id.encode(), None) for account_id in removed]
    await acknowledged(acks)
    return {"written": [r.account_id for r in written], "unchanged": sorted(same), "removed": removed}


async def _present(stream: Log, topic: str) -> dict[str, AccountRecord]:
    present: dict[str, AccountRecord] = {}
    async for record in stream.follow(topic):
        if isinstance(record, CaughtUp):
            break
        key = (record.key or b"").decode()
        present.pop(key, None)
        if record.value:
            try:
                present[key] = AccountRecord.model_validate_json(record.value)
            except ValidationError:
                log.warning("account_record_unreadable", account_id=key)
    return present


def _same(present: AccountRecord | None, wanted: AccountRecord, sealing_key: str | None) -> bool:
    """Sealing is randomised: two records are the same when what is sealed in them is."""
    if present is None or present.model_copy(update={"sealed": None}) != wanted.model_copy(update={"sealed": None}):
        return False
    if present.sealed == wanted.sealed:
        return True
    if present.sealed is None or wanted.sealed is None or sealing_key is None:
        return False
    try:
        return unseal(present.sealed, sealing_key) == unseal(wanted.sealed, sealing_key)
    except CannotOpen:
        return False
