"""The connection: an outage is one clear error, an answer is never somebody else's, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.valkey import ValkeyServer
from shared.state.client import Client, StateUnavailable


@pytest.fixture
async def client(server: tuple[ValkeyServer, bool]) -> AsyncIterator[Client]:
    running, cluster = server
    patient = Client(running.url, cluster=cluster)
    await patient.call("FLUSHALL")
    await patient.close()
    made = Client(running.url, cluster=cluster, timeout=0.25)
    while not await made.reachable():
        pass  # on a busy machine the first connection takes longer than that
    yield made
    await made.close()


async def test_calls_of_one_moment_share_a_round_trip_and_keep_their_answers(client: Client) -> None:
    await asyncio.gather(*(client.call("SET", f"k{n}", n) for n in range(2000)))
    found = await asyncio.gather(*(client.call("GET", f"k{n}") for n in range(2000)))
    assert found == [str(n) for n in range(2000)]


async def test_one_wrong_call_costs_its_neighbours_nothing(client: Client) -> None:
    await client.call("SET", "text", "no number")
    found: list[Any] = await asyncio.gather(
        client.call("SET", "a", 1), client.call("INCR", "text"), client.call("GET", "a"), return_exceptions=True
    )
    assert found[0] is True or found[0] == "OK"
    assert "integer" in str(found[1])
    assert found[2] == "1"


@pytest.mark.parametrize("odd", ["\ud800", None, object()])
async def test_a_call_that_cannot_be_sent_fails_alone(client: Client, odd: object) -> None:
    async with asyncio.timeout(5):
        found: list[Any] = await asyncio.gather(
            client.call("SET", "a", "1"), client.call("SET", "b", odd), client.call("GET", "a"), return_exceptions=True
        )
    assert isinstance(found[1], Exception)
    assert found[2] == "1"
    assert await client.call("GET", "b") is None


# Pausing is told to one node only, so a cluster of it cannot be tried.
@pytest.mark.parametrize("server", ["single"], indirect=True)
async def test_what_comes_too_late_is_nobody_elses_answer(client: Client, server: tuple[ValkeyServer, bool]) -> None:
    running, _ = server
    other = Client(running.url)
    await client.call("SET", "first", "first")
    await client.call("SET", "second", "second")
    await other.call("CLIENT", "PAUSE", 600, "ALL")
    with pytest.raises(StateUnavailable):
        await client.call("GET", "first")
    assert not await client.reachable()
    await asyncio.sleep(0.6)
    for _ in range(5):
        assert await client.call("GET", "second") == "second"
    await other.close()


async def test_nobody_there(server: tuple[ValkeyServer, bool]) -> None:
    client = Client("valkey://127.0.0.1:1/0", timeout=0.2)
    found = await asyncio.gather(*(client.call("PING") for _ in range(10)), return_exceptions=True)
    assert all(isinstance(answer, StateUnavailable) for answer in found)
    assert not await client.reachable()
    await client.close()


async def test_a_bug_in_the_library_makes_nobody_wait_for_ever(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def pipeline(self, **_: object) -> Broken:
            return self

        def execute_command(self, *_: object) -> None:
            pass

        async def execute(self, **_: object) -> None:
            raise AttributeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(client, "_connection", Broken())
        with pytest.raises(StateUnavailable):
            await asyncio.wait_for(client.call("PING"), 2)
    assert await client.reachable()


async def test_more_than_may_wait_are_turned_away(server: tuple[ValkeyServer, bool]) -> None:
    running, cluster = server
    client = Client(running.url, cluster=cluster, max_waiting=10)
    calls = [client.call("PING") for _ in range(50)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in found if isinstance(answer, StateUnavailable)]
    assert len(refused) == 40
    await client.close()


async def test_a_script_is_loaded_where_it_is_not_known(client: Client) -> None:
    for _ in range(2):
        assert await client.script(f"return ARGV[1] -- {id(client)}", [], ["x"]) == "x"
