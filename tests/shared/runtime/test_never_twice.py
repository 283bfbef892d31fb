"""Never twice, never lost: a message of many parts, interrupted at every single point at which it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from shared.channel import Call, Receipt
from shared.state.client import StateUnavailable
from shared.stream.errors import LogUnavailable, NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import WINDOW, Killed, PlainChannel, ReconcilingChannel, item
from tests.shared.runtime.world import World

TEXT = "one|two|three"
PARTS = TEXT.split("|")
QUOTA = WINDOW.model_copy(update={"quota": 50})
_MOST_POINTS = 200


class Interruption:
    """Raises once, at the `point`-th thing that the process does outside itself: before it is done, or after."""

    def __init__(self, point: int, after: bool, error: Callable[[str], BaseException]) -> None:
        self.left = point
        self.happened = False
        self._after = after
        self._error = error

    def around(self, what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def begun(*arguments: Any, **named: Any) -> asyncio.Future[Any]:
            return asyncio.ensure_future(interrupted(*arguments, **named))

        async def interrupted(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            due = self.left == 0
            if due and not self._after:
                self._raise(what)
            result = await work(*arguments, **named)
            if due:
                self._raise(what)
            return result

        return begun

    def _raise(self, what: str) -> None:
        self.happened = True
        raise self._error(what)


def interrupt(
    world: World, patch: pytest.MonkeyPatch, point: int, after: bool, error: Callable[[str], BaseException]
) -> Interruption:
    """Put an interruption around everything that the error can strike."""
    made = Interruption(point, after, error)
    for name in ("call", "calls", "script", "scripts"):
        patch.setattr(world.client, name, made.around("state", getattr(world.client, name)))
    patch.setattr(world.log, "enqueue", made.around("log", world.log.enqueue))
    if error is killed:
        patch.setattr(world.channel, "perform", made.around("provider", world.channel.perform))
    return made


async def ends(world: World, command_id: str) -> dict[int, str]:
    """The last state that was told of each part."""
    return {status["part"]["index"]: status["state"] for status in await world.statuses(command_id)}


async def killed_at_every_point(world: World, after: bool, check: Callable[[World, str], Any]) -> int:
    """Send one message per point, each to its own conversation; returns how many points there are."""
    for point in range(1, _MOST_POINTS):
        command_id, peer = f"c{point}", f"p{point}"
        await world.receive(item(id=f"m{point}", peer=peer))
        record = await world.command(text=TEXT, command_id=command_id, conversation_id=f"plain:acc_1:{peer}")
        world.provider.made.clear()
        with pytest.MonkeyPatch.context() as patch:
            interruption = interrupt(world, patch, point, after, killed)
            with suppress(Killed):
                await world.handle(record)
        if not interruption.happened:
            return point - 1
        await world.restart()
        await world.handle(record)
        await check(world, command_id)
        again = len(world.provider.made)
        await world.handle(record)
        assert len(world.provider.made) == again, "the same command a third time"
    raise AssertionError("there is no end of points")


def killed(_: str) -> BaseException:
    return Killed()


def away(what: str) -> BaseException:
    """What an outage of the state or of the log looks like."""
    return StateUnavailable() if what == "state" else LogUnavailable()


@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_nothing_is_sent_twice_and_every_part_has_an_end(
    make_world: MakeWorld, after: bool
) -> None:
    async def check(world: World, command_id: str) -> None:
        texts, told = world.provider.texts(), await ends(world, command_id)
        assert texts == [part for part in PARTS if part in texts], "twice, or out of order"
        assert set(told) == {0, 1, 2}
        for index, part in enumerate(PARTS):
            assert told[index] == "sent" or told[index] == "uncertain"
            if part not in texts:
                assert told[index] == "uncertain", "said to be sent, and was not"
        assert list(told.values()).count("uncertain") <= 1

    assert await killed_at_every_point(await make_world(), after, check) > 12


@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_a_provider_that_can_be_asked_leaves_no_doubt(make_world: MakeWorld, after: bool) -> None:
    class Asked(ReconcilingChannel):
        async def find_sent(self, call: Any, account: Any, since: Any) -> Receipt | None:
            found = call.params["text"] in self.provider.texts()
            return Receipt((f"found-{next(self.provider.numbers)}",)) if found else None

    async def check(world: World, command_id: str) -> None:
        assert world.provider.texts() == PARTS
        assert set((await ends(world, command_id)).values()) == {"sent"}

    assert await killed_at_every_point(await make_world(Asked()), after, check) > 12


@pytest.mark.parametrize("after", [False, True])
async def test_an_outage_anywhere_makes_nothing_uncertain(make_world: MakeWorld, after: bool) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    for point in range(1, _MOST_POINTS):
        command_id, conversation = f"c{point}", f"plain:acc_1:p{point}"
        await world.receive(item(id=f"m{point}", peer=f"p{point}"))
        record = await world.command(text=TEXT, command_id=command_id, conversation_id=conversation)
        world.provider.made.clear()
        with pytest.MonkeyPatch.context() as patch:
            interruption = interrupt(world, patch, point, after, away)
            await world.handle(record)
        if not interruption.happened:
            break
        assert world.provider.texts() == PARTS, f"point {point}"
        assert await ends(world, command_id) == dict.fromkeys(range(3), "sent"), f"point {point}"
        assert (await world.store.open(conversation, "any")).quota_used == 3, f"point {point}"
        assert (await world.feed(conversation))[-1]["window"]["quota_used"] == 3, f"point {point}"
    assert point > 12


@pytest.mark.parametrize("after", [False, True])
async def test_an_outage_while_receiving_loses_nothing(make_world: MakeWorld, after: bool) -> None:
    world = await make_world(PlainChannel())
    await world.receive(item("referred", id="r0", peer="p0"))
    for point in range(1, _MOST_POINTS):
        peer = f"p{point}"
        records = await world.raw(
            item("referred", id="r1", peer=peer),
            item(id="m1", peer=peer, name="Ida"),
            item("blocked", id="b1", peer=peer),
        )
        with pytest.MonkeyPatch.context() as patch:
            interruption = interrupt(world, patch, point, after, away)
            for record in records:
                await until_done(world, record)
        found = [record async for record in world.records(world.topics.inbound("plain"))]
        ours = [dict(record.headers) for record in found if record.key == f"plain:acc_1:{peer}".encode()]
        distinct = list(dict.fromkeys(headers["ce_id"] for headers in ours))
        kinds = [next(h["ce_type"] for h in ours if h["ce_id"] == one) for one in distinct]
        assert kinds == [
            b"channels.conversation.referred.v1",
            b"channels.message.received.v1",
            b"channels.contact.blocked.v1",
        ], f"point {point}"
        assert (await world.feed(f"plain:acc_1:{peer}"))[-1]["reachable"] is False
        if not interruption.happened:
            return
    raise AssertionError("there is no end of points")


async def until_done(world: World, record: Any) -> None:
    """As a lane does: asked again until it is done."""
    for _ in range(5):
        try:
            await world.process.normaliser.handle(record)
        except NotNow:
            continue
        return
    raise AssertionError("it waits for ever")


async def test_another_release_finishes_a_message_as_it_was_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten parts, half of them sent when the process dies; who takes over would split the text in another way."""
    letters = list("abcdefghij")
    record = await world.command(text="|".join(letters), command_id="c1")
    perform = world.channel.perform

    async def until_the_sixth(call: Call, *arguments: Any) -> Receipt:
        if call.params["text"] == "f":
            raise Killed
        return await perform(call, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(world.channel, "perform", until_the_sixth)
        with pytest.raises(Killed):
            await world.handle(record)
    await world.restart()
    monkeypatch.setattr(world.channel, "plan", lambda *_: [Call("text", {"text": "abc"}), Call("text", {"text": "d"})])
    await world.handle(record)
    assert world.provider.texts() == [*letters[:5], *letters[6:]]
    assert await ends(world, "c1") == {part: "uncertain" if part == 5 else "sent" for part in range(10)}
