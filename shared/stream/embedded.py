"""A consumer for the embedded broker, which does two things that Apache Kafka never does.

It shows a record while an earlier one of its partition is still invisible. Measured: eight producers at a time on one
partition, 4,000 records, and each of four readers missed one to three. In Apache Kafka an offset that is missing is
missing for good (compaction, transactions).

It forgets to answer static members during a rebalance. Measured: two of three members leave and come back, and in
one run of two their group stands still for a minute; without static membership it goes on within five seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError
from aiokafka.structs import ConsumerRecord, TopicPartition

PATIENCE = 10.0
"""Seconds after which a missing record is believed to be missing for good."""
PAUSE = 0.005

Batch = dict[TopicPartition, list[ConsumerRecord]]


def consumer_class(*, idempotent: bool) -> type[AIOKafkaConsumer]:
    """The consumer for a broker that has idempotent producers, as Apache Kafka does, or for the embedded one."""
    return AIOKafkaConsumer if idempotent else EmbeddedConsumer


class EmbeddedConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """Gives records only up to the first missing offset, and reads from there again; never a static member."""

    def __init__(self, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options | {"group_instance_id": None})
        self._assignment: object = None
        self._due: dict[TopicPartition, int] = {}
        self._missing: dict[TopicPartition, tuple[int, float]] = {}

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Batch:
        await self._learn_positions(partitions or tuple(self.assignment()))
        batch: Batch = await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        # Nothing is awaited before the batch is checked: a reader that is cancelled has lost nothing.
        whole = self._whole(batch)
        if not whole and batch:
            await asyncio.sleep(PAUSE)
        return whole

    def seek(self, partition: TopicPartition, offset: int) -> None:
        super().seek(partition, offset)
        self._due[partition] = offset

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        for partition in partitions or self.assignment():
            self._due.pop(partition, None)
        found: bool = await super().seek_to_beginning(*partitions)
        return found

    async def _learn_positions(self, partitions: Sequence[TopicPartition]) -> None:
        """Where reading begins, of partitions that were not read before in this assignment."""
        subscription = self._subscription.subscription
        if subscription is None or subscription.assignment is not self._assignment:
            self._assignment = None if subscription is None else subscription.assignment
            self._due.clear()
        for partition in partitions:
            if partition not in self._due:
                try:
                    self._due[partition] = await self.position(partition)
                except IllegalStateError:
                    continue  # not ours (any more)

    def _whole(self, batch: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> Batch:
        whole: Batch = {}
        for partition, records in batch.items():
            due = self._due.get(partition, records[0].offset)
            given: list[ConsumerRecord] = []
            for record in records:
                if record.offset != due and self._waits_for(partition, due):
                    self.seek(partition, due)
                    break
                given.append(record)
                due = record.offset + 1
            self._due[partition] = due
            if given:
                whole[partition] = given
        return whole

    def _waits_for(self, partition: TopicPartition, offset: int) -> bool:
        """Whether a missing record may still appear."""
        missing, since = self._missing.get(partition, (None, 0.0))
        if missing != offset:
            since = asyncio.get_running_loop().time()
            self._missing[partition] = (offset, since)
        return asyncio.get_running_loop().time() - since < PATIENCE
