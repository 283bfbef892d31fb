"""Accounts: as the topic has them, opened; a bad record never costs a good one; a file makes the topic hold it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import ValidationError

from shared.channel import Account, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.contract.topics import Topics
from shared.runtime.accounts import AccountRegistry, InvalidAccountsFile, apply_accounts, read_accounts_file
from shared.runtime.sealing import CannotOpen, new_key, public_key, seal, unseal
from shared.runtime.tokens import SealedTokens
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.table import Table
from tests.shared.runtime.plain_channel import CHANNEL
from tests.shared.runtime.world import World

KEY = new_key()
TOPICS = Topics()
SECRET = {"token": "very-secret"}


def record(account_id: str = "acc_1", **facts: object) -> AccountRecord:
    return AccountRecord.model_validate({"account_id": account_id, "workspace_id": "ws_1", "channel": CHANNEL, **facts})


def sealed(**facts: object) -> AccountRecord:
    return record(sealed=seal(SECRET, public_key(KEY)), **facts)


@pytest.fixture
def registry() -> AccountRegistry:
    return AccountRegistry(CHANNEL, KEY)


def put(registry: AccountRegistry, *records: AccountRecord) -> None:
    for one in records:
        registry.apply(one.account_id.encode(), one.to_json())


# ------------------------------------------------------------------------------------------------------- registry


def test_credentials_are_opened_and_never_shown(registry: AccountRegistry) -> None:
    put(registry, sealed())
    account = registry.get("acc_1")
    assert account is not None
    assert account.credentials == SECRET
    assert "very-secret" not in repr(account)


def test_accounts_are_found_by_every_name(registry: AccountRegistry) -> None:
    put(registry, record("a", external_id="x"), record("b", external_id="y", parent_id="p"), record("c", parent_id="p"))
    assert [a.account_id for a in registry.find("a", None)] == ["a"]
    assert [a.account_id for a in registry.find(None, "p")] == ["b", "c"]
    assert registry.find(None, "nobody") == registry.find("nobody", "x") == registry.find(None, None) == []
    found = registry.by_external_id("x")
    assert found is not None
    assert found.account_id == "a"
    put(registry, record("a", external_id="new"), record("b"))
    assert registry.by_external_id("x") is None
    assert [a.account_id for a in registry.find(None, "p")] == ["c"]
    registry.apply(b"c", None)
    assert registry.find(None, "p") == []
    assert len(registry) == 2


@pytest.mark.parametrize("gone", [None, record(enabled=False).to_json(), record(channel="other").to_json(), b""])
def test_an_account_goes(registry: AccountRegistry, gone: bytes | None) -> None:
    put(registry, record(external_id="x"))
    registry.apply(b"acc_1", gone)
    assert list(registry) == []
    assert registry.by_external_id("x") is None


def test_changes_are_told_once(registry: AccountRegistry) -> None:
    told: list[tuple[str, Account | None]] = []
    registry.on_change(lambda account_id, account: told.append((account_id, account)))
    first = sealed()
    put(registry, first, first, record("other", channel="other"), sealed(display_name="New"))
    registry.apply(b"acc_1", None)
    registry.apply(b"acc_1", None)
    assert [(name, account is None) for name, account in told] == [("acc_1", False), ("acc_1", False), ("acc_1", True)]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"nonsense", ValidationError),
        (b'{"account_id": "acc_1"}', ValidationError),
        (record("another").to_json(), ValueError),
        (record(sealed="bm90IHNlYWxlZA==").to_json(), CannotOpen),
        (record(sealed=seal(SECRET, public_key(new_key()))).to_json(), CannotOpen),
        (record(sealed="not base64 at all!").to_json(), CannotOpen),
    ],
)
def test_a_bad_record_keeps_the_old_one(registry: AccountRegistry, value: bytes, error: type[Exception]) -> None:
    put(registry, sealed())
    with pytest.raises(error) as raised:
        registry.apply(b"acc_1", value)
    account = registry.get("acc_1")
    assert account is not None
    assert account.credentials == SECRET
    assert "very-secret" not in str(raised.value)


def test_without_a_key_sealed_accounts_cannot_be_opened() -> None:
    registry = AccountRegistry(CHANNEL, None)
    with pytest.raises(CannotOpen):
        put(registry, sealed())
    put(registry, record())
    assert len(registry) == 1


async def test_one_bad_record_on_the_topic_hides_no_other(registry: AccountRegistry) -> None:
    log = await accounts_log()
    for key, value in ((b"bad", b"nonsense"), (b"acc_1", sealed().to_json()), (b"\xff", record().to_json())):
        await log.send(TOPICS.accounts, key, value)
    rejected = Mock()
    async with Table(log, TOPICS.accounts, registry.apply, rejected) as table:
        await table.ready.wait()
        assert [account.account_id for account in registry] == ["acc_1"]
        assert rejected.call_count == 2
        await log.send(TOPICS.accounts, b"acc_2", record("acc_2").to_json())
        async with asyncio.timeout(5):
            while registry.get("acc_2") is None:
                await asyncio.sleep(0)


# -------------------------------------------------------------------------------------------------------- sealing


@pytest.mark.parametrize("key", ["", "short", "äöü", "A" * 43 + "="[:0], "bm90IHRoaXJ0eS10d28gYnl0ZXM="])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(CannotOpen):
        public_key(key)
    with pytest.raises(CannotOpen):
        unseal(seal(SECRET, public_key(KEY)), key)


def test_sealing_twice_looks_different() -> None:
    first, second = seal(SECRET, public_key(KEY)), seal(SECRET, public_key(KEY))
    assert first != second
    assert unseal(first, KEY) == unseal(second, KEY) == SECRET
    assert "very-secret" not in first


def tokens(world: World, key: str = KEY, *, current: bool = True) -> SealedTokens:
    """Tokens as a replica with this key has them; `current`: it can open the account's newest record."""
    return SealedTokens(CHANNEL, world.store, key, lambda _: current)


async def test_tokens_are_sealed_and_change_only_from_what_was_seen(world: World) -> None:
    ours, theirs = tokens(world), tokens(world)
    assert await ours.get("acc_1") is None
    assert await ours.replace("acc_1", None, "one")
    assert await theirs.get("acc_1") == "one"
    assert not await theirs.replace("acc_1", None, "two")
    assert not await theirs.replace("acc_1", "guess", "two")
    assert await theirs.replace("acc_1", "one", "two")
    assert await ours.get("acc_1") == "two"
    (stored,) = [await world.client.call("GET", key) for key in await world.client.call("KEYS", "k:*")]
    assert "two" not in stored


async def test_of_two_replacements_at_once_one_wins(world: World) -> None:
    stores = [tokens(world) for _ in range(5)]
    await stores[0].replace("acc_1", None, "old")
    won = await asyncio.gather(*(store.replace("acc_1", "old", f"new-{n}") for n, store in enumerate(stores)))
    assert won.count(True) == 1
    assert await stores[0].get("acc_1") == f"new-{won.index(True)}"


async def test_tokens_of_a_former_key_count_as_absent(world: World) -> None:
    await tokens(world, new_key()).replace("acc_1", None, "theirs")
    ours = tokens(world)
    assert await ours.get("acc_1") is None
    assert await ours.replace("acc_1", None, "ours")
    assert await ours.get("acc_1") == "ours"


async def test_tokens_of_the_new_key_are_left_alone_by_who_has_the_old_one(world: World) -> None:
    await tokens(world).replace("acc_1", None, "theirs")
    with_old_key = tokens(world, new_key(), current=False)
    for asked in (with_old_key.get("acc_1"), with_old_key.replace("acc_1", None, "ours")):
        with pytest.raises(ProviderError) as refused:
            await asked
        assert refused.value.failure.code is ErrorCode.PROVIDER_UNAVAILABLE
        assert refused.value.failure.certain
    assert await tokens(world).get("acc_1") == "theirs"
    assert await with_old_key.get("acc_2") is None


async def test_one_replica_at_a_time_refreshes(world: World) -> None:
    ours, theirs = tokens(world), tokens(world)
    async with ours.exclusive("acc_1") as held, theirs.exclusive("acc_1") as other, theirs.exclusive("acc_2") as free:
        assert (held, other, free) == (True, False, True)
    async with theirs.exclusive("acc_1") as held:
        assert held


# ------------------------------------------------------------------------------------------------- accounts apply


async def accounts_log() -> MemoryLog:
    log = MemoryLog()
    await log.ensure_topics([TopicSpec(TOPICS.accounts, 2, compact=True)])
    return log


def write(path: Path, text: str) -> Path:
    file = path / "accounts.yaml"
    file.write_text(text, encoding="utf-8")
    return file


GOOD = """
accounts:
  - {account_id: acc_1, workspace_id: ws_1, channel: plain, credentials: {token: very-secret}}
  - {account_id: acc_2, workspace_id: ws_1, channel: plain, mode: pull}
"""


async def test_a_file_is_applied_once(tmp_path: Path) -> None:
    log, file = await accounts_log(), write(tmp_path, GOOD)
    first = await apply_accounts(log, TOPICS, read_accounts_file(file, KEY), KEY)
    assert first == {"written": ["acc_1", "acc_2"], "unchanged": [], "removed": []}
    again = await apply_accounts(log, TOPICS, read_accounts_file(file, KEY), KEY)
    assert again == {"written": [], "unchanged": ["acc_1", "acc_2"], "removed": []}
    changed = write(tmp_path, GOOD.replace("very-secret", "rotated"))
    assert (await apply_accounts(log, TOPICS, read_accounts_file(changed, KEY), KEY))["written"] == ["acc_1"]
    registry = AccountRegistry(CHANNEL, KEY)
    async with Table(log, TOPICS.accounts, registry.apply) as table:
        await table.ready.wait()
    account = registry.get("acc_1")
    assert account is not None
    assert account.credentials == {"token": "rotated"}


async def test_pruning_removes_this_channels_accounts_only(tmp_path: Path) -> None:
    log = await accounts_log()
    await apply_accounts(log, TOPICS, [record("old"), record("acc_2"), record("theirs", channel="other")], KEY)
    records = read_accounts_file(write(tmp_path, GOOD), KEY)
    kept = await apply_accounts(log, TOPICS, records, KEY)
    assert kept["removed"] == []
    pruned = await apply_accounts(log, TOPICS, records, KEY, prune=CHANNEL)
    assert pruned["removed"] == ["old"]
    again = await apply_accounts(log, TOPICS, records, KEY, prune=CHANNEL)
    assert again["removed"] == []


async def test_what_cannot_be_read_on_the_topic_is_written_anew(tmp_path: Path) -> None:
    log = await accounts_log()
    await log.send(TOPICS.accounts, b"acc_1", b"nonsense")
    outcome = await apply_accounts(log, TOPICS, read_accounts_file(write(tmp_path, GOOD), KEY), KEY)
    assert "acc_1" in outcome["written"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("accounts: [", "accounts.yaml: ParserError"),
        ("just a word", "a list of accounts is expected"),
        ("accounts: {a: b}", "a list of accounts is expected"),
        ("- word", "accounts[0]: not an object"),
        ("- {account_id: a}", "accounts[0].workspace_id: Field required"),
        ("- {account_id: 'a b', workspace_id: w, channel: plain}", "accounts[0].account_id: String should match"),
        ("- {account_id: a, workspace_id: w, channel: plain, mode: push}", "accounts[0].mode:"),
        ("- {account_id: a, workspace_id: w, channel: plain, credentials: very-secret}", "credentials: not an object"),
        (GOOD.replace("acc_2", "acc_1"), "account_id given twice: acc_1"),
    ],
)
def test_a_bad_file_is_refused_by_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidAccountsFile) as raised:
        read_accounts_file(write(tmp_path, text), KEY)
    assert says in str(raised.value)
    assert "very-secret" not in str(raised.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    for file in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InvalidAccountsFile):
            read_accounts_file(file, KEY)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidAccountsFile):
        read_accounts_file(tmp_path / "binary.yaml", KEY)


def test_credentials_need_a_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidAccountsFile, match="SEALING_KEY"):
        read_accounts_file(write(tmp_path, GOOD), None)
