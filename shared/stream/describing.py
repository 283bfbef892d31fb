"""Asking Apache Kafka what its topics are like, by the connections of a client that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import aiokafka.client
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    NodeNotReadyError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from shared.stream.log import Described

_TOPIC = 2  # the kind of a resource whose configuration is asked for
_LIMITS = ("max.message.bytes", "segment.bytes")
_PACKED = frozenset({"gzip", "snappy", "lz4", "zstd"})
_CONFIGS = [*_LIMITS, "compression.type", "min.insync.replicas"]
# A broker that packs what it gets may make what cannot be packed a little larger: a hundredth is more than any does.
_PACKING = 100


def never_create_topics() -> None:
    """From now on no client asks for a topic in a way that creates it where `auto.create.topics.enable` is set.

    A deleted topic would come back with the broker's number of partitions, and with it conversations out of order.
    """
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)


async def describe(client: AIOKafkaClient, topics: Sequence[str], *, settings: bool) -> dict[str, Described]:
    """See `Log.describe`. Without `settings` nothing is asked about limits: the embedded broker hangs up on it.

    Raises KafkaError.
    """
    metadata = await _ask(client, MetadataRequest(list(topics), False))
    there: dict[str, tuple[int, str | None, list[Sequence[int]]]] = {}
    for error_code, name, _, partitions in metadata.topics:
        error = for_code(error_code)
        if error is TopicAuthorizationFailedError:
            there[name] = (0, "not authorized", [])
        elif error is not UnknownTopicOrPartitionError:
            leaderless = any(leader == -1 for _, _, leader, *_ in partitions)
            there[name] = (len(partitions), "no leader" if leaderless else None, [p[4] for p in partitions])
    configs = await _configs(client, [name for name, (count, *_) in there.items() if count and settings])
    return {name: _described(*found, configs.get(name, {})) for name, found in there.items()}


def _described(
    count: int, trouble: str | None, in_sync: Iterable[Sequence[int]], configs: Mapping[str, str]
) -> Described:
    needed = int(configs.get("min.insync.replicas", 1))
    if trouble is None and any(len(replicas) < needed for replicas in in_sync):
        trouble = "too few replicas"
    limits = [int(configs[name]) for name in _LIMITS if name in configs]
    largest = min(limits, default=None)
    if largest is not None and configs.get("compression.type") in _PACKED:
        largest -= largest // _PACKING
    return Described(count, largest, trouble)


async def _configs(client: AIOKafkaClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """What a broker says of its topics' settings; nothing of those it does not tell us about."""
    if not topics:
        return {}
    try:
        answer = await _ask(client, DescribeConfigsRequest([(_TOPIC, name, _CONFIGS) for name in topics]))
    except IncompatibleBrokerVersion:
        return {}
    return {
        name: {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        for code, _, _, name, entries in answer.resources
        if for_code(code) is NoError
    }


async def _ask(client: AIOKafkaClient, request: Any) -> Any:
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    try:
        # By a connection of its own: behind a batch that waits for replicas, nothing is answered.
        return await client.send(node, request, group=ConnectionGroup.COORDINATION)
    except KafkaError:
        await client.force_metadata_update()
        raise
