"""An idempotent producer that heals: aiokafka's, with what Apache's own does after a batch that was refused.

In Kafka the records of a producer are numbered per partition, and a broker takes a number only after the one before.
aiokafka (0.14) counts a batch when it takes it out of its queue, whatever becomes of it. Tried on Apache Kafka 4: after
any refusal that is final (a batch too large, no right to write) and after a batch that expired without a leader, the
partition answers `OutOfOrderSequenceNumber` to everything until the process ends. So here

- a batch that was certainly not stored gives its numbers back;
- where it is not certain, or the broker says that the numbers are wrong, the producer gets a new identity, and counts
  from zero; batches under way keep the old one, so a repetition of theirs is still known as one;
- the records of a batch that was refused for what it is not their fault for are sent again, one by one and in their
  place: a batch of several may be too large where each of its records is not.

One batch per partition is under way at a time, so order is kept through all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownProducerId,
)
from aiokafka.producer.message_accumulator import MessageAccumulator, MessageBatch
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import (
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    PidAndEpoch,
    TransactionManager,
)
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.util import create_future

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
ALL = -1  # replicas in sync have to have a record before it is acknowledged
_REFUSED = (
    *TOO_LARGE,
    TopicAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    InvalidTimestampError,
    PolicyViolationError,
)
_OUT_OF_STEP = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerEpoch, InvalidProducerIdMapping)

Renewed = Callable[[str], None]


class HealingProducer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """`renewed(reason)` is called whenever the producer takes a new identity; `reason` is an error's name."""

    def __init__(self, *, renewed: Renewed, retry_backoff_ms: int = 100, **options: Any) -> None:
        super().__init__(acks=ALL, retry_backoff_ms=retry_backoff_ms, **options)
        self._sender: Sender = _Sender(
            self.client,
            renewed,
            acks=ALL,
            txn_manager=self._txn_manager,
            message_accumulator=self._message_accumulator,
            retry_backoff_ms=retry_backoff_ms,
            request_timeout_ms=self._request_timeout_ms,
        )

    @property
    def alive(self) -> bool:
        """Whether it can send at all: after an error that it cannot heal it has to be made anew."""
        task = self._sender.sender_task
        return task is not None and not task.done()

    def limit_batches(self, size: int) -> None:
        """Put no more records into one batch than `size` bytes hold: at least one."""
        self._message_accumulator._batch_size = size


class _Sender(Sender):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, client: Any, renewed: Renewed, **options: Any) -> None:
        super().__init__(client, **options)
        self.renewed = renewed

    async def _send_produce_req(self, node_id: int, batches: dict[Any, MessageBatch]) -> None:
        await _Handler(self, batches).do(node_id)
        self._in_flight.remove(node_id)
        self._muted_partitions.difference_update(batches)


class _Handler(SendProduceReqHandler):  # type: ignore[misc]  # aiokafka has no types
    def _can_retry(self, error: Exception, batch: MessageBatch) -> bool:
        """Asked once about every batch that failed; after a no its futures fail, those that it still has."""
        if super()._can_retry(error, batch):
            return True
        # A second try may have been stored by the first, whose answer was lost.
        certain = batch.retry_count == 1
        if (manager := self._sender._txn_manager) is not None:
            self._close_gap(manager, batch, error, give_back=certain and isinstance(error, _REFUSED))
        blameless = isinstance(error, _OUT_OF_STEP) or (isinstance(error, TOO_LARGE) and batch.record_count > 1)
        if certain and blameless and not batch.expired():
            _send_again(self._sender._message_accumulator, batch)
        return False

    def _close_gap(
        self, manager: TransactionManager, batch: MessageBatch, error: Exception, *, give_back: bool
    ) -> None:
        sent = DefaultRecordBatch(bytes(batch.get_data_buffer()))
        if sent.producer_id != manager.producer_id:
            return  # the gap is one of an identity that has been given up
        if give_back:
            manager._sequence_numbers[batch.tp] = sent.base_sequence
            return
        manager._pid_and_epoch = PidAndEpoch(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)  # the sender asks for another
        manager._pid_waiter = create_future()
        manager._sequence_numbers.clear()
        self._sender.renewed(type(error).__name__)


def _send_again(accumulator: MessageAccumulator, batch: MessageBatch) -> None:
    """Put the records of a batch before all others of their partition, each in a batch of its own."""
    singles: list[MessageBatch] = []
    for (future, _), record in zip(batch._msg_futures, _records(batch), strict=True):
        builder = accumulator.create_builder()
        single = MessageBatch(batch.tp, builder, accumulator._batch_ttl, 0)
        single._ctime = batch._ctime  # it expires with the whole
        single.append(record.key, record.value, record.timestamp, lambda f=future: f, headers=record.headers)
        builder.close()
        singles.append(single)
    accumulator._batches[batch.tp].extendleft(reversed(singles))
    batch._msg_futures.clear()
    batch.done_noack()


def _records(batch: MessageBatch) -> Iterable[Any]:
    built = MemoryRecords(bytes(batch.get_data_buffer())).next_batch()
    return list(built) if built is not None else ()
