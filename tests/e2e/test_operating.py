"""A service as a careful platform runs it: secrets in files, doors apart, tokens, TLS to the store, new keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from sandbox.broker import HOST, free_port
from shared.runtime.accounts.sealing import new_key
from tests.e2e.replicas import Replica
from tests.e2e.topics import SENT
from tests.e2e.world import ChannelUnderTest, World, make_broker, number, running
from tests.tls import MISSING, Authority, tls_in_front

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]
TOKENS = ["the-token-of-the-inbox-core", "another-token-of-some-length"]
BURST = 4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own() -> AsyncIterator[World]:
    """A world of its own: what others use has one key."""
    async with running(make_broker("tansu")) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tiktok(own: World) -> ChannelUnderTest:
    return await own.channel("tiktok", 1)


def replica(channel: ChannelUnderTest, **environment: str | None) -> Replica:
    settings = {**channel.service.environment, **environment}
    given = {name: value for name, value in settings.items() if value is not None}
    return Replica(channel.name, f"{channel.name}-odd-{number()}", channel.world.logs, given)


@pytest.mark.skipif(MISSING is not None, reason=f"certificates: {MISSING}")
async def test_doors_are_apart_and_each_asks_for_its_own(tiktok: ChannelUnderTest, own: World, tmp_path: Path) -> None:
    account = await tiktok.account()
    authority = Authority(tmp_path / "authority")
    ours, secrets, ops = authority.sign("service"), tmp_path / "secrets", free_port()
    secrets.mkdir()
    async with tls_in_front(own.state.port, authority.sign("store"), authority.certificate) as state:
        files = {
            "SEALING_KEY": own.sealing_key,
            "API_TOKENS": ",".join(TOKENS),
            "STATE_URL": f"valkeys://{HOST}:{state}/0",
            "TIKTOK_APP_SECRET": tiktok.service.environment["TIKTOK_APP_SECRET"],
        }
        for name, value in files.items():
            (secrets / name).write_text(f"{value}\n")
        careful = replica(
            tiktok,
            **dict.fromkeys(files),
            SECRETS_DIR=str(secrets),
            HTTP_HOST="0.0.0.0",
            HTTP_OPS_PORT=str(ops),
            API_RATE="0.01",
            API_BURST=str(BURST),
            STATE_SSL_CAFILE=str(authority.certificate),
            STATE_SSL_CERTFILE=str(ours.certificate),
            STATE_SSL_KEYFILE=str(ours.key),
        )
        door = careful.url
        careful.port = ops  # where `ready` asks
        await careful.start()
        try:
            async with aiohttp.ClientSession() as session:
                await careful.ready(session)
                assert await status(session, f"{careful.url}/metrics") == 200
                for path in ("/metrics", "/livez", "/readyz"):
                    assert await status(session, door + path) == 404
                for path in ("/v1/preflight", "/v1/blobs/ws/x", "/webhooks/tiktok"):
                    assert await status(session, careful.url + path) == 404
                path, headers = tiktok.provider.genuine(account, b"{}")
                async with session.post(f"{door}/webhooks/tiktok{path}", data=b"{}", headers=headers) as answer:
                    assert answer.status == 200
                for token in (None, "", TOKENS[0][:-1], f"{TOKENS[0]},{TOKENS[1]}"):
                    assert await preflight(session, door, token) == (401, None)
                assert await status(session, f"{door}/v1/blobs/ws/x?workspace_id=ws") == 401
                asked = [await preflight(session, door, TOKENS[0]) for _ in range(BURST + 1)]
                assert [code for code, _ in asked] == [200] * BURST + [429]
                assert 0 < int(asked[-1][1] or 0) <= 100
                blob = f"{door}/v1/blobs/ws/x?workspace_id=ws"
                assert await status(session, blob, TOKENS[1]) == 404  # the other has calls left, and there is no blob
            assert await careful.terminate() == 0
        finally:
            await careful.kill()
    said = careful.log_text()
    assert not any(secret in said for secret in (*TOKENS, own.sealing_key))


async def status(session: aiohttp.ClientSession, url: str, token: str | None = None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.get(url, headers=headers) as answer:
        return answer.status


async def preflight(session: aiohttp.ClientSession, door: str, token: str | None) -> tuple[int, str | None]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.post(f"{door}/v1/preflight", data=b"{}", headers=headers) as answer:
        return answer.status, answer.headers.get("Retry-After")


async def test_a_sealing_key_rotates_without_a_new_authorization(tiktok: ChannelUnderTest, own: World) -> None:
    person = await tiktok.person(await tiktok.account())
    refreshes = tiktok.provider.sim.platform.tokens.refreshes
    handle = person.account.handle
    tiktok.provider.sim.platform.tokens.expire(handle)
    (sent,) = await tiktok.sends(person, "With tokens that only the store has from now on")
    assert sent["state"] in SENT
    refreshed = refreshes[handle]
    old, new = own.sealing_key, new_key()

    both = replica(tiktok, SEALING_KEY=f"{new},{old}")
    assert await tiktok.service.replicas[0].terminate() == 0
    await both.start()
    await both.ready(tiktok.service.session)
    (sent,) = await tiktok.sends(person, "Opened with the old key")
    assert sent["state"] in SENT
    said = json.loads((await tiktok.run("accounts", "reseal", "--json", SEALING_KEY=f"{new},{old}")).splitlines()[-1])
    assert said["unopened"] == []
    assert person.account.id in said["resealed"]
    assert person.account.id in said["tokens"]
    await both.terminate()

    after = replica(tiktok, SEALING_KEY=new)
    await after.start()
    try:
        await after.ready(tiktok.service.session)
        (sent,) = await tiktok.sends(person, "Opened with the new key alone")
        assert sent["state"] in SENT
        found = await tiktok.run("accounts", "check", person.account.id, "--json", SEALING_KEY=new)
        assert json.loads(found.splitlines()[-1]) == {"account_id": person.account.id, "ok": True, "problems": []}
        assert refreshes[handle] == refreshed  # the tools take the tokens that the service has, too
    finally:
        await after.kill()
