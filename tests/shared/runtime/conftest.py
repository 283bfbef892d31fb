"""A world per test: an own database of one real Valkey, a log in memory, a blob directory, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from sandbox.valkey import ValkeyServer
from tests.shared.runtime.clock import Clock
from tests.shared.runtime.plain_channel import PlainChannel
from tests.shared.runtime.world import World

MakeWorld = Callable[..., Awaitable[World]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey() -> AsyncIterator[ValkeyServer]:
    async with ValkeyServer() as server:
        yield server


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the runtime logs is a test's business only where the test looks at it."""
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    moved.install(monkeypatch)
    return moved


@pytest.fixture
async def make_world(valkey: ValkeyServer, tmp_path: Path, clock: Clock) -> AsyncIterator[MakeWorld]:
    worlds: list[World] = []

    async def make(channel: PlainChannel | None = None, **options: Any) -> World:
        world = World(valkey.url, tmp_path, clock, channel, **options)
        if not worlds:
            await world.client.call("FLUSHALL")
        worlds.append(world)
        await world.start()
        return world

    yield make
    for world in worlds:
        await world.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()
