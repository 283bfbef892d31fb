"""Rights that are taken away and given back on Apache Kafka: everybody waits, nobody ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.broker import HOST, Kafka, free_port, kafka_missing
from shared.stream.errors import LogUnavailable
from shared.stream.kafka import KafkaLog, Security
from tests.integration.admin import GROUP, READ, TOPIC, WRITE, operator
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, topic

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.kafka,
    pytest.mark.timeout(300),
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
]
USER, PASSWORD = "service", "secret"


class GuardedKafka(Kafka):
    """A broker that knows its users, and creates topics for whoever asks; the operator comes in by the other door."""

    def __init__(self) -> None:
        super().__init__()
        self.guarded = f"{HOST}:{free_port()}"

    def _settings(self, number: int, home: Path) -> dict[str, object]:
        made = super()._settings(number, home)
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        return made | {
            "listeners": f"{made['listeners']},GUARDED://{self.guarded}",
            "advertised.listeners": f"{made['advertised.listeners']},GUARDED://{self.guarded}",
            "listener.security.protocol.map": f"{made['listener.security.protocol.map']},GUARDED:SASL_PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": login,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
            "auto.create.topics.enable": "true",
        }


@pytest_asyncio.fixture
async def guarded() -> AsyncIterator[GuardedKafka]:
    async with GuardedKafka() as broker:
        yield broker


async def test_rights_taken_away_are_waited_for_and_topics_are_not_made_by_asking(guarded: GuardedKafka) -> None:
    told: list[tuple[str, str]] = []
    log = KafkaLog(
        guarded.guarded,
        client_id="test",
        security=Security("SASL_PLAINTEXT", "PLAIN", USER, PASSWORD),
        send_timeout=8.0,
        session_timeout=6.0,
        rebalance_timeout=15.0,
        observe=lambda *what: told.append(what),
    )
    await log.start()
    async with operator(guarded) as by_hand:
        name = await topic(log, "guarded")
        seen = Seen()
        async with dispatcher(log, "group", name, seen, commit_interval=0.1) as reading:
            await fill(log, name, [(b"k%d" % n, b"before") for n in range(5)])
            await eventually(lambda: len(seen) == 5)

            await by_hand.deny(USER, TOPIC, name, WRITE)
            with pytest.raises(LogUnavailable, match="TopicAuthorizationFailed"):
                await until_refused(log, name)
            await by_hand.give_back(TOPIC, name)
            await until_stored(log, name)
            assert told == []  # nothing was lost count of, so nobody had to begin anew

            await by_hand.deny(USER, TOPIC, name, READ)
            await asyncio.sleep(1.5)
            heartbeat = reading.heartbeat
            await eventually(lambda: reading.heartbeat > heartbeat)
            await by_hand.give_back(TOPIC, name)
            await eventually(lambda: b"allowed" in seen.values, 60)

            await by_hand.deny(USER, GROUP, "group", READ)
            await asyncio.sleep(3)
            heartbeat = reading.heartbeat
            await eventually(lambda: reading.heartbeat > heartbeat)
            await by_hand.give_back(GROUP, "group")
            await log.send(name, b"k", b"after")
            await eventually(lambda: b"after" in seen.values, 60)

        with pytest.raises(LogUnavailable):
            await log.send("asked.for", b"k", b"v")
        with pytest.raises(LogUnavailable):
            await log.ends("asked.for")
        assert "asked.for" not in await by_hand.topics()
    await log.stop()


async def until_refused(log, name: str) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while True:
            await log.send(name, b"k", b"meanwhile")


async def until_stored(log, name: str) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while True:
            try:
                await log.send(name, b"k", b"allowed")
                return
            except LogUnavailable:
                await asyncio.sleep(0.05)
