"""Payloads that are parsed in workers, kept raw, or proven by their heads: nothing hostile stays, nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient

from shared.channel import (
    Accounts,
    FileUnavailable,
    NotTaken,
    RawItem,
    RawStore,
    ReceivedItem,
    WebhookRequest,
)
from shared.media.blobs import BlobsUnavailable
from shared.runtime.inbound import parsing
from shared.runtime.inbound.door import IngressDoor, RawBlobs
from shared.runtime.tools import offline
from shared.runtime.tools.rebuild import rebuild
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.parsers import parse
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, item
from tests.shared.runtime.test_ingress import PROOF, serve
from tests.shared.runtime.world import World

LIMIT = 300_000


class ParsingChannel(PlainChannel):
    """Its payloads are parsed and kept; a body that is proven by its head is one item."""

    parser = "tests.shared.runtime.parsers:parse"
    whole_files = (".plain",)
    raw: RawStore

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.blobs_seen: list[str | None] = []

    def use_raw(self, store: RawStore) -> None:
        self.raw = store

    def parse(self, raw: bytes) -> bytes:
        return parse(raw)

    def placeholder(self, reason: str, raw: bytes) -> bytes:
        known = json.loads(raw)
        return json.dumps({**known, "text": f"{reason}, of {len(raw)} bytes"}).encode()

    def normalise(self, item: ReceivedItem) -> Sequence[Any]:
        self.blobs_seen.append(item.blob)
        return super().normalise(item)

    def admit(self, request: WebhookRequest, accounts: Accounts) -> int:
        assert request.body == b""
        self.authenticate(request, accounts)
        return LIMIT

    def received(self, request: WebhookRequest, blob: str) -> Sequence[RawItem]:
        if not request.body:
            raise ValueError("an empty body")
        return [RawItem(f"key of {len(request.body)}", b"", account_id="acc_1", blob=blob)]


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ParsingChannel())


async def texts(world: World) -> list[str]:
    return [data["content"]["text"] for kind, data in await world.events() if kind == "message.received"]


# ---------------------------------------------------------------------------------------------------- parsing


async def test_normalise_gets_what_a_worker_has_made_of_the_payload(world: World) -> None:
    await world.receive(item(id="1", text="one"))
    assert await texts(world) == ["parsed one"]


@pytest.mark.parametrize(("does", "reason"), [("hang", "slow"), ("die", "died"), ("eat", "memory"), ("raise", "died")])
async def test_a_payload_that_takes_its_worker_down_has_a_placeholder(
    world: World, monkeypatch: pytest.MonkeyPatch, does: str, reason: str
) -> None:
    monkeypatch.setattr(parsing, "_SECONDS", 0.3)
    monkeypatch.setattr(parsing, "_SECOND_TIME", 1.5)
    began = time.perf_counter()
    await world.receive(item(id="1", text="one", does=does), item(id="2", text="two"))
    first, second = await texts(world)
    assert (first.partition(",")[0], second) == (reason, "parsed two")
    assert time.perf_counter() - began < 6


async def test_others_are_parsed_beside_one_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_SECONDS", 1.0)
    monkeypatch.setattr(parsing, "_SECOND_TIME", 1.0)
    hostile, *others = await world.raw(item(id="0", does="hang"), *(item(id=str(n), peer=str(n)) for n in range(1, 9)))
    hanging = asyncio.create_task(world.normalise(hostile))
    await asyncio.gather(*map(world.normalise, others))
    assert not hanging.done()
    await hanging
    assert len(await texts(world)) == 9


async def test_a_wave_waits_for_what_hangs_and_what_is_out_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes a worker down, or is large, is left to be handled alone, with more patience."""
    monkeypatch.setattr(parsing, "_SECONDS", 2.0)
    large = item(id="1", peer="large", padding="x" * (parsing.SMALL + 1))
    others = (item(id=str(number), peer=str(number)) for number in range(2, 10))
    records = await world.raw(item(id="0", does="hang"), large, *others)
    wave = asyncio.create_task(world.process.normaliser.wave(records))
    async with asyncio.timeout(10):
        while len(await texts(world)) < 8:
            await asyncio.sleep(0.01)
    assert not wave.done()
    assert sorted(record.offset for record in await wave) == [record.offset for record in records[:2]]
    assert len(await texts(world)) == 8


async def test_a_parser_that_fails_once_is_asked_once_more(world: World, tmp_path: Path) -> None:
    await world.receive(item(id="1", text="one", does="die", once=str(tmp_path / "mark")))
    assert await texts(world) == ["parsed one"]


async def test_a_large_payload_is_parsed_from_the_blob_store(world: World) -> None:
    await world.receive(item(id="1", text="one", padding="x" * (parsing.SMALL + 1)))
    assert await texts(world) == ["parsed one"]


async def test_a_rebuild_parses_as_normalise_did(world: World) -> None:
    await world.receive(item(id="1", text="one"))
    await world.forget("*")
    used = await rebuild(world.channel, world.accounts, world.log, world.store, world.blobs, world.topics)
    await world.receive(item(id="1", text="one"))
    assert (used["raw"], await texts(world)) == (1, ["parsed one"])


def test_the_command_line_parses_where_it_is() -> None:
    payload = orjson.dumps([{**item(id="1", text="one"), "at": 0}])
    [event] = offline.normalise(ParsingChannel(), payload, account_id="acc_1")
    assert event["data"]["content"]["text"] == "parsed one"


# -------------------------------------------------------------------------------------------------- kept raw


async def test_payloads_are_kept_and_can_be_read_in_parts(world: World) -> None:
    [record] = await world.raw(item(id="1", text="one"))
    assert record.value == b""
    await world.normalise(record)
    assert isinstance(world.channel, ParsingChannel)
    [blob] = world.channel.blobs_seen
    assert blob is not None
    raw = RawBlobs(world.blobs)
    whole = await read(raw, blob, 0, 10_000)
    assert json.loads(whole)["text"] == "one"
    assert await read(raw, blob, 3, 17) == whole[3:17]
    assert await read(raw, blob, 10_000, 20_000) == b""


@pytest.mark.parametrize("blob", ["ws_1/acc_1/file", "raw-blob/none", "raw-blob/../ws_1/acc_1/file", ""])
async def test_nothing_but_payloads_is_read_as_one(world: World, blob: str) -> None:
    await world.blob(b"a file")
    with pytest.raises(FileUnavailable):
        await read(RawBlobs(world.blobs), blob, 0, 5)


async def test_a_door_says_who_is_there_and_who_comes(world: World) -> None:
    told: dict[str, bool] = {}
    door = IngressDoor(world.accounts, world.process.writer)
    door.follow(lambda account_id, account: told.update({account_id: account is not None}))
    assert told == {"acc_1": True, "acc_2": True}
    world.accounts.apply(b"acc_2", None)
    assert told == {"acc_1": True, "acc_2": False}


async def test_what_is_not_durable_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise BlobsUnavailable("EIO")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    monkeypatch.setattr(world.blobs, "put", away)
    with pytest.raises(NotTaken):
        await RawBlobs(world.blobs).store(chunks())
    monkeypatch.setattr(world.blobs, "put_content", away)
    with pytest.raises(NotTaken):
        await IngressDoor(world.accounts, world.process.writer).write([RawItem("k", b"x", account_id="acc_1")])


# ------------------------------------------------------------------------------------------ proven by the head


@pytest.fixture
async def client(world: World) -> AsyncIterator[TestClient[Any, Any]]:
    client = await serve(world)
    yield client
    await client.close()


PATH = f"/webhooks/{CHANNEL}/acc_1"


async def test_a_body_larger_than_others_may_be_goes_to_the_store_while_it_comes(
    world: World, client: TestClient[Any, Any]
) -> None:
    body = bytes(range(256)) * 1000
    answer = await client.post(PATH, data=body, headers=PROOF)
    assert answer.status == 200
    [record] = [record async for record in world.records(world.topics.raw(CHANNEL))]
    assert (record.key, record.value) == (b"key of 65536", b"")
    blob = dict(record.headers)["blob"].decode()
    assert hashlib.sha256(await world.blobs.read(blob)).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        (PATH, {}, b"x", 401),
        (f"/webhooks/{CHANNEL}/nowhere", PROOF, b"x", 404),
        (PATH, PROOF, b"", 400),
        (PATH, PROOF, b"x" * (LIMIT + 1), 413),
        (PATH, {**PROOF, "Content-Encoding": "gzip"}, b"x", 415),
    ],
)
async def test_nothing_is_kept_of_what_is_refused(
    world: World, client: TestClient[Any, Any], path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    for data in (body, in_chunks()):
        answer = await client.post(path, data=data, headers=headers)
        assert answer.status == status
    assert [record async for record in world.records(world.topics.raw(CHANNEL))] == []


async def test_a_body_that_stops_coming_is_given_up(world: World, client: TestClient[Any, Any]) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.sleep(5)

    answer = await client.post(PATH, data=stops(), headers=PROOF)
    assert answer.status == 408


async def test_the_senders_keep_what_cannot_be_stored(
    world: World, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise BlobsUnavailable("EIO")

    monkeypatch.setattr(world.blobs, "put", away)
    answer = await client.post(PATH, data=b"x", headers=PROOF)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_the_answer_to_a_head_without_proof_waits_for_no_body(client: TestClient[Any, Any]) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
    async with asyncio.timeout(2):
        assert b" 401 " in await reader.readline()
    writer.close()


async def read(raw: RawBlobs, blob: str, start: int, end: int) -> bytes:
    return b"".join([chunk async for chunk in raw.read(blob, start, end)])
