"""Fixtures: brokers as child processes, one of each kind per session, and a connected log on every kind."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from sandbox.broker import Broker, Kafka, Tansu, kafka_missing
from shared.stream.kafka import KafkaLog
from shared.stream.log import Log
from shared.stream.memory import MemoryLog

KAFKA = pytest.param(
    "kafka",
    marks=[
        pytest.mark.kafka,
        pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
    ],
)
# Short sessions, so that members notice a rebalance within a second. The embedded broker lets half a session pass
# before every assignment, and the whole of it after its first member left.
SESSION_SECONDS = {Kafka: 3.0, Tansu: 2.0}

_numbers = itertools.count()


def connect(broker: Broker, **settings: Any) -> KafkaLog:
    """A log on this broker, not started."""
    return KafkaLog(
        broker.bootstrap,
        client_id="test",
        idempotent=isinstance(broker, Kafka),
        **{"session_timeout": SESSION_SECONDS[type(broker)], "rebalance_timeout": 15.0, **settings},
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tansu_broker() -> AsyncIterator[Tansu]:
    async with Tansu() as broker:
        yield broker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka_broker() -> AsyncIterator[Kafka]:
    async with Kafka() as broker:
        yield broker


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker | None:
    """The broker a test runs on; None means in memory. Parametrise it indirectly by name."""
    name = request.param
    return None if name == "memory" else request.getfixturevalue(f"{name}_broker")


@pytest_asyncio.fixture
async def log(broker: Broker | None) -> AsyncIterator[Log]:
    """A started log on `broker`."""
    log: Log = MemoryLog() if broker is None else connect(broker)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses: topics and groups outlive a test."""
    return lambda name: f"{name}.{os.getpid()}.{next(_numbers)}"


every_log = pytest.mark.parametrize("broker", ["memory", "tansu", KAFKA], indirect=True)
# For what does not depend on how a broker runs its groups: the embedded one is slow there.
memory_and_kafka = pytest.mark.parametrize("broker", ["memory", KAFKA], indirect=True)
