"""A real Valkey for the state tests: a single server, and a cluster that refuses keys of different slots."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sandbox.valkey import ValkeyServer
from shared.state.client import Client
from shared.state.store import Store


@pytest_asyncio.fixture(params=["single", "cluster"], scope="session", loop_scope="session")
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ValkeyServer, bool]]:
    cluster = request.param == "cluster"
    async with ValkeyServer(cluster=cluster) as running:
        yield running, cluster


@pytest.fixture
async def store(server: tuple[ValkeyServer, bool]) -> AsyncIterator[Store]:
    running, cluster = server
    client = Client(running.url, cluster=cluster)
    await client.call("FLUSHALL")
    yield Store(client)
    await client.close()
