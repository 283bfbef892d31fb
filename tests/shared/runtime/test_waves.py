"""Raw records that are handled together become the same events as one by one, whatever comes among them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from shared.state.client import StateUnavailable
from shared.stream.errors import LogUnavailable
from shared.stream.records import Record
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, Killed, item
from tests.shared.runtime.world import Away, World
from tests.shared.stream.support import dispatcher, eventually

KINDS = ("message",) * 6 + (
    "echo",
    "postback",
    "reaction",
    "deleted",
    "consent",
    "blocked",
    "unblocked",
    "status",
    "odd",
)


def mixed(seed: int, count: int = 400, people: int = 25) -> list[dict[str, Any]]:
    """Items of many people: several of each, some of them twice, replies, new names, some that nobody can read."""
    dice = random.Random(seed)
    items: list[dict[str, Any]] = []
    for number in range(count):
        if items and dice.random() < 0.05:
            items.append(dice.choice(items))
            continue
        peer, before = f"p{dice.randrange(people)}", f"m{dice.randrange(number + 1)}"
        facts: dict[str, Any] = {"consent": dice.choice(("opted_out", "opted_in")), "state": "read", "target": before}
        if dice.random() < 0.2:
            facts["reply_to"] = before
        if dice.random() < 0.1:
            facts["aliases"] = [{"kind": "username", "value": f"{peer}.{dice.randrange(2)}"}]
        if dice.random() < 0.1:
            facts["names"] = [f"also.{peer}"]
        items.append(item(dice.choice(KINDS), id=f"m{number}", peer=peer, **facts))
    return items


async def told(world: World) -> dict[tuple[str, bytes | None], list[tuple[object, bytes | None]]]:
    """What is on the topics, by key and in order: ids and bodies. The state feed's ids bear the moment."""
    found = defaultdict(list)
    for topic in (world.topics.inbound(CHANNEL), world.topics.state(CHANNEL), world.topics.deadletter(CHANNEL)):
        async for record in world.records(topic):
            found[topic, record.key].append((dict(record.headers).get("ce_id"), record.value))
    return found


async def dispatched(
    world: World, count: int, wave: Callable[[Sequence[Record]], Awaitable[Sequence[Record]]]
) -> list[str]:
    """Let a dispatcher handle so many raw records in waves. Returns how each of them ended."""
    ends: list[str] = []
    options = {"wave": wave, "observe": lambda outcome, record, seconds: ends.append(outcome)}
    async with dispatcher(world.log, "waves", world.topics.raw(CHANNEL), world.process.normaliser.handle, **options):
        await eventually(lambda: ends.count("handled") == count)
    return ends


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_handled_together_is_told_as_if_it_were_handled_alone(make_world: MakeWorld, seed: int) -> None:
    alone = await make_world()
    for record in await alone.raw(*mixed(seed)):
        await alone.process.normaliser.handle(record)
    expected = await told(alone)
    await alone.client.call("FLUSHALL")
    together = await make_world()
    sizes: list[tuple[int, int]] = []

    async def wave(records: Sequence[Record]) -> Sequence[Record]:
        left = await together.process.normaliser.wave(records)
        sizes.append((len(records), len(left)))
        return left

    count = len(await together.raw(*mixed(seed)))
    await dispatched(together, count, wave)
    assert await told(together) == expected
    assert max(size for size, _ in sizes) > 10  # they were together
    assert sum(left for _, left in sizes) < count / 3  # and not many were left


async def test_one_bad_record_does_not_keep_the_others(world: World) -> None:
    good = [item(id=f"m{number}", peer=f"p{number}") for number in range(20)]
    records = await world.raw(*good[:10], item("bug", peer="p77"), item("odd", peer="p78"), *good[10:])
    assert [record.key for record in await world.process.normaliser.wave(records)] == [b"acc_1:p77", b"acc_1:p78"]
    assert len(await world.event_types()) == 20


async def test_a_record_that_the_log_refuses_is_left_and_the_others_are_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await world.raw(*(item(id=f"m{number}", peer=f"p{number}") for number in range(5)))
    enqueue = world.log.enqueue

    async def refuses(topic: str, key: bytes | None, *rest: Any) -> Any:
        if key is not None and key.endswith(b":p3") and topic == world.topics.inbound(CHANNEL):
            raise LogUnavailable("not now")
        return await enqueue(topic, key, *rest)

    monkeypatch.setattr(world.log, "enqueue", refuses)
    assert await world.process.normaliser.wave(records) == [records[3]]
    monkeypatch.undo()
    await world.process.normaliser.handle(records[3])
    assert await world.process.normaliser.wave(records) == []  # all of them are known
    assert len(await world.event_types()) == 5


async def test_without_state_all_are_left_and_told_once_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await world.raw(*(item(id=f"m{number}", peer=f"p{number}") for number in range(5)))
    with monkeypatch.context() as away:
        away.setattr(world.client, "_connection", Away())
        with pytest.raises(StateUnavailable):
            await world.process.normaliser.wave(records)
    assert await world.process.normaliser.wave(records) == []
    assert len(await world.event_types()) == 5


async def test_killed_before_they_are_confirmed_they_have_the_same_ids(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await world.raw(*(item(id=f"m{number}", peer=f"p{number}") for number in range(5)))

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "confirm_all", die)
        with pytest.raises(Killed):
            await world.process.normaliser.wave(records)
    await world.restart()
    assert await world.process.normaliser.wave(records) == []
    told_ids = [dict(r.headers)["ce_id"] async for r in world.records(world.topics.inbound(CHANNEL))]
    assert len(told_ids) == 10
    assert told_ids[:5] == told_ids[5:]


async def test_two_records_of_one_conversation_do_not_go_together(world: World) -> None:
    """Their lanes may differ: a contact's names have keys of their own."""
    await world.receive(item(id="m0", peer="p1", names=["q1"]))
    first, second = await world.raw(item(id="m1", peer="p1"), item(id="m2", peer="q1", reply_to="m1"))
    assert await world.process.normaliser.wave([first, second]) == [second]
    await world.process.normaliser.handle(second)
    assert len({data["conversation_id"] for _, data in await world.events()}) == 1


async def test_statuses_and_healths_go_with_them(world: World) -> None:
    await world.send(text="hello")
    [sent] = await world.statuses()
    records = await world.raw(
        item(id="m1", peer="p2"),
        item("health", peer="p3", health="degraded"),
        item("status", id=sent["provider_message_id"], state="read"),
    )
    assert await world.process.normaliser.wave(records) == []
    assert (await world.healths())[-1] == "degraded"
    assert [status["state"] for status in await world.statuses()] == ["sent", "read"]
