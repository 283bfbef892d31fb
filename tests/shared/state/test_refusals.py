"""Every way in which a real Valkey refuses is an outage with a name, until it ends; what is provably ours is not."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from inspect import getsource
from typing import Any

import pytest
import pytest_asyncio
from valkey.exceptions import ResponseError

from sandbox.broker import HOST, free_port
from sandbox.valkey import ValkeyServer
from shared.state import keys, store
from shared.state.client import Client, StateUnavailable
from shared.state.replies import is_ours, kind_of
from shared.state.store import Store
from tests.shared.state.faults import FAULTS, OF_A_CLUSTER, Fault, connections_cut, hangs, read_only

on_one_loop = pytest.mark.asyncio(loop_scope="module")  # that of the server, which is killed and started again


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone() -> AsyncIterator[ValkeyServer]:
    """A server that these tests may harm."""
    async with ValkeyServer() as server:
        yield server


@on_one_loop
@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
async def test_a_server_that_refuses_is_away(alone: ValkeyServer, fault: Fault, kind: str) -> None:
    await _away_and_back(alone, fault, kind, cluster=False)


async def test_a_cluster_without_slots_is_away() -> None:
    fault, kind = OF_A_CLUSTER["without_slots"]
    async with ValkeyServer(cluster=True) as server:
        await _away_and_back(server, fault, kind, cluster=False)
        await _away_and_back(server, fault, "", cluster=True)


async def _away_and_back(server: ValkeyServer, fault: Fault, kind: str, cluster: bool) -> None:
    told: list[str] = []
    client = Client(server.url, cluster=cluster, timeout=1.0, on_failure=told.append)
    state = Store(client)
    assert await client.reachable()
    async with fault(server), asyncio.timeout(15):
        told.clear()
        for _ in range(3):
            with pytest.raises(StateUnavailable):
                await state.intend("telegram:bot_1:42", "c1", "call:0", "mine")
        assert not await client.reachable()
        assert {said for said in told if not kind or said == kind}, told
    began = time.monotonic()
    while not await client.reachable():
        assert time.monotonic() - began < 2, told
    assert (await state.intend("telegram:bot_1:42", f"c{began}", "call:0", "mine")).answer == "ok"
    await client.close()


@on_one_loop
async def test_connections_that_are_cut_cost_their_calls_and_mix_up_no_answers(alone: ValkeyServer) -> None:
    client = Client(alone.url, timeout=1.0)
    found: Counter[str] = Counter()
    async with connections_cut(alone), asyncio.timeout(20):
        while min(found["cut"], found["answered"]) < 10:
            calls = [client.call("ECHO", n) for n in range(300)]
            for number, answer in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
                assert answer == str(number) or isinstance(answer, StateUnavailable)
                found["cut" if isinstance(answer, StateUnavailable) else "answered"] += 1
    assert await client.reachable()
    await client.close()


OURS: dict[str, tuple[Any, ...]] = {
    "another type": ("LPUSH", "text", "x"),
    "another type in a script": ("EVAL", "return redis.call('LPUSH', KEYS[1], 'x')", 1, "text"),
    "too few arguments": ("GET",),
    "too few arguments in a script": ("EVAL", "return redis.call('GET')", 0),
    "an argument that is none": ("EVAL", "return redis.call('GET', {})", 0),
    "an option that is none": ("EXPIRE", "text", 1, "NEVER"),
    "an expiry that is none": ("SET", "text", "x", "EX", 0),
    "no number": ("INCR", "text"),
    "syntax": ("SET", "text", "x", "XX", "NX"),
    "no Lua": ("EVAL", "return (", 0),
    "an error of Lua": ("EVAL", "return nil + 1", 0),
    "no JSON": ("EVAL", "return cjson.decode('{')", 0),
}
NOT_OURS: dict[str, tuple[Any, ...]] = {
    "unknown command": ("NO_SUCH_COMMAND", "a"),
    "unknown command in a script": ("EVAL", "return redis.call('NO_SUCH_COMMAND')", 0),
    "what nobody has thought of": ("EVAL", "return redis.error_reply('NEWSTATE the server does something new')", 0),
}


@on_one_loop
@pytest.mark.parametrize("call", OURS.values(), ids=OURS)
async def test_what_is_provably_ours_is_no_outage(alone: ValkeyServer, call: tuple[Any, ...]) -> None:
    told: list[str] = []
    client = Client(alone.url, on_failure=told.append)
    await client.call("SET", "text", "no number")
    with pytest.raises(ResponseError):
        await client.call(*call)
    assert told == []
    await client.close()


@on_one_loop
@pytest.mark.parametrize("call", NOT_OURS.values(), ids=NOT_OURS)
async def test_everything_else_is_an_outage(alone: ValkeyServer, call: tuple[Any, ...]) -> None:
    client = Client(alone.url)
    with pytest.raises(StateUnavailable):
        await client.call(*call)
    await client.close()


@pytest.mark.parametrize(
    ("reply", "ours", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'. script: 5f, on @user_script:1.", False, "OOM"),
        ("READONLY You can't write against a read only replica. script: 5f, on @user_script:1.", False, "READONLY"),
        ("NOPERM The user executing the script can't run this command script: 5f", False, "NOPERM"),  # Redis 7
        ("ERR Script killed by user with SCRIPT KILL. script: 5f", False, "ERR Script killed by"),
        # Redis 6, whose scripts wrap the reply: nothing provable, so not ours
        (
            "ERR Error running script (call to f_5f): @user_script:3: WRONGTYPE Operation",
            False,
            "ERR Error running script",
        ),
        ("UNBLOCKED force unblock from blocking operation", False, "UNBLOCKED"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value script: 5f", True, "WRONGTYPE"),
        ("CROSSSLOT Keys in request don't hash to the same slot", True, "CROSSSLOT"),
        ("ERR user_script:1: attempt to compare nil with number script: 5f", True, "ERR"),
        ("ERR unknown command 'HSET', with args beginning with: 'c:{5f}' ", False, "ERR unknown command"),
        ("gibberish", False, "ResponseError"),
    ],
)
def test_a_reply_is_judged_by_its_class(reply: str, ours: bool, kind: str) -> None:
    error = ResponseError(reply)
    error.reply = reply  # type: ignore[attr-defined]
    assert (is_ours(error), kind_of(error)) == (ours, kind)
    assert not is_ours(ResponseError("syntax error"))  # made up by the library, not said by a server


def test_the_probe_uses_every_command_that_is_used() -> None:
    scripts = [
        text for name, text in vars(keys).items() if name.isupper() and isinstance(text, str) and name != "PROBE"
    ]
    used = {name for text in scripts for name in re.findall(r"redis\.call\('(\w+)'", text)}
    used |= set(re.findall(r'client\.call\(\s*"(\w+)"', getsource(store)))
    assert {"HSET", "ZRANGEBYSCORE", "TIME"} <= used
    assert used <= set(re.findall(r"redis\.call\('(\w+)'", keys.PROBE))


@on_one_loop
async def test_a_probe_leaves_nothing_behind(alone: ValkeyServer) -> None:
    client = Client(alone.url)
    before = await client.call("DBSIZE")
    for _ in range(20):
        assert await client.reachable()
    assert await client.call("DBSIZE") == before
    await client.close()


@on_one_loop
async def test_the_rights_that_the_documentation_names_are_enough(alone: ValkeyServer) -> None:
    operator = Client(alone.url)
    await operator.call("ACL", "SETUSER", "connectors", "on", ">secret", "~*", "+@all", "-@dangerous")
    client = Client(f"valkey://connectors:secret@{HOST}:{alone.port}/0")
    assert await client.reachable()
    await client.close()
    wrong = Client(f"valkey://connectors:wrong@{HOST}:{alone.port}/0")
    assert not await wrong.reachable()
    await asyncio.gather(wrong.close(), operator.close())


@on_one_loop
async def test_nobody_waits_longer_than_one_round_trip_when_it_hangs(alone: ValkeyServer) -> None:
    client = Client(alone.url, timeout=0.5)
    assert await client.reachable()
    began = time.monotonic()
    async with hangs(alone):
        calls = [client.call("GET", "k") for _ in range(20_000)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, StateUnavailable) for answer in answers)
        assert time.monotonic() - began < 4  # batch by batch it would be 40 s
        later = time.monotonic()
        for _ in range(100):
            with pytest.raises(StateUnavailable):
                await client.call("GET", "k")
        assert time.monotonic() - later < 0.5
    resumed = time.monotonic()
    while not await client.reachable():
        assert time.monotonic() - resumed < 2
    assert await client.call("GET", "k") is None
    assert time.monotonic() - began < 10
    await client.close()


@on_one_loop
async def test_a_name_that_leads_to_another_server_after_a_failover(alone: ValkeyServer) -> None:
    """The old connection goes on to the server of old, which only answers that it is a replica now."""
    port, target = free_port(), alone.port

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, target)
        await asyncio.gather(_copy(reader, back), _copy(there, writer), return_exceptions=True)

    async with ValkeyServer() as other, await asyncio.start_server(forward, HOST, port), asyncio.timeout(15):
        client = Client(f"valkey://{HOST}:{port}/0")
        assert await client.call("SET", "k", "1", "PX", 1000)
        target = other.port
        async with read_only(alone):
            with pytest.raises(StateUnavailable):
                await client.call("SET", "k", "2", "PX", 1000)
            assert await client.call("SET", "k", "3", "PX", 1000)
        await client.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
