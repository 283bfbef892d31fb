"""Every script against a real Valkey, alone and in cluster mode, where keys of two slots are refused."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.valkey import ValkeyServer
from shared.state import keys
from shared.state.client import Client, StateUnavailable
from shared.state.store import Binding, Confirmation, Settlement, Store

CONVERSATION = "telegram:bot_1:42"


async def test_newest_inbound_wins_and_old_ones_move_nothing_back(store: Store) -> None:
    await store.observe(CONVERSATION, opened_at=2_000, last_ref="42:2")
    after = await store.observe(CONVERSATION, opened_at=1_000, last_ref="42:1", fields={"name": "Ida"})
    assert after.conversation["last_inbound"] == "2000"
    assert after.conversation["last_ref"] == "42:2"
    assert after.conversation["name"] == "Ida"


@pytest.mark.parametrize("second", [1_999, 2_000, 2_001])
async def test_a_second_message_is_a_reply_whenever_it_was_written(store: Store, second: int) -> None:
    await store.observe(CONVERSATION, opened_at=2_000, last_ref="42:1")
    again = await store.observe(CONVERSATION, opened_at=2_000, last_ref="42:1")
    assert "replied" not in again.conversation
    after = await store.observe(CONVERSATION, opened_at=second, last_ref="42:2")
    assert after.conversation["replied"] == "1"
    assert after.conversation["last_inbound"] == str(max(second, 2_000))


async def test_confirmed_events_are_seen_and_their_messages_found(store: Store) -> None:
    first = await store.observe(CONVERSATION, event_ids=["e1", "e2"], target_ids=["m1"])
    assert first.seen == frozenset()
    assert first.targets == {"m1": ""}
    await store.confirm_all([Confirmation(CONVERSATION, ["e1"], {"m1": "42:7"}, {"fed": "f1"})])
    second = await store.observe(CONVERSATION, event_ids=["e1", "e2"], target_ids=["m1"])
    assert second.seen == {"e1"}
    assert second.targets == {"m1": "42:7"}
    assert second.conversation["fed"] == "f1"


async def test_a_call_is_claimed_once(store: Store) -> None:
    assert (await store.intend(CONVERSATION, "c1", "call:0", "me")).answer == "ok"
    again = await store.intend(CONVERSATION, "c1", "call:0", "other")
    assert (again.answer, again.value) == ("taken", "me")


async def test_quota_is_reserved_whole_or_not_at_all(store: Store) -> None:
    parts = [f"c1:{i}" for i in range(3)]
    first = await store.intend(CONVERSATION, "c1", "call:0", "x", quota_limit=4, quota_members=parts)
    assert first.answer == "ok"
    refused = await store.intend(CONVERSATION, "c2", "call:0", "x", quota_limit=4, quota_members=["c2:0", "c2:1"])
    assert (refused.answer, refused.value) == ("quota", "3")
    await store.settle(CONVERSATION, "c1", Settlement(quota_drop=parts[1:], quota_add=["sent-1"]))
    await store.settle(CONVERSATION, "c1", Settlement(quota_drop=parts[:1]))
    assert (await store.open(CONVERSATION, "c2")).quota_used == 1
    seconds, _ = await store.client.call("TIME")
    await store.observe(CONVERSATION, opened_at=(int(seconds) - 60) * 1000, last_ref="before")
    assert (await store.open(CONVERSATION, "c2")).quota_used == 1
    await store.observe(CONVERSATION, opened_at=(int(seconds) + 60) * 1000, last_ref="after")
    assert (await store.open(CONVERSATION, "c2")).quota_used == 0


async def test_targets_are_unknown_pending_or_resolved(store: Store) -> None:
    await store.intend(CONVERSATION, "c1", "call:0", "x", pending=["pending"])
    await store.settle(CONVERSATION, "c1", Settlement(messages={"done": "42:9"}))
    opened = await store.open(CONVERSATION, "c1", ["pending", "done", "never"])
    assert opened.targets == {"pending": "", "done": "42:9", "never": None}
    assert opened.ledger == {"call:0": "x"}


async def test_a_part_never_goes_back(store: Store) -> None:
    assert (await store.advance(CONVERSATION, "c1", "part:0", "3|sent", 3, "t1"))[0]
    moved, ledger = await store.advance(CONVERSATION, "c1", "part:0", "5|read", 5, "t2")
    assert moved
    assert ledger == {"part:0": "5|read", "at": "t2"}
    moved, ledger = await store.advance(CONVERSATION, "c1", "part:0", "4|delivered", 4, "t3")
    assert not moved
    assert ledger == {"part:0": "5|read", "at": "t2"}


async def test_the_time_in_a_status_never_runs_backwards(store: Store) -> None:
    def value(at: str) -> str:
        return f'1|x|{{"detail":"says \\"occurred_at\\":\\"{at}\\"","occurred_at":"{at}","state":"x"}}'

    await store.advance(CONVERSATION, "c1", "part:0", value("10:05"), 1, "10:05")
    _, ledger = await store.advance(CONVERSATION, "c1", "part:1", value("10:03"), 1, "10:03")
    assert ledger["part:1"] == value("10:03").replace(',"occurred_at":"10:03"', ',"occurred_at":"10:05"')
    parts = {"part:2": (value("10:04"), 1, "10:04")}
    ledger = await store.settle(CONVERSATION, "c1", Settlement(parts=parts))
    assert ledger["part:2"].endswith('"occurred_at":"10:05","state":"x"}')


async def test_an_early_status_waits_for_its_message(store: Store) -> None:
    assert await store.match("whatsapp", "wa_1", "wamid.1", {"state": "sent"}) is None
    assert await store.match("whatsapp", "wa_1", "wamid.1", {"state": "read"}) is None
    binding = Binding("whatsapp", "wa_1", "wamid.1", {"command_id": "c1"})
    [early] = await store.bind([binding])
    assert early == [{"state": "sent"}, {"state": "read"}]
    assert await store.match("whatsapp", "wa_1", "wamid.1", {"state": "read"}) == {"command_id": "c1"}
    assert await store.bind([binding]) == [early]
    await store.drop_waiting("whatsapp", "wa_1", "wamid.1")
    assert await store.bind([binding]) == [[]]
    assert await store.match("whatsapp", "wa_2", "wamid.1", {"state": "read"}) is None


async def test_the_first_peer_of_an_alias_stays(store: Store) -> None:
    assert await store.adopt("whatsapp", "wa_1", "p-1", "BR.1") == "BR.1"
    assert await store.adopt("whatsapp", "wa_1", "p-1", "p-1") == "BR.1"


async def test_a_bucket_gives_its_burst_then_makes_wait(store: Store) -> None:
    bucket = keys.bucket("pair", CONVERSATION)
    waits = [(await store.take([(bucket, 1, 3)], longest_wait=10))[1] for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert 0.9 < waits[3] <= 1.0
    assert 1.9 < waits[4] <= 2.0
    taken, wait, _ = await store.take([(bucket, 1, 3)], longest_wait=0.5)
    assert not taken
    assert 2.9 < wait <= 3.0


async def test_a_penalty_holds_everything_back(store: Store) -> None:
    bucket = keys.bucket("account", "bot_1")
    await store.penalise(bucket, 30)
    taken, wait, slowest = await store.take([(bucket, 100, 100)], longest_wait=1)
    assert not taken
    assert 29 < wait <= 30.0
    assert slowest == 0


async def test_a_lease_has_one_holder(store: Store) -> None:
    async with store.lease("refresh", "tt_1") as first, store.lease("refresh", "tt_1") as second:
        assert (first, second) == (True, False)
    async with store.lease("refresh", "tt_1") as third:
        assert third


async def test_a_secret_changes_only_from_what_was_seen(store: Store) -> None:
    assert await store.replace_secret("tiktok", "tt_1", None, "a")
    assert not await store.replace_secret("tiktok", "tt_1", None, "b")
    assert await store.replace_secret("tiktok", "tt_1", "a", "c")
    assert await store.secret("tiktok", "tt_1") == "c"


async def test_many_calls_of_one_moment_all_get_their_own_answer(store: Store) -> None:
    answers = await asyncio.gather(*(store.adopt("t", "a", f"alias-{i}", f"peer-{i}") for i in range(1_000)))
    assert answers == [f"peer-{i}" for i in range(1_000)]


async def test_cancel_rules_and_cursors_are_kept(store: Store) -> None:
    await store.cancel(CONVERSATION, "actor:ai_agent", "17")
    assert (await store.open(CONVERSATION, "c1")).cancelled == {"actor:ai_agent": "17"}
    await store.set_cursor("telegram", "bot_1", "99")
    assert await store.cursor("telegram", "bot_1") == "99"


async def test_every_key_lives_for_a_while_and_shows_nobody(store: Store) -> None:
    await store.observe(CONVERSATION, opened_at=1, last_ref="r")
    await store.intend(CONVERSATION, "c1", "call:0", "x", quota_limit=9, quota_members=["c1:0"])
    await store.confirm_all([Confirmation(CONVERSATION, ["e1"])])
    await store.settle(CONVERSATION, "c1", Settlement(messages={"m": "42:9"}, outbox=["42:9"]))
    await store.cancel(CONVERSATION, "all", "1")
    await store.match("telegram", "bot_1", "42:9", {})
    await store.bind([Binding("telegram", "bot_1", "42:9", {})])
    await store.adopt("telegram", "bot_1", "@ida", "42")
    await store.since(CONVERSATION)
    await store.join_thread(CONVERSATION, ["ida-1"], "ida-1")
    await store.keep_note(CONVERSATION, "ida-1", {"note": "{}"})
    await store.take([(keys.bucket("pair", CONVERSATION), 1, 1)], longest_wait=1)
    await store.first_in(10 * keys.PERIOD.ttl, "probe", "bot_1")
    await store.set_cursor("telegram", "bot_1", "99")
    await store.set_rate(20, 20, "telegram", "bot_1")
    await store.replace_secret("telegram", "bot_1", None, "sealed")
    await store.keep_upload(keys.upload("telegram", "bot_1", "99", "digest photo"), "file id")
    async with store.lease("refresh", "bot_1"):
        names = await store.client.call("KEYS", "*")
        lives = {name.partition(":")[0]: await store.client.call("TTL", name) for name in names}
    assert not [name for name in names if "bot_1" in name or ":42" in name or "ida" in name]
    declared = {spec.prefix: spec.ttl for spec in keys.ALL if spec is not keys.PROBED}  # which is gone at once
    assert len(names) == len(declared) == len(lives)
    assert {
        prefix: life for prefix, life in lives.items() if not declared[prefix] - 10 < life <= declared[prefix] + 1
    } == {}


async def test_every_write_of_the_quota_gives_it_the_same_life(store: Store) -> None:
    quota = keys.ConversationKeys(CONVERSATION).quota
    for write in (
        store.intend(CONVERSATION, "c1", "call:0", "x", quota_limit=9, quota_members=["c1:0"]),
        store.settle(CONVERSATION, "c1", Settlement(quota_add=["c1:1"])),
        store.count(CONVERSATION, "elsewhere", 1),
    ):
        await store.client.call("DEL", quota)
        await write
        assert keys.QUOTA.ttl - 10 < await store.client.call("TTL", quota) <= keys.QUOTA.ttl


async def test_a_bucket_is_remembered_until_it_is_full_again(store: Store) -> None:
    bucket = keys.bucket("whatsapp", "pair", CONVERSATION)
    await store.take([(bucket, 1 / 6, 45)], longest_wait=0)
    assert await store.client.call("TTL", bucket) > 44 * 6
    await store.penalise(bucket, 30)
    assert await store.client.call("TTL", bucket) > 30 + 44 * 6


async def test_what_is_told_of_a_ledger_that_is_gone_makes_none(store: Store) -> None:
    await store.tell(CONVERSATION, "c1", "told:0", "read")
    assert (await store.open(CONVERSATION, "c1")).ledger == {}
    await store.advance(CONVERSATION, "c1", "part:0", "3|read", 3, "t1")
    await store.tell(CONVERSATION, "c1", "told:0", "read")
    assert (await store.open(CONVERSATION, "c1")).ledger["told:0"] == "read"


async def test_an_outage_is_one_error_and_ends_by_itself() -> None:
    async with ValkeyServer() as server:
        client = Client(server.url, timeout=0.5)
        store = Store(client)
        assert await client.reachable()
        await server.node.kill()
        with pytest.raises(StateUnavailable):
            await store.open(CONVERSATION, "c1")
        assert not await client.reachable()
        await server.node.start()
        assert (await store.open(CONVERSATION, "c1")).ledger == {}
        await client.close()


async def test_too_many_waiting_calls_are_refused() -> None:
    async with ValkeyServer() as server:
        client = Client(server.url, max_waiting=10)
        answers = await asyncio.gather(*(client.call("PING") for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(answer, StateUnavailable) for answer in answers) == 10
        await client.close()


async def test_what_asks_with_a_reserve_gives_way(store: Store) -> None:
    bucket = keys.bucket("tiktok", "app")
    for _ in range(2):
        assert (await store.take([(bucket, 1, 4)], longest_wait=0, reserve=2))[0]
    taken, wait, _ = await store.take([(bucket, 1, 4)], longest_wait=0, reserve=2)
    assert not taken
    assert 0.9 < wait <= 1.0
    for _ in range(2):  # what is kept is there for what asks without
        assert await store.take([(bucket, 1, 4)], longest_wait=0) == (True, 0, 0)
    assert (await store.take([(bucket, 1, 4)], longest_wait=0))[0] is False


async def test_a_reserve_of_more_than_the_bucket_holds_asks_that_it_was_left_alone(store: Store) -> None:
    bucket = keys.bucket("tiktok", "app")
    assert (await store.take([(bucket, 1, 1)], longest_wait=0, reserve=3))[0]
    taken, wait, _ = await store.take([(bucket, 1, 1)], longest_wait=0, reserve=3)
    assert not taken
    assert 3.9 < wait <= 4.0


async def test_one_call_draws_from_several_buckets_of_its_channel(store: Store) -> None:
    names = [keys.bucket("tiktok", "app"), keys.bucket("tiktok", "account", "tt_1"), keys.bucket("tiktok", "pair", "c")]
    buckets = [(name, rate, 1.0) for name, rate in zip(names, (100.0, 1.0, 10.0), strict=True)]
    assert await store.take(buckets, longest_wait=0) == (True, 0, 0)
    taken, _, slowest = await store.take(buckets, longest_wait=0)
    assert (taken, slowest) == (False, 1)
