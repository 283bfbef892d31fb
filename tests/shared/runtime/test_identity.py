"""Who is who: a name means one conversation, on every replica, also after it has come to mean another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from shared.runtime.reporting import identity
from shared.runtime.reporting.identity import FRESH_SECONDS, Identities
from tests.shared.runtime.plain_channel import CHANNEL
from tests.shared.runtime.world import World


class CountingStore:
    """The world's store; counts the names it is asked for."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def peers(self, channel: str, aliases: Sequence[tuple[str, str]]) -> list[str | None]:
        self.asked.extend(alias for _, alias in aliases)
        return await self._store.peers(channel, aliases)


def replica(world: World) -> tuple[Identities, CountingStore]:
    store = CountingStore(world)
    return Identities(CHANNEL, store, world.clock.read), store  # type: ignore[arg-type]


async def resolved(identities: Identities, peer: str, aliases: Sequence[str] = ()) -> str:
    return await identities.resolve("acc_1", peer, aliases)


async def test_a_change_that_another_replica_has_seen_is_known_here_within_a_minute(world: World) -> None:
    (here, _), (there, _) = replica(world), replica(world)
    assert await resolved(here, "new", ["contact"]) == "new"
    await resolved(there, "old")
    await world.store.rename(CHANNEL, "acc_1", "new", "old")
    assert await resolved(there, "new") == "old"
    assert await resolved(here, "new") == "new", "not yet: it is remembered"
    world.clock.advance(FRESH_SECONDS)
    assert await resolved(here, "new") == "old"


async def test_within_a_minute_the_store_is_asked_once(world: World) -> None:
    here, store = replica(world)
    for _ in range(3):
        assert await resolved(here, "p1", ["n1", "n2"]) == "p1"
        world.clock.advance(FRESH_SECONDS / 4)
    assert sorted(store.asked) == ["n1", "n2", "p1"]
    world.clock.advance(FRESH_SECONDS / 4)
    assert await resolved(here, "n1", ["n2"]) == "p1"
    assert sorted(store.asked) == ["n1", "n1", "n2", "n2", "p1"]


async def test_what_was_asked_for_does_not_grow_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_REMEMBERED", 3)
    here, store = replica(world)
    for number in range(10):
        assert await resolved(here, f"p{number}", [f"n{number}"]) == f"p{number}"
    assert len(here._peers) == 3
    store.asked.clear()
    assert await resolved(here, "p9", ["n9"]) == "p9"
    assert store.asked == []
    assert await resolved(here, "n0") == "p0"


async def test_more_names_than_are_remembered_are_still_one_contact(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_REMEMBERED", 2)
    here, _ = replica(world)
    assert await resolved(here, "p1", ["n1", "n2", "n3"]) == "p1"
    assert await resolved(here, "n3") == "p1"
