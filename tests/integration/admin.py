"""What an operator does to a running broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from sandbox.broker import Broker

ANY, ALL, READ, WRITE = 1, 2, 3, 4
DENY, ALLOW = 2, 3
TOPIC, GROUP = 2, 3
_LITERAL = 3


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

    async def deny(self, user: str, kind: int, name: str, operation: int) -> None:
        """Take one right to a topic or a group from a user who has all others."""
        for permission, right in ((ALLOW, ALL), (DENY, operation)):
            request = CreateAclsRequest(kind, name, _LITERAL, f"User:{user}", "*", right, permission)
            for code, *_ in (await self._admin._send_request(request)).creation_responses:
                assert not code, for_code(code)

    async def give_back(self, kind: int, name: str) -> None:
        """Where nothing is said of a topic or a group, everybody has all rights to it."""
        await self._admin._send_request(DeleteAclsRequest(kind, name, _LITERAL, None, None, ANY, ANY))


@asynccontextmanager
async def operator(broker: Broker) -> AsyncIterator[Operator]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        yield Operator(admin)
    finally:
        await admin.close()
