"""Fixtures: one world per broker for all end-to-end tests, three replicas per channel, logs shown on failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.broker import kafka_missing
from tests.e2e.providers import NAMES
from tests.e2e.world import ChannelUnderTest, World, make_broker, running

KAFKA = pytest.param(
    "kafka",
    marks=[
        pytest.mark.kafka,
        pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
    ],
)
REPLICAS = 3
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests run on the loop of the session: the simulators and readers of the world live there."""
    for item in items:
        if item.path.is_relative_to(HERE) and "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["tansu"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The world on one broker; tests that are to run on real Kafka too parametrise it indirectly."""
    async with running(make_broker(request.param)) as world:
        if request.param == "tansu":
            await asyncio.gather(*(world.channel(name, REPLICAS) for name in NAMES))
        yield world


@pytest_asyncio.fixture(loop_scope="session", params=NAMES)
async def channel(request: pytest.FixtureRequest, world: World) -> ChannelUnderTest:
    """Each channel, three replicas up."""
    return await world.channel(request.param, REPLICAS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """A failed test shows the last words of the services."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections.append(("logs of the services", world.logs_of_services()))
    return report
