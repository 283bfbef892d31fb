"""What a real Valkey refuses, and why: each fault lasts as long as its block, on a server that goes on running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from valkey.asyncio import Valkey
from valkey.exceptions import ResponseError

from sandbox.broker import HOST
from sandbox.valkey import ValkeyServer

Fault = Callable[[ValkeyServer], AbstractAsyncContextManager[None]]
_ENDLESS = "while true do end"
_EVERY_MILLISECOND = 0.001
_ENOUGH_KEYS = 3000


@asynccontextmanager
async def _operator(server: ValkeyServer) -> AsyncIterator[Valkey]:
    client = Valkey(host=HOST, port=server.port)
    try:
        await client.ping()
        yield client
    finally:
        await client.aclose()


def _setting(**changes: tuple[object, object]) -> Fault:
    """Settings during the fault and after it."""

    @asynccontextmanager
    async def fault(server: ValkeyServer) -> AsyncIterator[None]:
        async with _operator(server) as operator:
            for name, (during, _) in changes.items():
                await operator.config_set(name.replace("_", "-"), during)
            try:
                yield
            finally:
                for name, (_, after) in changes.items():
                    await operator.config_set(name.replace("_", "-"), after)

    return fault


@asynccontextmanager
async def read_only(server: ValkeyServer) -> AsyncIterator[None]:
    """After a failover: a replica, whose master cannot be reached from here."""
    async with _operator(server) as operator:
        await operator.execute_command("REPLICAOF", HOST, 1)
        try:
            yield
        finally:
            await operator.execute_command("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def stale(server: ValkeyServer) -> AsyncIterator[None]:
    async with _setting(replica_serve_stale_data=("no", "yes"))(server), read_only(server):
        yield


@asynccontextmanager
async def cannot_save(server: ValkeyServer) -> AsyncIterator[None]:
    """A snapshot that cannot be written: its name is taken by a directory."""
    async with _operator(server) as operator:
        home = Path((await operator.config_get("dir"))["dir"])
        (home / "dump.rdb").unlink(missing_ok=True)
        (home / "dump.rdb").mkdir()
        await operator.config_set("save", "3600 1000000")
        await _saved(operator, "err")
        try:
            yield
        finally:
            (home / "dump.rdb").rmdir()
            await _saved(operator, "ok")
            await operator.config_set("save", "")


async def _saved(operator: Valkey, how: str) -> None:
    async with asyncio.timeout(20):
        while (await operator.info("persistence"))["rdb_last_bgsave_status"] != how:
            with suppress(ResponseError):  # one is under way
                await operator.bgsave()
            await asyncio.sleep(0.02)


def _right(*withdrawn: str) -> Fault:
    """Rights that the user of the service does not have."""

    @asynccontextmanager
    async def fault(server: ValkeyServer) -> AsyncIterator[None]:
        async with _operator(server) as operator:
            await operator.execute_command("ACL", "SETUSER", "default", *withdrawn)
            try:
                yield
            finally:
                await operator.execute_command("ACL", "SETUSER", "default", "+@all")

    return fault


@asynccontextmanager
async def password_changed(server: ValkeyServer) -> AsyncIterator[None]:
    async with _operator(server) as operator:
        await operator.config_set("requirepass", "changed")
        await _cut(operator)
        try:
            yield
        finally:
            await operator.config_set("requirepass", "")


@asynccontextmanager
async def too_many_clients(server: ValkeyServer) -> AsyncIterator[None]:
    """There may be one connection, and it is the operator's."""
    async with _operator(server) as operator:
        await operator.config_set("maxclients", 1)
        await _cut(operator)
        try:
            yield
        finally:
            await operator.config_set("maxclients", 10_000)


async def _cut(operator: Valkey) -> None:
    await operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@asynccontextmanager
async def connections_cut(server: ValkeyServer) -> AsyncIterator[None]:
    """Every connection is cut again and again, in the middle of whatever it does."""
    async with _operator(server) as operator:

        async def cut() -> None:
            while True:
                await _cut(operator)
                await asyncio.sleep(_EVERY_MILLISECOND)

        cutting = asyncio.create_task(cut())
        try:
            yield
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)


@asynccontextmanager
async def busy(server: ValkeyServer) -> AsyncIterator[None]:
    """Somebody's script does not end."""
    async with _operator(server) as operator, _operator(server) as somebody:
        await operator.config_set("busy-reply-threshold", 1)
        running = asyncio.create_task(somebody.eval(_ENDLESS, 0))
        await _until(operator.ping, lambda answer: isinstance(answer, ResponseError))
        try:
            yield
        finally:
            await operator.script_kill()
            await asyncio.gather(running, return_exceptions=True)
            await operator.config_set("busy-reply-threshold", 5000)


@asynccontextmanager
async def loading(server: ValkeyServer) -> AsyncIterator[None]:
    """It was started again, and reads what it had saved, key by key."""
    async with _operator(server) as operator:
        filling = operator.pipeline(transaction=False)
        for number in range(_ENOUGH_KEYS):
            filling.set(f"filler:{number}", "x" * 100, ex=600)
        await filling.execute()
        await operator.shutdown(save=True)
    await server.node.ended()
    usual = server.node._command
    server.node._command = [*usual, "--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]
    await server.node.start()
    server.node._command = usual
    try:
        yield
    finally:
        operator = Valkey(host=HOST, port=server.port)
        await operator.execute_command("CONFIG", "SET", "key-load-delay", 0)
        await _until(operator.ping, lambda answer: answer is True)
        await operator.aclose()


@asynccontextmanager
async def hangs(server: ValkeyServer) -> AsyncIterator[None]:
    server.node.pause()
    try:
        yield
    finally:
        server.node.resume()


@asynccontextmanager
async def without_slots(server: ValkeyServer) -> AsyncIterator[None]:
    """A cluster in which nobody answers for the keys; `server` is a cluster of one."""
    async with _operator(server) as operator:
        await operator.execute_command("CLUSTER", "DELSLOTSRANGE", 0, 16383)
        try:
            yield
        finally:
            await operator.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await _until(lambda: operator.cluster("INFO"), lambda info: info["cluster_state"] == "ok")


async def _until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            (answer,) = await asyncio.gather(ask(), return_exceptions=True)
            if holds(answer):
                return
            await asyncio.sleep(0.01)


# By name: the fault, and how the failure is named ('' where that is left to chance).
FAULTS: dict[str, tuple[Fault, str]] = {
    "full": (_setting(maxmemory=("100kb", 0)), "OOM"),
    "read_only": (read_only, "READONLY"),
    "stale": (stale, "MASTERDOWN"),
    "too_few_replicas": (_setting(min_replicas_to_write=(1, 0)), "NOREPLICAS"),
    "cannot_save": (cannot_save, "MISCONF"),
    "no_right_to_scripts": (_right("-@scripting"), "NOPERM"),
    "no_right_to_a_command": (_right("-hset"), "ERR ACL failure in"),
    "password_changed": (password_changed, "NOAUTH"),
    "too_many_clients": (too_many_clients, ""),  # it says so, and closes: what comes first is seen
    "busy": (busy, "BUSY"),
    "loading": (loading, "LOADING"),
    "hangs": (hangs, "no answer"),
}
OF_A_CLUSTER: dict[str, tuple[Fault, str]] = {"without_slots": (without_slots, "CLUSTERDOWN")}
