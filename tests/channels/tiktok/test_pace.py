"""The rate of the whole app, against a platform that has one: messages are not held up by what is less urgent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import monotonic

import pytest

from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.errors import Code
from sandbox.simulators.tiktok.media import PIXEL
from sandbox.valkey import ValkeyServer
from services.tiktok.channel import TikTokChannel
from shared.channel import Account, PacesCalls, Priority
from shared.runtime.outbound.call_pace import CallPace
from shared.runtime.outbound.pacing import app_bucket
from shared.state.client import Client
from shared.state.store import Store
from tests.channels.tiktok.conftest import BUSINESS, START, OpenChannel, fail
from tests.channels.tiktok.test_client import NOTHING, Memory, image, planned

EVERY = 0.25  # seconds between two messages: half of what the app may
MESSAGES = 9
DOWNLOADS = 40


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with ValkeyServer() as server:
        client = Client(server.url)
        yield Store(client)
        await client.close()


class Drawn:
    """A pace that lets everything through and remembers what for."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[Priority, bool]] = Counter()

    async def __call__(self, priority: Priority, account: Account | None = None) -> None:
        self.calls[priority, account is not None] += 1

    def taken(self) -> dict[tuple[Priority, bool], int]:
        taken, self.calls = dict(self.calls), Counter()
        return taken


async def test_every_call_but_a_messages_own_is_drawn(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    assert isinstance(channel, PacesCalls)
    drawn = Drawn()
    channel.use_pace(drawn)
    [text] = planned(channel, account, thread, {"kind": "text", "text": "hello"})
    await channel.perform(text, account, NOTHING)
    assert drawn.taken() == {}
    [picture] = planned(channel, account, thread, image())
    await channel.perform(picture, account, Memory(picture=PIXEL))
    assert drawn.taken() == {(Priority.SEND, True): 2}, "what an image needs: a lookup and an upload"
    await channel.find_sent(text, account, datetime.fromtimestamp(START - 60, UTC))
    assert drawn.taken() == {(Priority.SEND, True): 1}
    await channel.contact(account, {"conversation_id": thread})
    await channel.probe(account)
    assert drawn.taken() == {(Priority.LOOKUP, True): 2}
    await channel.check_webhook(account, "https://hooks.example")
    assert drawn.taken() == {(Priority.LOOKUP, False): 1}
    assert [batch async for batch in channel.backfill(account, datetime.fromtimestamp(0, UTC))]
    assert drawn.taken() == {(Priority.BACKFILL, True): 3}


async def test_a_message_sent_again_with_a_fresh_token_is_drawn(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    drawn = Drawn()
    channel.use_pace(drawn)
    fail(sim, "send", count=1, code=40102)
    [text] = planned(channel, account, thread, {"kind": "text", "text": "hello"})
    await channel.perform(text, account, NOTHING)
    assert drawn.taken() == {(Priority.SEND, False): 1, (Priority.SEND, True): 1}, "the refresh, and the second send"


async def test_messages_do_not_wait_for_a_backlog_of_downloads_and_history(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str, store: Store
) -> None:
    sim.options.queries_per_second = 12  # the app's ten, and what an unsteady machine adds
    channel = await open_channel()
    channel.use_pace(CallPace(channel, store))
    for number in range(30):
        await sim.people.writes(BUSINESS, f"person.{number}", silent=True)
    picture = await sim.people.writes(BUSINESS, "lena", "image", silent=True)
    media_id = picture.parts["image"]["media_id"]
    finished: Counter[str] = Counter()

    async def download() -> None:
        arguments = {"message_id": picture.message_id, "media_id": media_id, "media_type": "IMAGE"}
        opened = await channel._client.download(account, conversation_id=thread, **arguments)
        assert b"".join([chunk async for chunk in opened.chunks])
        finished["downloads"] += 1

    async def history() -> None:
        async for _ in channel.backfill(account, datetime.fromtimestamp(0, UTC)):
            finished["threads"] += 1

    async def send(number: int) -> float:
        """One message as the runtime sends it; how long it took in seconds."""
        began, rate = monotonic(), channel.capabilities.rates.app
        assert rate is not None
        buckets = [(app_bucket("tiktok"), rate.per_second, rate.burst)]
        _, wait, _ = await store.take(buckets, longest_wait=900)
        await asyncio.sleep(wait)
        [call] = planned(channel, account, thread, {"kind": "text", "text": f"{number}"})
        await channel.perform(call, account, NOTHING)
        return monotonic() - began

    backlog = [asyncio.create_task(download()) for _ in range(DOWNLOADS)] + [asyncio.create_task(history())]
    took = []
    for number in range(MESSAGES):
        await asyncio.sleep(EVERY)
        took.append(await send(number))
    assert sorted(took)[MESSAGES // 2] < 0.06, "half of them not even one interval"
    assert max(took) < 0.3
    assert 0 < finished["downloads"] < DOWNLOADS, "the backlog moves on, and is still there"
    assert finished["threads"] == 0, "history comes last"
    refused = [call for call in sim.platform.ledger.calls if call.code == Code.TOO_FREQUENT]
    assert refused == []
    for task in backlog:
        task.cancel()
    await asyncio.gather(*backlog, return_exceptions=True)


async def test_without_a_pace_the_same_backlog_is_too_much(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    """The limit of the test above is one that can be broken."""
    sim.options.queries_per_second = 12
    answers = await asyncio.gather(
        *(channel._client.messages(account, thread) for _ in range(DOWNLOADS)), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, Exception)]
