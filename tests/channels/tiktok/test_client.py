"""The channel against the simulator: sends, errors, files, history, health; no request breaks TikTok's contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.media import PIXEL
from services.tiktok.api.client import SCOPES, Client
from services.tiktok.channel import TikTokChannel
from services.tiktok.settings import MEDIA_HOSTS
from shared.channel import (
    Account,
    Call,
    Event,
    Files,
    FileUnavailable,
    OpenFile,
    OpensMedia,
    PlanContext,
    Probes,
    ProviderError,
    ReceivedItem,
    Reconciles,
    RegistersWebhook,
    WebhookRequest,
)
from shared.contract.commands import File, parse_command
from shared.contract.errors import ErrorCode
from shared.contract.events import Health, Message
from shared.kit.http import is_at
from tests.channels.goldens import RECEIVED_AT
from tests.channels.tiktok.conftest import BUSINESS, START, OpenChannel, account_of, fail, settings_for


class Memory(Files):
    """Files to send: name → bytes; the type is told by the name."""

    def __init__(self, **files: bytes) -> None:
        self._files = files
        self.opened = 0

    async def open(self, file: File) -> OpenFile:
        if file.blob not in self._files:
            raise FileUnavailable
        self.opened += 1
        content = self._files[file.blob]

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1000):
                yield content[start : start + 1000]

        return OpenFile(file.filename or file.blob, file.mime_type or "image/png", len(content), chunks())


NOTHING = Memory()


@pytest.fixture(autouse=True)
def contract_is_kept(sim: TikTokSimulator) -> Iterator[None]:
    yield
    assert sim.violations == []


def planned(channel: TikTokChannel, account: Account, thread: str, content: dict[str, Any]) -> list[Call]:
    data = {
        "command_id": "cmd_1",
        "workspace_id": "ws_1",
        "account_id": account.account_id,
        "conversation_id": f"tiktok:{account.account_id}:{thread}",
        "content": content,
    }
    kind, command = parse_command("channels.message.send.v1", data)
    return list(channel.plan(kind, command, PlanContext(account.record)))


async def refused(channel: TikTokChannel, account: Account, call: Call, files: Files = NOTHING) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await channel.perform(call, account, files)
    return failed.value


def image(**fields: Any) -> dict[str, Any]:
    return {"kind": "media", "attachments": [{"blob": "picture", "filename": "Übersicht März.png", **fields}]}


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "text", "text": "שלום 👩🏽‍🍳 + / = %2B"},
        {"kind": "shared_post", "post_id": "7301234567890123456"},
        {"kind": "interactive", "text": "Which size?", "buttons": [{"title": "S", "id": "s"}]},
        image(),
    ],
)
async def test_every_kind_of_message_is_taken(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, content: dict[str, Any]
) -> None:
    [call] = planned(channel, account, thread, content)
    receipt = await channel.perform(call, account, Memory(picture=PIXEL))
    [sent] = sim.sent(thread)
    assert receipt.provider_message_ids == (sent.message_id,)
    assert sent.message_type == call.params["message_type"]


async def test_a_sender_action_has_no_message(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    for kind in ("typing.start", "conversation.mark_read"):
        data = {"command_id": "c", "workspace_id": "w", "account_id": "a", "conversation_id": f"tiktok:a:{thread}"}
        [call] = channel.plan(*parse_command(f"channels.{kind}.v1", data), PlanContext(account.record))
        assert (await channel.perform(call, account, NOTHING)).provider_message_ids == ()
    conversation = sim.platform.world.conversation(thread)
    assert conversation.typing_until
    assert conversation.read_by_business


async def test_an_upload_tells_the_id_it_got(channel: TikTokChannel, account: Account, thread: str) -> None:
    [call] = planned(channel, account, thread, image())
    receipt = await channel.perform(call, account, Memory(picture=PIXEL))
    again = {"kind": "media", "attachments": [{"provider_ref": receipt.learned_files["image"]}]}
    [second] = planned(channel, account, thread, again)
    assert (await channel.perform(second, account, NOTHING)).provider_message_ids


async def test_an_upload_is_opened_anew_when_the_token_was_refused(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    files = Memory(picture=PIXEL)
    [call] = planned(channel, account, thread, image())
    fail(sim, "upload", count=1, code=40102)
    assert (await channel.perform(call, account, files)).provider_message_ids
    assert files.opened == 2


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        ({}, Memory(), ErrorCode.FILE_UNAVAILABLE),
        ({"mime_type": "image/jpeg"}, Memory(picture=b"\0" * (3 * 1024 * 1024 + 1)), ErrorCode.FILE_TOO_LARGE),
        ({}, Memory(picture=b"GIF89a" + b"\0" * 100), ErrorCode.FILE_TYPE_UNSUPPORTED),
    ],
)
async def test_a_file_that_does_not_go_is_certainly_not_sent(
    sim: TikTokSimulator,
    channel: TikTokChannel,
    account: Account,
    thread: str,
    fields: dict[str, Any],
    files: Files,
    code: ErrorCode,
) -> None:
    [call] = planned(channel, account, thread, image(**fields))
    error = await refused(channel, account, call, files)
    assert (error.failure.code, error.failure.certain) == (code, True)
    assert sim.sent(thread) == []


async def test_a_file_of_another_type_is_not_even_uploaded(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    class Video(Memory):
        async def open(self, file: File) -> OpenFile:
            opened = await super().open(file)
            return OpenFile(opened.filename, "video/mp4", opened.size, opened.chunks)

    [call] = planned(channel, account, thread, {"kind": "media", "attachments": [{"blob": "picture"}]})
    error = await refused(channel, account, call, Video(picture=PIXEL))
    assert error.failure.code is ErrorCode.FILE_TYPE_UNSUPPORTED
    assert sim.platform.ledger.totals["upload"] == 0


async def test_a_file_that_breaks_off_is_unavailable(channel: TikTokChannel, account: Account, thread: str) -> None:
    class Broken(Files):
        async def open(self, file: File) -> OpenFile:
            async def chunks() -> AsyncIterator[bytes]:
                yield PIXEL[:10]
                raise FileUnavailable

            return OpenFile("a.png", "image/png", len(PIXEL), chunks())

    [call] = planned(channel, account, thread, image())
    error = await refused(channel, account, call, Broken())
    assert (error.failure.code, error.failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)


async def test_images_are_asked_for_once_and_not_sent_where_they_are_not_taken(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    sim.platform.world.conversation(thread).customer.images = False
    [call] = planned(channel, account, thread, image())
    for _ in range(3):
        error = await refused(channel, account, call, Memory(picture=PIXEL))
        assert error.failure.code is ErrorCode.FILE_TYPE_UNSUPPORTED
    assert sim.platform.ledger.totals["capabilities"] == 2  # as SINGLE, as STRANGER
    assert sim.platform.ledger.totals["upload"] == 0
    sim.platform.world.conversation(thread).customer.images = True
    clock.advance(3601)
    assert (await channel.perform(call, account, Memory(picture=PIXEL))).provider_message_ids


async def test_an_unanswered_capability_lookup_costs_no_image(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    fail(sim, "capabilities", code=50000)
    [call] = planned(channel, account, thread, image())
    assert (await channel.perform(call, account, Memory(picture=PIXEL))).provider_message_ids


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("fault", "code", "certain", "arrived"),
    [
        ({"kind": "error", "code": 40064}, ErrorCode.WINDOW_CLOSED, True, 0),
        ({"kind": "error", "code": 40100}, ErrorCode.RATE_LIMITED, True, 0),
        ({"kind": "error", "code": 50000}, ErrorCode.UNCERTAIN, False, 0),
        ({"kind": "error", "html": True}, ErrorCode.UNCERTAIN, False, 0),
        ({"kind": "error", "html": True, "status": 504}, ErrorCode.UNCERTAIN, False, 0),
        ({"kind": "error", "status": 429}, ErrorCode.RATE_LIMITED, True, 0),
        ({"kind": "error", "status": 404}, ErrorCode.PROVIDER_UNAVAILABLE, True, 0),
        ({"kind": "refuse"}, ErrorCode.UNCERTAIN, False, 0),
        ({"kind": "drop_answer"}, ErrorCode.UNCERTAIN, False, 1),
        ({"kind": "hang"}, ErrorCode.UNCERTAIN, False, 0),
    ],
)
async def test_a_send_that_goes_wrong(
    sim: TikTokSimulator,
    open_channel: OpenChannel,
    account: Account,
    thread: str,
    fault: dict[str, Any],
    code: ErrorCode,
    certain: bool,
    arrived: int,
) -> None:
    channel = await open_channel(timeout=0.3)
    fail(sim, "send", **fault, count=1)
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    error = await refused(channel, account, call)
    assert (error.failure.code, error.failure.certain) == (code, certain)
    assert len(sim.sent(thread)) == arrived
    assert sim.platform.ledger.totals["send"] <= 1  # nothing is retried


async def test_nobody_listening_is_certainly_not_sent(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str
) -> None:
    channel = await open_channel(api_url="http://127.0.0.1:9/open_api/v1.3/")
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    error = await refused(channel, account, call)
    assert (error.failure.code, error.failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_the_window_and_the_quota_are_tiktoks_to_refuse(
    channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    for _ in range(10):
        await channel.perform(call, account, NOTHING)
    error = await refused(channel, account, call)
    assert (error.failure.code, error.failure.provider_code) == (ErrorCode.WINDOW_CLOSED, "40064")
    assert error.failure.trace_id


async def test_an_unknown_conversation_is_an_unknown_recipient(
    channel: TikTokChannel, account: Account, thread: str
) -> None:
    [call] = planned(channel, account, "no+such/id==", {"kind": "text", "text": "Hi"})
    assert (await refused(channel, account, call)).failure.code is ErrorCode.RECIPIENT_UNKNOWN


async def test_errors_hold_no_secrets(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    message = f"Token {account.credentials['access_token']} may not write to {thread}."
    fail(sim, "send", count=1, code=40002, description=message)
    [call] = planned(channel, account, thread, {"kind": "text", "text": "private words"})
    error = await refused(channel, account, call)
    shown = f"{error!r} {error.failure!r} {account!r}"
    for secret in (account.credentials["access_token"], thread, "private words"):
        assert secret not in shown


# -------------------------------------------------------------------------------------------- uncertain sends


async def test_a_dropped_answer_is_found_in_the_history(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    assert isinstance(channel, Reconciles)
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    await channel.perform(call, account, NOTHING)  # the same words, earlier
    clock.advance(60)
    since = datetime.fromtimestamp(clock.now(), UTC)
    assert await channel.find_sent(call, account, since) is None
    fail(sim, "send", kind="drop_answer", count=1)
    await refused(channel, account, call)
    found = await channel.find_sent(call, account, since)
    assert found is not None
    assert found.provider_message_ids == (sim.sent(thread)[-1].message_id,)


async def test_what_the_owner_typed_is_not_taken_for_ours(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    since = datetime.fromtimestamp(START, UTC)
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    await sim.people.owner_writes(thread, content={"body": "Hi"})
    assert await channel.find_sent(call, account, since) is None


async def test_a_history_that_is_too_short_tells_nothing(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    since = datetime.fromtimestamp(START, UTC)
    clock.advance(10)
    for number in range(25):
        await sim.people.writes(BUSINESS, "lena", silent=True, content={"body": f"{number}"})
    [call] = planned(channel, account, thread, {"kind": "text", "text": "Hi"})
    with pytest.raises(ProviderError) as failed:
        await channel.find_sent(call, account, since)
    assert not failed.value.failure.certain


# ------------------------------------------------------------------------------------------------------- files


async def received(channel: TikTokChannel, account: Account, sim: TikTokSimulator, kind: str) -> Message:
    """A message of the customer, as the webhook brings it and `normalise` reads it."""
    message = await sim.people.writes(BUSINESS, "lena", kind, silent=True)
    conversation = sim.platform.world.thread(BUSINESS, "lena")
    body = sim.platform.announcement(conversation, message).body
    [item] = channel.unbatch(WebhookRequest("POST", "", {}, {}, body))
    [event] = channel.normalise(ReceivedItem(account.record, item.body, RECEIVED_AT))
    assert isinstance(event, Event)
    assert isinstance(event.data, Message)
    return event.data


async def read(file: OpenFile) -> bytes:
    return b"".join([chunk async for chunk in file.chunks])


@pytest.mark.parametrize("kind", ["image", "video", "sticker", "emoji"])
async def test_files_of_messages_are_fetched(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, kind: str
) -> None:
    assert isinstance(channel, OpensMedia)
    message = await received(channel, account, sim, kind)
    [attachment] = getattr(message.content, "attachments", ())
    opened = await channel.open_media(attachment, message, account)
    content = await read(opened)
    assert content
    assert opened.size == len(content)
    assert opened.mime_type == ("video/mp4" if kind == "video" else "image/png")


async def test_a_file_that_is_gone_is_unavailable(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, clock: Clock
) -> None:
    message = await received(channel, account, sim, "sticker")
    [attachment] = getattr(message.content, "attachments", ())
    clock.advance(31 * 86400)
    with pytest.raises(ProviderError) as failed:
        await channel.open_media(attachment, message, account)
    assert failed.value.failure.code is ErrorCode.FILE_UNAVAILABLE


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://p16-sign.tiktokcdn.com/a.jpeg?x=1", True),
        ("https://tiktok.com/a", True),
        ("http://p16-sign.tiktokcdn.com/a", False),
        ("https://p16-sign.tiktokcdn.com:8443/a", False),
        ("https://tiktokcdn.com.example.org/a", False),
        ("https://eviltiktokcdn.com/a", False),
        ("https://user@tiktokcdn.com/a", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("", False),
        ("http://127.0.0.1:8083/media/v1/x", True),
        ("http://127.0.0.1:8084/media/v1/x", False),
    ],
)
def test_files_come_from_tiktok_alone(address: str, allowed: bool) -> None:
    assert is_at(URL(address), ("http://127.0.0.1:8083/open_api/v1.3", *MEDIA_HOSTS)) is allowed


async def test_a_redirect_does_not_carry_the_token_away(sim: TikTokSimulator) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("x-user", ""))
        return web.Response(body=b"secret")

    async def redirect(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{ports[0]}/stolen"})

    ports: list[int] = []
    runners = []
    for handler in (elsewhere, redirect):
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        runners.append(runner)
    client = Client(settings_for(sim, api_url=f"http://127.0.0.1:{ports[1]}/open_api/v1.3"))
    await client.start()
    with pytest.raises(ProviderError) as failed:
        await client.fetch(f"http://127.0.0.1:{ports[1]}/file", {"x-user": "act.secret"})
    assert failed.value.failure.code is ErrorCode.FILE_UNAVAILABLE
    assert seen == []
    await client.stop()
    for runner in runners:
        await runner.cleanup()


# ------------------------------------------------------------------------------------------ people and history


async def test_a_contacts_name_is_asked_for_once(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    address = {"conversation_id": thread}
    found = await channel.contact(account, address)
    assert found is not None
    assert found.display_name == "Lena K 🌻"
    assert found.avatar_url is not None
    assert await channel.contact(account, address) == found
    assert await channel.contact(account, {}) is None, "a conversation that nothing can be asked of"
    assert sim.platform.ledger.totals["messages"] == 1
    clock.advance(86401)  # the avatar's address has expired, and the name with it
    renewed = await channel.contact(account, address)
    assert renewed is not None
    assert renewed.avatar_url != found.avatar_url


async def test_the_history_is_at_most_twenty_messages_of_every_conversation(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, clock: Clock
) -> None:
    for number in range(25):
        await sim.people.writes(BUSINESS, "lena", silent=True, content={"body": f"{number}"})
    quiet = await sim.people.writes(BUSINESS, "noor", silent=True)
    lena = sim.platform.world.thread(BUSINESS, "lena").conversation_id
    await sim.people.arrives(BUSINESS, "lena", "ad")
    await sim.people.owner_writes(lena, content={"body": "From the app"})
    batches = [batch async for batch in channel.backfill(account, datetime.fromtimestamp(START - 60, UTC))]
    assert sorted(len(batch.items) for batch in batches) == [1, 21]
    events = [
        outcome
        for batch in batches
        for item in batch.items
        for outcome in channel.normalise(ReceivedItem(account.record, item.body, RECEIVED_AT))
    ]
    assert all(isinstance(event, Event) and event.data.backfill for event in events)
    assert {event.provider_ref for event in events if isinstance(event, Event)} >= {quiet.message_id}
    clock.advance(3600)
    later = datetime.fromtimestamp(START + 1800, UTC)
    assert [batch async for batch in channel.backfill(account, later)] == []


# ------------------------------------------------------------------------------------------------ account and app


async def test_the_webhook_is_registered_once_for_the_app(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account
) -> None:
    assert isinstance(channel, RegistersWebhook)
    assert await channel.check_webhook(account, "https://inbox.example.org") is not None
    for _ in range(2):
        await channel.register_webhook(account, "https://inbox.example.org/")
    assert sim.platform.webhooks.callback_url == "https://inbox.example.org/webhooks/tiktok"
    assert sim.platform.ledger.totals["webhook_update"] == 1
    assert await channel.check_webhook(account, "https://inbox.example.org") is None
    assert await channel.check_webhook(account, "https://other.example.org") is not None


async def test_a_probe_tells_the_accounts_health(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, clock: Clock
) -> None:
    assert isinstance(channel, Probes)
    assert (await channel.probe(account)).health is Health.CONNECTED
    clock.advance(340 * 86400)
    near = await channel.probe(account)
    assert (near.health, near.code) == (Health.DEGRADED, ErrorCode.ACCOUNT_REAUTH_REQUIRED)
    sim.platform.tokens.remove(BUSINESS)
    assert (await channel.probe(account)).health is Health.REAUTH_REQUIRED


async def test_a_probe_misses_what_was_not_granted(sim: TikTokSimulator, channel: TikTokChannel) -> None:
    pair = sim.add_account("-0aOther", "other", scope=("user.info.basic", "message.list.read"))
    found = await channel.probe(account_of(pair))
    assert found.health is Health.REAUTH_REQUIRED
    assert "message.list.send" in (found.detail or "")
    pair = sim.add_account("-0aThird", "third", scope=("user.info.basic", "message.list.read", "message.list.send"))
    assert (await channel.probe(account_of(pair))).health is Health.DEGRADED


async def test_a_probe_that_gets_no_answer_says_nothing(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account
) -> None:
    fail(sim, "token_info", status=503)
    with pytest.raises(ProviderError) as failed:
        await channel.probe(account)
    assert failed.value.failure.health is None


async def test_the_consent_page_takes_our_address(sim: TikTokSimulator, account: Account) -> None:
    client = Client(settings_for(sim))
    address = client.authorize_url("https://inbox.example.org/tiktok/", "state_1")
    async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as answer:
        assert answer.status == 302
        assert "state=state_1" in answer.headers["Location"]
        assert set(answer.headers["Location"].partition("scopes=")[2].partition("&")[0].split("%2C")) == set(SCOPES)


async def test_a_signed_webhook_goes_all_the_way(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account
) -> None:
    arrived: asyncio.Queue[WebhookRequest] = asyncio.Queue()

    async def receive(request: web.BaseRequest) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        await arrived.put(WebhookRequest("POST", "", {}, headers, await request.read()))
        return web.Response()

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sim.platform.webhooks.callback_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await sim.people.writes(BUSINESS, "lena", content={"body": "still open?"})
    request = await asyncio.wait_for(arrived.get(), 5)
    channel.authenticate(request, accounts=None)  # type: ignore[arg-type]
    [item] = channel.unbatch(request)
    [event] = channel.normalise(ReceivedItem(account.record, item.body, RECEIVED_AT))
    assert isinstance(event, Event)
    assert isinstance(event.data, Message)
    assert event.data.content.text == "still open?"
    assert item.external_id == BUSINESS
    await runner.cleanup()
