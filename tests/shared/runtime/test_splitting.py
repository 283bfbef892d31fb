"""A call one part of which is refused is made as several, also by a process that takes the command over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.channel import Call, Failure, PlanContext
from shared.contract.commands import Command, CommandType
from shared.contract.errors import ErrorCode
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import PlainChannel
from tests.shared.runtime.world import World


class AlbumChannel(PlainChannel):
    """An album of the letters of the text, and a text behind it; a refused letter goes alone."""

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return [_album(command.content.text), Call("text", {"text": "end"})]  # type: ignore[attr-defined]

    def adjust(self, call: Call, failure: Failure) -> Sequence[Call] | None:
        text, item = call.params["text"], failure.facts.get("item")
        if item is None or call.method != "album":
            return None
        alone = replace(_album(text[item]), method="alone")
        return [*map(_album, filter(None, [text[:item]])), alone, *map(_album, filter(None, [text[item + 1 :]]))]


def _album(text: str) -> Call:
    return Call("album", {"text": text}, parts=len(text))


def _refused(item: int) -> Failure:
    return Failure(ErrorCode.FILE_TYPE_UNSUPPORTED, provider_code="x", facts={"item": item})


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(AlbumChannel())


async def test_the_refused_item_goes_alone_and_every_part_has_its_status(world: World) -> None:
    world.provider.will("abcd", _refused(1))
    await world.send(text="abcd", command_id="c1")
    assert world.provider.texts() == ["a", "b", "cd", "end"]
    assert await world.states("c1") == [f"sent:{part}" for part in range(5)]


async def test_an_item_behind_it_may_be_refused_as_well(world: World) -> None:
    world.provider.will("abcd", _refused(0))
    world.provider.will("bcd", _refused(2))
    await world.send(text="abcd", command_id="c1")
    assert world.provider.texts() == ["a", "bc", "d", "end"]
    assert await world.states("c1") == [f"sent:{part}" for part in range(5)]


async def test_an_item_without_another_way_fails_for_itself(world: World) -> None:
    world.provider.will("abc", _refused(1))
    world.provider.will("b", Failure(ErrorCode.CONTENT_REJECTED))
    await world.send(text="abc", command_id="c1")
    assert await world.states("c1") == ["sent:0", "failed:1", "cancelled:2", "cancelled:3"]


@pytest.mark.parametrize(
    ("stops_at", "sent_before"), [("a", []), ("b", ["a"]), ("cd", ["a", "b"]), ("end", ["a", "b", "cd"])]
)
async def test_another_process_goes_on_where_it_was_split(world: World, stops_at: str, sent_before: list[str]) -> None:
    world.provider.will("abcd", _refused(1))
    wait = Failure(ErrorCode.RATE_LIMITED, retry_after=600.0)
    world.provider.will(stops_at, wait)
    await world.send(text="abcd", command_id="c1")
    assert world.provider.texts() == sent_before
    await world.restart()
    await world.come_due(700)
    assert world.provider.texts() == ["a", "b", "cd", "end"]
    assert {s["state"] for s in await world.statuses("c1") if s["state"] != "deferred"} == {"sent"}
    asked = [str(call.params["text"]) for call in world.provider.asked]
    assert asked.count("abcd") == 1
