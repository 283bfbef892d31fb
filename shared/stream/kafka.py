"""The log on Apache Kafka (or a broker that speaks its protocol): connecting, topics, producing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.stream.acks import Acks, translated
from shared.stream.describing import describe, never_create_topics
from shared.stream.embedded import consumer_class
from shared.stream.errors import LogUnavailable, NoSuchPartition, RecordTooLarge
from shared.stream.kafka_consumer import KafkaConsumer, ends, follow, read_partition
from shared.stream.log import CaughtUp, Described, Rebalanced, Stored, TopicSpec
from shared.stream.partitioner import partition_of
from shared.stream.producer import HealingProducer
from shared.stream.records import Headers, Record
from shared.stream.tokens import Tokens

T = TypeVar("T")
Observe = Callable[[str, str], None]

# Headers and framing around the largest key and value: a dead letter must fit where its record did.
OVERHEAD_BYTES = 65_536
FETCH_WAIT_MS = 100
FOLLOW_WAIT_MS = 500
BATCH_BYTES = 16_384
# aiokafka's five minutes are how long it would take to notice a topic that is back, or has grown.
METADATA_AGE_MS = 10_000
# aiokafka cannot ask for the broker's default.
REPLICAS = 3
# Of three: what is acknowledged survives the loss of any broker, and one may be away without stopping anything.
IN_SYNC = 2

never_create_topics()


def _unobserved(what: str, about: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Security:
    """How to authenticate to the broker. The default is plain text without authentication."""

    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str = "PLAIN"
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    tokens: Tokens | None = None
    """Needed with OAUTHBEARER."""

    def options(self) -> dict[str, Any]:
        """The same, in aiokafka's words."""
        return {
            "security_protocol": self.protocol,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_context": self.tls,
            "sasl_oauth_token_provider": self.tokens,
        }


class KafkaLog:
    """See `Log`. Every wait for the broker is bounded by `send_timeout` seconds.

    `idempotent` is for real brokers; the embedded one has no `InitProducerId`, and is read by `EmbeddedConsumer`.
    A key and value larger than `max_record_bytes` together are refused before they are sent; so is, once the topic has
    been described, what makes a larger batch than the topic takes. `observe` is told ("too_large", topic) and
    ("renewed", why) when the producer had to begin anew.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str,
        idempotent: bool = True,
        security: Security | None = None,
        send_timeout: float = 5.0,
        rebalance_timeout: float = 30.0,
        session_timeout: float = 10.0,
        max_record_bytes: int = 1_048_576,
        observe: Observe = _unobserved,
    ) -> None:
        self.rebalance_timeout = rebalance_timeout
        self._send_timeout = send_timeout
        self._session_timeout = session_timeout
        self._max_bytes = max_record_bytes
        self._idempotent = idempotent
        self._connection: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "client_id": client_id,
            "metadata_max_age_ms": METADATA_AGE_MS,
            **(security or Security()).options(),
        }
        self._observe = observe
        self._largest: dict[str, int] = {}
        self._producer: HealingProducer | None = None
        self._renewing = asyncio.Lock()
        self._acks = Acks(send_timeout)

    async def start(self) -> None:
        producer = HealingProducer(
            renewed=partial(self._observe, "renewed"),
            enable_idempotence=self._idempotent,
            request_timeout_ms=int(self._send_timeout * 1000),
            max_request_size=self._max_bytes + OVERHEAD_BYTES,
            max_batch_size=self._batch_bytes(),
            **self._connection,
        )
        try:
            await self._within(producer.start())
        except LogUnavailable:
            await _close(producer, 0)
            raise
        self._producer = producer

    async def stop(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await _close(producer, self._send_timeout)
        self._acks.close()

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """As `Log.ensure_topics`, with three replicas where there are brokers for them, two of which must hold a record
        before it is acknowledged.

        Needs no right to create when nothing is missing.
        """
        admin = AIOKafkaAdminClient(request_timeout_ms=int(self._send_timeout * 1000), **self._connection)
        try:
            await self._within(admin.start())
            existing = await self._within(admin.list_topics())
            brokers = len((await self._within(admin.describe_cluster()))["brokers"])
            missing = [self._new_topic(topic, brokers) for topic in topics if topic.name not in existing]
            answer = await self._within(admin.create_topics(missing)) if missing else None
        finally:
            await admin.close()
        for name, code, *_ in answer.topic_errors if answer else ():
            error = for_code(code)
            # Another replica may have been faster.
            if code and error is not TopicAlreadyExistsError:
                raise LogUnavailable(f"topic {name} was not created: {error.__name__}")

    def _new_topic(self, topic: TopicSpec, brokers: int) -> NewTopic:
        configs = {"cleanup.policy": "compact" if topic.compact else "delete"}
        if topic.retention_ms is not None and not topic.compact:
            configs["retention.ms"] = str(topic.retention_ms)
        configs["max.message.bytes"] = str(self._max_bytes + OVERHEAD_BYTES)
        if brokers >= REPLICAS:
            configs["min.insync.replicas"] = str(IN_SYNC)
        return NewTopic(topic.name, topic.partitions, min(REPLICAS, brokers), topic_configs=configs)

    async def describe(self, topics: Sequence[str]) -> dict[str, Described]:
        producer = await self._ready_producer()
        found = await self._within(describe(producer.client, topics, settings=self._idempotent))
        for name, topic in found.items():
            if topic.largest is not None:
                self._largest[name] = topic.largest
        producer.limit_batches(self._batch_bytes())
        return found

    def _batch_bytes(self) -> int:
        """No batch of several records is too large for any topic."""
        return min((BATCH_BYTES, *self._largest.values()))

    def takes(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        return self._fits(topic, key, value, batch_size(key, value, headers))

    def _fits(self, topic: str, key: bytes | None, value: bytes | None, size: int) -> bool:
        own = len(key or b"") + len(value or b"") <= self._max_bytes and size <= self._max_bytes + OVERHEAD_BYTES
        return own and size <= self._largest.get(topic, size)

    def _refused(self, topic: str, size: int, sent: asyncio.Future[Stored]) -> None:
        """Remember that the broker takes less than we knew: a limit may be lowered at any time."""
        if not sent.cancelled() and isinstance(sent.exception(), RecordTooLarge):
            self._observe("too_large", topic)
            self._largest[topic] = min(self._largest.get(topic, size), size - 1)

    async def partitions(self, topic: str) -> int:
        return await self._count(await self._ready_producer(), topic)

    async def _count(self, producer: HealingProducer, topic: str) -> int:
        known = producer.client.cluster.partitions_for_topic(topic)
        return len(known or await self._within(producer.partitions_for(topic)))

    async def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of(key, await self.partitions(topic))

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Stored:
        return await (await self.enqueue(topic, key, value, headers, partition))

    async def enqueue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> asyncio.Future[Stored]:
        size = batch_size(key, value, headers)
        if not self._fits(topic, key, value, size):
            self._observe("too_large", topic)
            raise RecordTooLarge("the record is larger than the log accepts")
        producer = await self._ready_producer()
        count = await self._count(producer, topic)
        if partition is None and key is not None:
            partition = partition_of(key, count)
        elif partition is not None and not 0 <= partition < count:
            raise NoSuchPartition(f"{topic} has no partition {partition}")
        try:
            # Bounded by the producer's own request timeout: a timer of ours on top would cost as much as the send.
            sent = await producer.send(topic, value, key, partition, headers=list(headers))
        except (KafkaError, OSError) as error:
            raise translated(error) from error
        stored = self._acks.promise(sent)
        stored.add_done_callback(partial(self._refused, topic, size))
        return stored

    async def flush(self) -> None:
        await self._within((await self._ready_producer()).flush())

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance_id: str | None = None,
        on_assigned: Rebalanced,
        on_revoked: Rebalanced,
    ) -> KafkaConsumer:
        make = partial(
            self._raw_consumer,
            group_id=group,
            group_instance_id=instance_id,
            session_timeout_ms=int(self._session_timeout * 1000),
            heartbeat_interval_ms=int(self._session_timeout * 1000 / 3),
            rebalance_timeout_ms=int(self.rebalance_timeout * 1000),
        )
        return KafkaConsumer(make, topics, on_assigned, on_revoked, patience=self._send_timeout)

    async def ends(self, topic: str) -> dict[int, int]:
        return await ends(self._raw_consumer(), topic, patience=self._send_timeout)

    def read_partition(self, topic: str, partition: int) -> AsyncIterator[Record]:
        return read_partition(self._raw_consumer(), topic, partition, patience=2 * self._send_timeout)

    def follow(self, topic: str) -> AsyncIterator[Record | CaughtUp]:
        return follow(self._raw_consumer(), topic, patience=2 * self._send_timeout)

    def _raw_consumer(self, **group: Any) -> AIOKafkaConsumer:
        return consumer_class(idempotent=self._idempotent)(
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            # A partition that was left out of a fetch (its buffer was full) waits for that fetch to return.
            fetch_max_wait_ms=FETCH_WAIT_MS if group else FOLLOW_WAIT_MS,
            consumer_timeout_ms=FETCH_WAIT_MS,
            # JoinGroup is answered when all members have come, at the latest after the rebalance timeout.
            request_timeout_ms=int((self.rebalance_timeout + self._send_timeout) * 1000),
            # Ours to watch (`Dispatcher.heartbeat`): aiokafka takes a consumer with nothing to read for a dead one.
            max_poll_interval_ms=2**31 - 1,
            **group,
            **self._connection,
        )

    async def reachable(self) -> bool:
        if self._producer is None:
            return False
        try:
            return bool(await self._within(self._producer.client.force_metadata_update()))
        except LogUnavailable:
            return False

    async def _ready_producer(self) -> HealingProducer:
        producer = self._producer
        if producer is None:
            raise LogUnavailable("not started")
        if producer.alive:
            return producer
        # Its task has died of something that it could not heal, such as a right that was taken away.
        async with self._renewing:
            if self._producer is producer:
                await _close(producer, 0)
                await self.start()
                self._observe("renewed", "dead")
        return await self._ready_producer()

    async def _within(self, step: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
        """Run one exchange with the broker. Raises LogUnavailable, RecordTooLarge."""
        try:
            async with asyncio.timeout(self._send_timeout):
                return await step
        except (KafkaError, OSError) as error:
            raise translated(error) from error


def batch_size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of a batch of this one record at the most: what `max.message.bytes` of a topic is about."""
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers))
    return size


async def _close(producer: HealingProducer, patience: float) -> None:
    """Stop a producer, flushing for at most `patience` seconds; without a broker aiokafka would flush for ever."""
    try:
        async with asyncio.timeout(patience):
            await producer.stop()
            return
    except (KafkaError, OSError):
        pass
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    await producer.client.close()
