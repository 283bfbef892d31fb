"""Accounts of a YAML file, written to `channels.accounts`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import structlog
import yaml
from pydantic import ValidationError

from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.runtime.accounts.rules import InvalidAccount, Rules
from shared.runtime.accounts.sealing import (
    BOUND,
    CannotOpen,
    SealedForAnother,
    public_key,
    seal_credentials,
    unseal_credentials,
)
from shared.stream.log import CaughtUp, Log, acknowledged

log = structlog.get_logger()


class InvalidAccountsFile(ValueError):
    """The file cannot be applied; nothing was written."""


def seal_accounts_file(path: Path, to_public_key: str, rules: Rules) -> str:
    """The file with `sealed` in the place of `credentials`, as YAML: what may lie in a repository. No private key is
    needed. Raises InvalidAccountsFile and CannotOpen as `read_accounts_file`.
    """
    entries, sealed = _entries(path), []
    for index, entry in enumerate(entries):
        record = _record(index, entry, rules)
        credentials = _credentials(index, entry)
        anew = {name: value for name, value in entry.items() if name != "credentials"}
        sealed.append(
            {**anew, "sealed": seal_credentials(credentials, record, to_public_key).sealed} if credentials else anew
        )
    return str(yaml.safe_dump({"accounts": sealed}, sort_keys=False, allow_unicode=True))


def read_accounts_file(path: Path, sealing_key: str | None, rules: Rules | None = None) -> list[AccountRecord]:
    """Accounts of a YAML file: a list under `accounts`, credentials in the clear under `credentials` or `sealed`.

    Raises InvalidAccountsFile naming the entry and the field, never a value.
    """
    records = [_sealed(index, entry, sealing_key, rules) for index, entry in enumerate(_entries(path))]
    repeated = [account_id for account_id, times in Counter(r.account_id for r in records).items() if times > 1]
    if repeated:
        raise InvalidAccountsFile(f"{path.name}: account_id given twice: {', '.join(sorted(repeated))}")
    owners: dict[tuple[str, str], str] = {}
    for record in records:
        if record.external_id:
            first = owners.setdefault((record.channel, record.external_id), record.account_id)
            if first != record.account_id:
                both = f"{first}, {record.account_id}"
                raise InvalidAccountsFile(f"{path.name}: two accounts with the same external_id: {both}")
    return records


def _entries(path: Path) -> list[Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as failure:
        raise InvalidAccountsFile(f"{path.name}: {type(failure).__name__}") from None
    entries = document.get("accounts") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise InvalidAccountsFile(f"{path.name}: a list of accounts is expected")
    return entries


def _credentials(index: int, entry: dict[str, Any]) -> dict[str, str]:
    credentials = entry.get("credentials") or {}
    if not isinstance(credentials, dict):
        raise InvalidAccountsFile(f"accounts[{index}].credentials: not an object")
    return {str(name): str(value) for name, value in credentials.items()}


def _record(index: int, entry: Any, rules: Rules | None) -> AccountRecord:
    """The account without its credentials in the clear."""
    if not isinstance(entry, dict):
        raise InvalidAccountsFile(f"accounts[{index}]: not an object")
    _credentials(index, entry)
    try:
        record = AccountRecord.model_validate({name: entry[name] for name in entry if name != "credentials"})
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise InvalidAccountsFile(f"accounts[{index}].{where}: {first['msg']}") from None
    if rules is not None:
        try:
            rules.check(entry, record, f"accounts[{index}].")
        except InvalidAccount as invalid:
            raise InvalidAccountsFile(str(invalid)) from None
    return record


def _sealed(index: int, entry: Any, sealing_key: str | None, rules: Rules | None) -> AccountRecord:
    record = _record(index, entry, rules)
    if credentials := _credentials(index, entry):
        if sealing_key is None:
            raise InvalidAccountsFile("SEALING_KEY is needed to seal credentials")
        return seal_credentials(credentials, record, public_key(sealing_key))
    if record.sealed is not None and sealing_key is not None:
        _try_to_open(record, sealing_key, f"accounts[{index}].sealed")
    return record


def _try_to_open(record: AccountRecord, sealing_key: str, where: str) -> None:
    """What the connectors could not open is better refused here, where somebody reads it."""
    try:
        unseal_credentials(record, sealing_key)
    except SealedForAnother:
        raise InvalidAccountsFile(f"{where}: sealed for another channel, workspace or account") from None
    except CannotOpen:
        raise InvalidAccountsFile(f"{where}: damaged, or sealed to another key than that of SEALING_KEY") from None


async def apply_accounts(
    stream: Log, topics: Topics, records: list[AccountRecord], sealing_key: str | None, *, prune: str | None = None
) -> dict[str, list[str]]:
    """Make the topic hold these accounts; unchanged ones are not written again.

    `prune` names a channel whose accounts are removed when they are not in the list; those of other channels stay.
    Returns account ids under `written`, `unchanged`, `removed`. Raises LogUnavailable; call it again then.
    """
    present = await present_accounts(stream, topics)
    same = {r.account_id for r in records if _same(present.get(r.account_id), r, sealing_key)}
    written = [record for record in records if record.account_id not in same]
    named = {record.account_id for record in records}
    removed = sorted(name for name, known in present.items() if known.channel == prune and name not in named)
    acks = [await stream.enqueue(topics.accounts, r.account_id.encode(), r.to_json()) for r in written]
    acks += [await stream.enqueue(topics.accounts, account_id.encode(), None) for account_id in removed]
    await acknowledged(acks)
    return {"written": [r.account_id for r in written], "unchanged": sorted(same), "removed": removed}


async def present_accounts(stream: Log, topics: Topics) -> dict[str, AccountRecord]:
    """What the topic holds now, of every channel, by account id. What is no account record is logged and left out."""
    present: dict[str, AccountRecord] = {}
    async for record in stream.follow(topics.accounts):
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
    """Sealing is randomised: two records are the same when what is sealed in them is, and in the same form."""
    if present is None or present.model_copy(update={"sealed": None}) != wanted.model_copy(update={"sealed": None}):
        return False
    if present.sealed == wanted.sealed:
        return True
    if present.sealed is None or wanted.sealed is None or sealing_key is None:
        return False
    if present.sealed.startswith(BOUND) != wanted.sealed.startswith(BOUND):
        return False
    try:
        return unseal_credentials(present, sealing_key) == unseal_credentials(wanted, sealing_key)
    except CannotOpen:
        return False
