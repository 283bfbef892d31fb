"""What an operator does to a running broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from sandbox.broker import Broker

ANY, READ, WRITE, DENY = 1, 3, 4, 2
TOPIC, GROUP = 2, 3
_LITERAL = 3
EVERYBODY = "User:ANONYMOUS"


class Operator:
    """Topics made, changed and deleted; rights taken and given back."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin

    async def create(self, topic: str, partitions: int = 1, replicas: int = 1, **configs: object) -> None:
        """`configs` with underscores for dots."""
        named = {name.replace("_", "."): str(value) for name, value in configs.items()}
        answer = await self._admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=named)])
        for name, code, *_ in answer.topic_errors:
            assert not code, (name, for_code(code))

    async def delete(self, *topics: str) -> None:
        await self._admin.delete_topics(list(topics))

    async def grow(self, topic: str, partitions: int) -> None:
        await self._admin.create_partitions({topic: NewPartitions(partitions)})

    async def limit(self, topic: str, size: int) -> None:
        """Let it take batches of so many bytes."""
        await self._admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})]
        )

    async def topics(self) -> list[str]:
        return await self._admin.list_topics()

    async def deny(self, kind: int, name: str, operation: int) -> None:
        """Take a right from everybody."""
        request = CreateAclsRequest(kind, name, _LITERAL, EVERYBODY, "*", operation, DENY)
        for code, *_ in (await self._admin._send_request(request)).creation_responses:
            assert not code, for_code(code)

    async def give_back(self, kind: int, name: str) -> None:
        await self._admin._send_request(DeleteAclsRequest(kind, name, _LITERAL, None, None, ANY, ANY))


@asynccontextmanager
async def operator(broker: Broker) -> AsyncIterator[Operator]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        yield Operator(admin)
    finally:
        await admin.close()
