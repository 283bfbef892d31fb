"""The webhook endpoint: 200 means that every item is durable, everything else means that nothing was kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from shared.channel import RawItem, WebhookRequest
from shared.media.blobs import BlobsUnavailable
from shared.runtime.http.server import HealthChecks, Server
from shared.runtime.roles import IngressRole
from shared.runtime.settings import HttpSettings
from shared.stream.errors import RecordTooLarge
from shared.stream.log import Stored
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, SECRET, ChallengedChannel, item
from tests.shared.runtime.world import World

PATH = f"/webhooks/{CHANNEL}"
PROOF = {"x-secret": SECRET}
SETTINGS = HttpSettings(max_body=2000, body_timeout=0.05)


async def serve(world: World) -> TestClient[Any, Any]:
    checks = HealthChecks(CHANNEL)
    checks.accepting = True
    server = Server(SETTINGS, checks, measure=lambda: None)
    server.add_routes(IngressRole(world.process.common).routes(server.bodies))
    client: TestClient[Any, Any] = TestClient(TestServer(server._app))
    await client.start_server()
    return client


@pytest.fixture
async def client(world: World) -> AsyncIterator[TestClient[Any, Any]]:
    client = await serve(world)
    yield client
    await client.close()


async def kept(world: World) -> list[Any]:
    return [orjson.loads(r.value or b"null") async for r in world.records(world.topics.raw(CHANNEL))]


async def test_every_item_is_kept_before_the_answer(world: World, client: TestClient[Any, Any]) -> None:
    items = [item(id="1"), item(id="2", peer="p2", account=None, external="ext-2")]
    answer = await client.post(f"{PATH}/some/route", json=items, headers=PROOF)
    assert (answer.status, await answer.read()) == (200, b"")
    assert await kept(world) == items
    first, second = [record async for record in world.records(world.topics.raw(CHANNEL))]
    assert (first.key, second.key) == (b"acc_1:p1", b"ext-2:p2")
    assert dict(first.headers)["account_id"] == b"acc_1"
    assert dict(second.headers)["external_id"] == b"ext-2"


async def test_the_answer_waits_for_the_ack(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    acks: list[asyncio.Future[Any]] = []

    async def enqueue(*_: Any, **__: Any) -> asyncio.Future[Any]:
        acks.append(asyncio.get_running_loop().create_future())
        return acks[-1]

    monkeypatch.setattr(world.log, "enqueue", enqueue)
    call = asyncio.create_task(client.post(PATH, json=[item(), item()], headers=PROOF))
    while len(acks) < 2:
        await asyncio.sleep(0.001)
    acks[0].set_result(None)
    done, _ = await asyncio.wait([call], timeout=0.02)
    assert not done
    acks[1].set_result(None)
    assert (await call).status == 200


@pytest.mark.parametrize("headers", [{}, {"x-secret": "guess"}])
async def test_a_stranger_gets_nothing_and_leaves_nothing(
    world: World, client: TestClient[Any, Any], headers: dict[str, str]
) -> None:
    answer = await client.post(PATH, json=[item()], headers=headers)
    assert (answer.status, await answer.read()) == (401, b"")
    assert await kept(world) == []
    assert await world.dead() == []


async def test_a_route_that_does_not_exist(world: World, client: TestClient[Any, Any]) -> None:
    answer = await client.post(f"{PATH}/nowhere", json=[item()], headers=PROOF)
    assert (answer.status, await answer.read()) == (404, b"")
    assert await kept(world) == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_however_it_comes(
    world: World, client: TestClient[Any, Any], chunked: bool
) -> None:
    body = orjson.dumps([item(text="x" * 3000)])

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1500]
        yield body[1500:]

    answer = await client.post(PATH, data=pieces() if chunked else body, headers=PROOF)
    assert answer.status == 413
    assert await kept(world) == []


async def test_a_body_of_just_the_limit_is_taken(world: World, client: TestClient[Any, Any]) -> None:
    body = orjson.dumps([item()])
    body = body[:-1] + b" " * (2000 - len(body)) + b"]"
    assert (await client.post(PATH, data=body, headers=PROOF)).status == 200


async def test_a_client_that_dawdles_is_sent_away(world: World, client: TestClient[Any, Any]) -> None:
    stalled = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"["
        await stalled.wait()

    answer = await client.post(PATH, data=pieces(), headers=PROOF)
    assert answer.status == 408
    stalled.set()
    assert await kept(world) == []


async def test_while_the_log_is_away_the_provider_keeps_the_message(world: World, client: TestClient[Any, Any]) -> None:
    world.log.available = False
    for body in (orjson.dumps([item()]), b"unreadable"):
        answer = await client.post(PATH, data=body, headers=PROOF)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    world.log.available = True
    assert await kept(world) == []
    assert await world.dead() == []


async def test_one_item_that_is_not_durable_refuses_them_all(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue, turn = world.log.enqueue, iter([True, False])

    async def fails_once(*arguments: Any, **named: Any) -> Any:
        if not next(turn):
            world.log.available = False
        return await enqueue(*arguments, **named)

    monkeypatch.setattr(world.log, "enqueue", fails_once)
    assert (await client.post(PATH, json=[item(), item()], headers=PROOF)).status == 503


@pytest.mark.parametrize("body", [b"nonsense", b"{}", b"\xff\xfe", b""])
async def test_an_authentic_body_that_cannot_be_read_is_kept_whole(
    world: World, client: TestClient[Any, Any], body: bytes
) -> None:
    assert (await client.post(PATH, data=body, headers=PROOF)).status == 200
    ((code, record),) = await world.dead()
    assert (code, record.value) == ("unreadable", body)
    assert await kept(world) == []


async def test_an_unreadable_body_too_large_for_a_record_is_kept_in_the_blob_store(
    world: World, client: TestClient[Any, Any]
) -> None:
    world.log._max_bytes = 500
    body = b"nonsense" * 100
    assert (await client.post(PATH, data=body, headers=PROOF)).status == 200
    ((code, record),) = await world.dead()
    assert (code, record.value) == ("unreadable", b"")
    assert await world.blobs.read(dict(record.headers)["dl_blob"].decode()) == body


async def test_a_bug_in_unbatch_keeps_the_body_too(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unbatch(request: WebhookRequest) -> Sequence[RawItem]:
        raise KeyError("+4915112345678")

    monkeypatch.setattr(world.channel, "unbatch", unbatch)
    assert (await client.post(PATH, json=[item()], headers=PROOF)).status == 200
    ((_, record),) = await world.dead()
    assert dict(record.headers)["dl_detail"] == b"KeyError"


async def test_many_unreadable_bodies_stop_nothing(world: World, client: TestClient[Any, Any]) -> None:
    for _ in range(150):
        assert (await client.post(PATH, data=b"nonsense", headers=PROOF)).status == 200
    assert (await client.post(PATH, json=[item()], headers=PROOF)).status == 200


async def test_an_item_too_large_for_a_record_goes_to_the_blob_store(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log._max_bytes = 500
    large = item(id="large", text="x" * 600)
    answer = await client.post(PATH, json=[large, item(id="small")], headers=PROOF)
    assert answer.status == 200
    first, second = [record async for record in world.records(world.topics.raw(CHANNEL))]
    assert first.value == b""
    assert orjson.loads(await world.blobs.read(dict(first.headers)["blob"].decode())) == large
    assert "blob" not in dict(second.headers)

    async def away(*_: object) -> str:
        raise BlobsUnavailable

    monkeypatch.setattr(world.blobs, "put_content", away)
    assert (await client.post(PATH, json=[large], headers=PROOF)).status == 503


async def test_an_item_the_broker_finds_too_large_goes_to_the_blob_store_as_well(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = world.log.enqueue

    async def refuse_large(topic: str, key: bytes, value: bytes, *rest: Any) -> asyncio.Future[Stored]:
        if len(value) < 500:
            return await enqueue(topic, key, value, *rest)
        refused: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        refused.set_exception(RecordTooLarge("says the broker"))
        return refused

    monkeypatch.setattr(world.log, "enqueue", refuse_large)
    large = item(id="large", text="x" * 600)
    assert (await client.post(PATH, json=[item(id="small"), large], headers=PROOF)).status == 200
    small, aside = [record async for record in world.records(world.topics.raw(CHANNEL))]
    assert "blob" not in dict(small.headers)
    assert aside.value == b""
    assert orjson.loads(await world.blobs.read(dict(aside.headers)["blob"].decode())) == large


@pytest.mark.parametrize(
    ("given", "taken"),
    [("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True), ("00-nonsense", False), (None, False)],
)
async def test_a_trace_is_taken_over_or_begun(
    world: World, client: TestClient[Any, Any], given: str | None, taken: bool
) -> None:
    headers = PROOF | ({"traceparent": given} if given else {})
    await client.post(PATH, json=[item()], headers=headers)
    (record,) = [record async for record in world.records(world.topics.raw(CHANNEL))]
    trace = dict(record.headers)["traceparent"].decode()
    assert (trace == given) is taken
    assert len(trace) == 55


async def test_a_challenge_is_answered_to_who_knows_the_secret(make_world: MakeWorld) -> None:
    client = await serve(await make_world(ChallengedChannel()))
    answer = await client.get(PATH, params={"verify": SECRET, "challenge": "1158201444"})
    assert (answer.status, await answer.text()) == (200, "1158201444")
    assert (await client.get(PATH, params={"verify": "guess", "challenge": "1"})).status == 401
    await client.close()


async def test_without_challenges_there_is_nothing_to_get(client: TestClient[Any, Any]) -> None:
    assert (await client.get(PATH)).status == 405
