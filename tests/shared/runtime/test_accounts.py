"""Accounts: as the topic has them, opened; a bad record never costs a good one; a file makes the topic hold it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from unittest.mock import Mock

import orjson
import pytest
import yaml
from pydantic import ValidationError

from services.email import channel as email
from services.telegram import channel as telegram
from services.tiktok import channel as tiktok
from services.whatsapp import channel as whatsapp
from shared.channel import Account, Channel, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.contract.topics import Topics
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed, Standing
from shared.runtime.accounts.sealing import (
    CannotOpen,
    Opened,
    SealedForAnother,
    new_key,
    public_key,
    seal,
    seal_credentials,
    unseal,
    unseal_credentials,
)
from shared.runtime.accounts.tokens import SealedTokens
from shared.runtime.tools.accounts_file import (
    InvalidAccountsFile,
    Rules,
    apply_accounts,
    present_accounts,
    read_accounts_file,
    seal_accounts_file,
)
from shared.runtime.tools.resealing import reseal_accounts
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.table import Table
from tests.channels.goldens import ROOT
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
    assert [a.account_id for a in registry.find(None, "x")] == ["a"]
    put(registry, record("a", external_id="new"), record("b"))
    assert registry.find(None, "x") == []
    assert [a.account_id for a in registry.find(None, "p")] == ["c"]
    registry.apply(b"c", None)
    assert registry.find(None, "p") == []
    assert len(registry) == 2


@pytest.mark.parametrize("gone", [None, record(enabled=False).to_json(), record(channel="other").to_json(), b""])
def test_an_account_goes(registry: AccountRegistry, gone: bytes | None) -> None:
    put(registry, record(external_id="x"))
    registry.apply(b"acc_1", gone)
    assert list(registry) == []
    assert registry.find(None, "x") == []


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


# ---------------------------------------------------------------------------------------------- left alone, refused


def bound(key: str = KEY, **facts: object) -> AccountRecord:
    return seal_credentials(SECRET, record(**facts), public_key(key))  # type: ignore[arg-type]


def try_to_put(registry: AccountRegistry, *records: AccountRecord) -> None:
    for one in records:
        with contextlib.suppress(ValueError):
            put(registry, one)


def claim(registry: AccountRegistry, one: AccountRecord, since: str) -> None:
    """What a replica has told of an account that it serves."""
    names = {"external_id": one.external_id, "parent_id": one.parent_id, "served_since": since}
    told = {"workspace_id": one.workspace_id, "capabilities": {"channel": CHANNEL}, **names}
    registry.apply_claim(one.account_id.encode(), orjson.dumps({k: v for k, v in told.items() if v}))


def test_what_cannot_be_opened_is_not_gone(registry: AccountRegistry) -> None:
    told: list[str] = []
    registry.on_change(lambda account_id, _: told.append(account_id))
    try_to_put(registry, bound(new_key(), external_id="x"))
    registry.apply(b"other", bound(account_id="other").to_json())
    for ask in (lambda: registry.get("acc_1"), lambda: registry.find("acc_1", None), lambda: registry.find(None, "x")):
        with pytest.raises(AccountSealed):
            ask()
    assert (registry.standing("acc_1"), registry.served("acc_1"), told) == (Standing.SEALED, None, ["other"])
    put(registry, bound(external_id="x"))
    assert (registry.standing("acc_1"), told) == (Standing.OPENED, ["other", "acc_1"])
    registry.apply(b"acc_1", None)
    assert (registry.get("acc_1"), registry.standing("acc_1")) == (None, None)


def test_a_newer_record_that_cannot_be_opened_leaves_the_older_and_is_not_current(registry: AccountRegistry) -> None:
    put(registry, bound())
    assert registry.current("acc_1")
    try_to_put(registry, bound(new_key()))
    assert registry.get("acc_1") is not None
    assert not registry.current("acc_1")
    assert not registry.locked_out


@pytest.mark.parametrize(
    ("workspaces", "locked_out"),
    [
        ({"w": [False]}, True),
        ({"w": [True, False]}, False),
        ({"w": [True, False, False]}, True),
        ({"w": [True, True], "broken": [False] * 50}, False),
        ({"v": [True], "w": [True], "broken": [False] * 50}, False),
        ({"v": [False] * 9 + [True], "w": [False], "x": [True]}, True),
        ({}, False),
    ],
)
def test_one_workspace_does_not_lock_the_others_out(
    registry: AccountRegistry, workspaces: dict[str, list[bool]], locked_out: bool
) -> None:
    for workspace_id, opens in workspaces.items():
        for number, ours in enumerate(opens):
            one = record(f"{workspace_id}_{number}", workspace_id=workspace_id)
            try_to_put(registry, seal_credentials(SECRET, one, public_key(KEY if ours else new_key())))
    put(registry, record("without credentials"[:7], workspace_id="y"))
    assert registry.locked_out is locked_out


@pytest.mark.parametrize("field", ["account_id", "workspace_id", "channel"])
def test_what_is_sealed_opens_in_no_other_record(field: str) -> None:
    ours = bound()
    assert unseal_credentials(ours, KEY) == Opened(SECRET, bound=True)
    with pytest.raises(SealedForAnother):
        unseal_credentials(ours.model_copy(update={field: "another"}), KEY)
    with pytest.raises(CannotOpen):
        unseal_credentials(ours, new_key())


def test_a_copy_is_refused_and_the_old_form_is_read(registry: AccountRegistry) -> None:
    put(registry, bound(), sealed(account_id="old"))
    copy = bound().model_copy(update={"account_id": "thief"})
    with pytest.raises(SealedForAnother):
        put(registry, copy)
    assert registry.get("thief") is None
    assert registry.standings() == {
        "acc_1": Standing.OPENED,
        "old": Standing.OLD_FORMAT,
        "thief": Standing.SEALED_FOR_ANOTHER,
    }


FIRST = record("first", external_id="x")
SECOND = record("second", external_id="x", workspace_id="ws_2")


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
@pytest.mark.parametrize("claims_first", [True, False])
def test_the_first_keeps_the_name_whatever_is_read_first(
    registry: AccountRegistry, order: tuple[AccountRecord, ...], claims_first: bool
) -> None:
    if claims_first:
        claim(registry, FIRST, "2026-01-01T00:00:00.000Z")
    put(registry, *order)
    if not claims_first:
        claim(registry, SECOND, "2026-01-02T00:00:00.000Z")
        claim(registry, FIRST, "2026-01-01T00:00:00.000Z")
    put(registry, FIRST.model_copy(update={"display_name": "later on the topic"}))
    assert [a.account_id for a in registry.find(None, "x")] == ["first"]
    assert (registry.get("second"), registry.standing("second")) == (None, Standing.TAKEN)
    assert [a.account_id for a in registry] == ["first"]
    registry.apply_claim(b"first", None)  # by a replica that could not open it
    assert registry.get("second") is None
    registry.apply(b"first", None)
    assert [a.account_id for a in registry.find(None, "x")] == ["second"]


def test_an_account_that_takes_another_name_on_is_refused_and_back_with_its_own(registry: AccountRegistry) -> None:
    own = SECOND.model_copy(update={"external_id": "y"})
    claim(registry, own, "2025-01-01T00:00:00.000Z")
    claim(registry, FIRST, "2026-01-01T00:00:00.000Z")
    put(registry, own, FIRST, SECOND)
    assert registry.get("second") is None
    assert [a.account_id for a in registry.find(None, "x")] == ["first"]
    put(registry, own)
    assert [a.account_id for a in registry.find(None, "y")] == ["second"]


def test_a_name_holds_for_who_cannot_be_opened_or_read(registry: AccountRegistry) -> None:
    claim(registry, FIRST, "2026-01-01T00:00:00.000Z")
    with pytest.raises(ValidationError):
        registry.apply(b"first", b"nonsense")
    put(registry, SECOND)
    assert registry.standing("second") is Standing.TAKEN
    with pytest.raises(AccountSealed):
        registry.find(None, "x")
    damaged = seal_credentials(SECRET, FIRST, public_key(new_key()))
    try_to_put(registry, damaged)
    assert registry.standing("second") is Standing.TAKEN


def test_who_never_could_be_opened_comes_behind_who_can(registry: AccountRegistry) -> None:
    try_to_put(registry, seal_credentials(SECRET, SECOND, public_key(new_key())))
    put(registry, FIRST)
    assert [a.account_id for a in registry.find(None, "x")] == ["first"]


def test_naming_anothers_number_as_parent_brings_nothing(registry: AccountRegistry) -> None:
    listener = record("listener", external_id="y", parent_id="x", workspace_id="ws_2")
    sibling = record("sibling", external_id="z", parent_id="x")
    claim(registry, FIRST, "2026-01-01T00:00:00.000Z")
    put(registry, listener, FIRST, sibling)
    assert [a.account_id for a in registry.find(None, "x")] == ["first", "sibling"]
    assert [a.account_id for a in registry.find(None, "y")] == ["listener"]


def test_naming_anothers_parent_as_external_id_is_refused(registry: AccountRegistry) -> None:
    number = record("number", external_id="n", parent_id="waba")
    shared = record("shared", external_id="m", parent_id="waba", workspace_id="ws_3")
    put(registry, number, shared, record("thief", external_id="waba", workspace_id="ws_2"))
    assert [a.account_id for a in registry.find(None, "waba")] == ["number", "shared"]
    assert registry.standing("thief") is Standing.TAKEN


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


async def test_tokens_of_an_older_key_are_sealed_to_the_first(world: World) -> None:
    new = new_key()
    both = tokens(world, f"{new}, {KEY}")
    await tokens(world).replace("acc_1", None, "one")
    assert await both.get("acc_1") == "one"
    assert await both.reseal("acc_1")
    assert not await both.reseal("acc_1")
    assert not await both.reseal("acc_2")
    assert await tokens(world, new).get("acc_1") == "one"
    await tokens(world, new_key()).replace("acc_3", None, "of a key that is gone")
    assert not await both.reseal("acc_3")


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


async def test_the_old_form_is_written_anew(tmp_path: Path) -> None:
    log, file = await accounts_log(), write(tmp_path, GOOD)
    (first, second) = read_accounts_file(file, KEY)
    old = first.model_copy(update={"sealed": seal(SECRET, public_key(KEY))})
    await apply_accounts(log, TOPICS, [old, second], KEY)
    assert (await apply_accounts(log, TOPICS, read_accounts_file(file, KEY), KEY))["written"] == ["acc_1"]
    assert (await apply_accounts(log, TOPICS, read_accounts_file(file, KEY), KEY))["written"] == []


async def test_records_of_an_older_key_are_published_under_the_first() -> None:
    log, new = await accounts_log(), new_key()
    old_form = record("acc_2", sealed=seal(SECRET, public_key(KEY)))
    lost = seal_credentials(SECRET, record("lost"), public_key(new_key()))
    others = [record("open"), record("theirs", channel="other", sealed=bound().sealed), lost]
    await apply_accounts(log, TOPICS, [bound(), old_form, *others], None)
    keys = f"{new},{KEY}"
    first = await reseal_accounts(log, TOPICS, CHANNEL, keys, None)
    assert first == {"resealed": ["acc_1", "acc_2"], "unchanged": ["open"], "unopened": ["lost"], "tokens": []}
    again = await reseal_accounts(log, TOPICS, CHANNEL, keys, None)
    assert (again["resealed"], again["unchanged"]) == ([], ["acc_1", "acc_2", "open"])
    present = await present_accounts(log, TOPICS)
    assert unseal_credentials(present["acc_1"], new) == Opened(SECRET, bound=True)
    assert unseal_credentials(present["acc_2"], new) == Opened(SECRET, bound=False)
    assert present["theirs"] == others[1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (bound(new_key()), "accounts[0].sealed: damaged, or sealed to another key than that of SEALING_KEY"),
        (bound().model_copy(update={"account_id": "thief"}), "accounts[0].sealed: sealed for another channel"),
    ],
)
def test_what_the_connectors_could_not_open_is_refused_by_its_place(
    tmp_path: Path, given: AccountRecord, says: str
) -> None:
    file = write(tmp_path, yaml.safe_dump([orjson.loads(given.to_json())]))
    with pytest.raises(InvalidAccountsFile) as raised:
        read_accounts_file(file, KEY)
    assert str(raised.value).startswith(says)


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
        (GOOD.replace("channel: plain,", "channel: plain, external_id: x,"), "same external_id: acc_1, acc_2"),
    ],
)
def test_a_bad_file_is_refused_by_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidAccountsFile) as raised:
        read_accounts_file(write(tmp_path, text), KEY)
    assert says in str(raised.value)
    assert "very-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "- {account_id: a, workspace_id: w, channel: telegram}",
            "accounts[0].channel: an account of telegram, not of",
        ),
        ("- {account_id: a, workspace_id: w, channel: email, external: x}", "'external'; did you mean external_id?"),
        ("- {account_id: a, workspace_id: w, channel: email, credentials: {pasword: p}}", "did you mean password?"),
        (
            "- {account_id: a, workspace_id: w, channel: email, credentials: {xyz: p}}",
            "known are access_token, client_id",
        ),
        ("- {account_id: a, workspace_id: w, channel: email, settings: {smpt: {}}}", "did you mean smtp?"),
        ("- {account_id: a, workspace_id: w, channel: email, settings: {imap: {host: 5}}}", "cannot be used: imap"),
        ("- {account_id: a, workspace_id: w, channel: email, settings: {rates: {}}}", None),
    ],
)
def test_what_is_none_of_the_channels_is_refused(tmp_path: Path, text: str, says: str | None) -> None:
    for read in (
        lambda file: read_accounts_file(file, KEY, Rules.of(email.build())),
        lambda file: seal_accounts_file(file, public_key(KEY), Rules.of(email.build())),
    ):
        if says is None:
            read(write(tmp_path, text))
            continue
        with pytest.raises(InvalidAccountsFile) as raised:
            read(write(tmp_path, text))
        assert says in str(raised.value)


@pytest.mark.parametrize("channel", [email.build(), telegram.build(), tiktok.build(), whatsapp.build()])
def test_every_channel_says_what_its_accounts_hold(channel: Channel) -> None:
    rules = Rules.of(channel)
    assert rules.names is not None
    documented = (ROOT / "docs" / "channels.md").read_text()
    names = rules.names.credentials | rules.names.settings
    assert [
        name for name in sorted(names) if f"`{name}`" not in documented and f"`imap.{name}`" not in documented
    ] == []


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
