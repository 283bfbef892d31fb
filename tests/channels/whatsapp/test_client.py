"""The client against the simulated Cloud API: sends, uploads, downloads, and what every kind of failure becomes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, TOKEN, Behaviour, Customer, WhatsAppSimulator, nodes
from services.whatsapp.channel import WhatsApp, build
from services.whatsapp.settings import Settings
from services.whatsapp.throughput import rate_of_number
from shared.channel import (
    Account,
    Call,
    ChecksSubscription,
    Failure,
    Files,
    FileUnavailable,
    HealthChange,
    OpenFile,
    OpensMedia,
    PlanContext,
    Probes,
    ProviderError,
    Receipt,
    Subscription,
)
from shared.contract.accounts import AccountRecord
from shared.contract.base import AliasKind
from shared.contract.capabilities import Rate
from shared.contract.commands import CommandType, File, parse_command
from shared.contract.content import Attachment, AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.events import Health, Message
from shared.contract.statuses import State
from tests.channels import goldens

PHONE = "5511987654321"
BSUID = "BR.7f3Kq91"
PNG = b"\x89PNG\r\n\x1a\n" + b"1" * 200_000


@dataclass
class Shelf:
    """Implements Files: bytes by blob name; `opened` counts."""

    contents: dict[str, tuple[bytes, str, str]] = field(default_factory=dict)
    opened: int = 0
    breaks: bool = False

    async def open(self, file: File) -> OpenFile:
        self.opened += 1
        if file.blob not in self.contents:
            raise FileUnavailable
        data, mime_type, name = self.contents[file.blob]
        return OpenFile(name, mime_type, len(data), self._chunks(data))

    async def _chunks(self, data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 65_536):
            if self.breaks and start:
                raise OSError("the blob store went away")
            yield data[start : start + 65_536]


@pytest.fixture
async def sim() -> AsyncIterator[WhatsAppSimulator]:
    simulator = WhatsAppSimulator(behaviour=Behaviour(batch_linger=0.001))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
def ida(sim: WhatsAppSimulator) -> Customer:
    customer = sim.add_customer(PHONE, user_id=BSUID, name="Ida")
    sim.customers.say(customer, "text", body="hi")
    return customer


def settings_for(url: str) -> Settings:
    return Settings(graph_url=url, connect_timeout=1, send_timeout=0.5, transfer_timeout=2)


@pytest.fixture
async def channel(sim: WhatsAppSimulator) -> AsyncIterator[WhatsApp]:
    built = build(settings_for(sim.url))
    await built.start()
    yield built
    await built.stop()


@pytest.fixture
def account() -> Account:
    return account_with(TOKEN)


def account_with(token: str) -> Account:
    record = AccountRecord(account_id="wa_1", workspace_id="w", channel="whatsapp", external_id=PHONE_NUMBER_ID)
    return Account(record, {"access_token": token})


def text(body: str = "hello", **to: str) -> Call:
    envelope = to or {"to": PHONE}
    return Call(
        "messages",
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **envelope,
            "type": "text",
            "text": {"body": body},
        },
    )


def image(file: File, **more: str) -> Call:
    body = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": PHONE,
        "type": "image",
        "image": more,
    }
    return Call("messages", body, files={"image.id": file})


async def failure_of(channel: WhatsApp, call: Call, account: Account, files: Files | None = None) -> Failure:
    with pytest.raises(ProviderError) as raised:
        await channel.perform(call, account, files or Shelf(), "cmd_1:0")
    return raised.value.failure


# ---------------------------------------------------------------------------------------------------- sending


async def test_a_text_is_accepted_and_carries_our_correlation(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    receipt = await channel.perform(text("Olá 👋🏽"), account, Shelf(), "cmd_81:0")
    (sent,) = sim.sent(ida)
    assert receipt.provider_message_ids == (sent.id,)
    assert receipt.state is State.ACCEPTED
    body = json.loads(sim.calls[-1].body)
    assert body["biz_opaque_callback_data"] == "cmd_81:0"
    assert body["text"]["body"] == "Olá 👋🏽"
    assert [alias.value for alias in receipt.learned] == [f"+{PHONE}"]


async def test_an_alphanumeric_user_id_goes_into_recipient(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    receipt = await channel.perform(text(recipient=BSUID), account, Shelf())
    assert receipt.provider_message_ids == (sim.sent(ida)[0].id,)
    assert [(alias.kind, alias.value) for alias in receipt.learned] == [(AliasKind.BSUID, BSUID)]


# Groups, messages, files, templates and people that the simulated world does not have.
UNKNOWN_THERE = ("group", "reaction", "typing", "read", "already", "template", "identity")


async def test_every_planned_golden_is_a_request_meta_takes(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account
) -> None:
    """What `plan` makes of the golden commands is sent: no request may break Meta's description or limits."""
    sim.behaviour.pair_limit = sim.behaviour.throughput_limit = False
    sim.behaviour.open_world = True
    sim.world.numbers[PHONE_NUMBER_ID].direct_send = True
    shelf = Shelf({"any": (PNG, "image/png", "a.png")})
    checked = 0
    for path in goldens.cases("whatsapp", "outbound"):
        for entry in json.loads(path.with_name(path.stem + ".calls.json").read_text()):
            params = entry.get("params", {})
            if entry.get("method") != "messages" or any(word in path.stem for word in UNKNOWN_THERE):
                continue
            files = {where: File(blob="any") for where in entry.get("files", {})}
            params.pop("context", None)
            try:
                await channel.perform(Call("messages", params, files=files), account, shelf)
            except ProviderError as refused:
                pytest.fail(f"{path.stem}: {refused.failure}")
            checked += 1
    assert checked > 80
    assert list(sim.violations) == []


async def test_typing_marks_read_and_makes_no_message(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    inbound = sim.customers.say(ida, "text", body="anybody?")
    context = PlanContext(account.record, last_inbound=inbound)
    data = {"command_id": "c", "workspace_id": "w", "account_id": "wa_1", "conversation_id": f"whatsapp:wa_1:{BSUID}"}
    kind, command = parse_command("channels.typing.start.v1", data)
    (call,) = channel.plan(kind, command, context)
    assert await channel.perform(call, account, Shelf(), "cmd_1:0") == Receipt()
    assert "biz_opaque_callback_data" not in json.loads(sim.calls[-1].body)
    assert sim.sent(ida) == []


async def test_blocking_and_unblocking(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    context = PlanContext(account.record, address={"phone": PHONE})
    data = {"command_id": "c", "workspace_id": "w", "account_id": "wa_1", "conversation_id": f"whatsapp:wa_1:{BSUID}"}
    number = sim.world.number()
    for name, blocked in (("contact.block", True), ("contact.unblock", False)):
        kind, command = parse_command(f"channels.{name}.v1", data)
        assert kind is CommandType(name)
        (call,) = channel.plan(kind, command, context)
        await channel.perform(call, account, Shelf())
        assert (ida.key in number.blocked) is blocked
    stranger = PlanContext(account.record, address={"phone": "15550109999"})
    (call,) = channel.plan(*parse_command("channels.contact.block.v1", data), stranger)
    assert (await failure_of(channel, call, account)).code is ErrorCode.UNSUPPORTED_BY_CHANNEL


# ------------------------------------------------------------------------------------------------------ files


async def test_a_file_is_uploaded_once_and_sent_by_id(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    shelf = Shelf({"b": (PNG, "image/png", 'Übersicht "März".png')})
    file = File(blob="b", sha256=hashlib.sha256(PNG).hexdigest())
    first = await channel.perform(image(file, caption="c"), account, shelf)
    second = await channel.perform(image(file), account, shelf)
    assert first.learned_files == second.learned_files
    assert shelf.opened == 1
    media = sim.media.get(first.learned_files["image.id"])
    assert (media.size, media.mime_type) == (len(PNG), "image/png")
    assert media.digest == hashlib.sha256(PNG).digest()
    assert len(sim.sent(ida)) == 2


async def test_a_voice_note_is_declared_as_opus(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    shelf = Shelf({"b": (b"OggS" + b"1" * 500, "audio/ogg", "note")})
    body = {"messaging_product": "whatsapp", "to": PHONE, "type": "audio", "audio": {"voice": True}}
    receipt = await channel.perform(Call("messages", body, files={"audio.id": File(blob="b")}), account, shelf)
    media = sim.media.get(receipt.learned_files["audio.id"])
    assert (media.mime_type, media.filename) == ("audio/ogg; codecs=opus", "note.ogg")
    assert sim.sent(ida)[0].voice


async def test_a_document_without_a_name_gets_that_of_its_file(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    shelf = Shelf({"b": (b"%PDF-1.7", "application/pdf", "manual.pdf")})
    body = {"messaging_product": "whatsapp", "to": PHONE, "type": "document", "document": {}}
    await channel.perform(Call("messages", body, files={"document.id": File(blob="b")}), account, shelf)
    assert json.loads(sim.calls[-1].body)["document"]["filename"] == "manual.pdf"


async def test_without_its_file_a_message_is_certainly_not_sent(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    shelf = Shelf({"b": (PNG, "image/png", "a.png")})
    sim.faults.add("drop_answer", where={"call": "upload"}, count=1)
    dropped = await failure_of(channel, image(File(blob="b")), account, shelf)
    assert (dropped.code, dropped.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    missing = await failure_of(channel, image(File(blob="gone")), account, shelf)
    shelf.breaks = True
    unread = await failure_of(channel, image(File(blob="b")), account, shelf)
    assert (missing.code, unread.code) == (ErrorCode.FILE_UNAVAILABLE, ErrorCode.FILE_UNAVAILABLE)
    assert missing.certain
    assert unread.certain
    assert sim.sent(ida) == []


# --------------------------------------------------------------------------------------------------- failures


async def test_a_graph_error_is_certain_and_scrubbed(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    sim.faults.add("error", where={"call": "send"}, code=131056, description=f"to {PHONE}", count=1)
    failure = await failure_of(channel, text(), account)
    assert (failure.code, failure.scope, failure.certain) == (ErrorCode.RATE_LIMITED, "pair", True)
    assert failure.trace_id
    assert PHONE not in str(failure)


@pytest.mark.parametrize("kind", ["refuse", "drop_answer", "hang"])
async def test_what_breaks_after_the_request_was_written_is_uncertain(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer, kind: str
) -> None:
    sim.faults.add(kind, where={"call": "send"}, count=1)
    failure = await failure_of(channel, text("secret text"), account)
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)
    assert "secret" not in str(failure)


async def test_a_gateway_page_is_uncertain_and_touches_no_account(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    sim.faults.add("error", where={"call": "send"}, status=502, html=True, count=1)
    failure = await failure_of(channel, text(), account)
    assert (failure.code, failure.certain, failure.health) == (ErrorCode.UNCERTAIN, False, None)


async def test_no_connection_is_certainly_not_sent(account: Account) -> None:
    channel = build(settings_for("http://127.0.0.1:9"))
    await channel.start()
    failure = await failure_of(channel, text(), account)
    await channel.stop()
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_a_token_is_dead_when_graph_says_so_twice(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    dead = await failure_of(channel, text(), account_with("revoked"))
    assert (dead.code, dead.health) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED)
    sim.faults.add("error", where={"call": "send"}, code=190, count=1)
    once = await failure_of(channel, text(), account)
    assert (once.code, once.health) == (ErrorCode.PROVIDER_UNAVAILABLE, None)
    assert once.certain


async def test_an_account_without_credentials_is_not_connected(channel: WhatsApp) -> None:
    record = AccountRecord(account_id="wa_1", workspace_id="w", channel="whatsapp")
    no_token = await failure_of(channel, text(), Account(record, {}))
    no_number = await failure_of(channel, text(), Account(record, {"access_token": "t"}))
    assert no_token.code is no_number.code is ErrorCode.ACCOUNT_DISCONNECTED
    assert no_token.health is None


async def test_the_probe_tells_health(sim: WhatsAppSimulator, channel: WhatsApp, account: Account) -> None:
    assert isinstance(channel, Probes)
    assert (await channel.probe(account)).health is Health.CONNECTED
    assert (await channel.probe(account_with("revoked"))).health is Health.REAUTH_REQUIRED
    sim.faults.add("hang", count=1)
    with pytest.raises(ProviderError) as raised:
        await channel.probe(account)
    assert raised.value.failure.health is None


@pytest.mark.parametrize(
    ("throughput", "coexistence", "expected"), [(80.0, False, 80), (1000.0, False, 1000), (20.0, True, 20)]
)
async def test_the_probe_tells_how_fast_the_number_may_send(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, throughput: float, coexistence: bool, expected: float
) -> None:
    number = sim.world.numbers[PHONE_NUMBER_ID]
    number.throughput, number.coexistence = throughput, coexistence
    found = await channel.probe(account)
    assert found.rate == Rate(per_second=expected, burst=expected)


async def test_what_meta_tells_of_a_subscription(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(channel, ChecksSubscription)
    number = sim.world.numbers[PHONE_NUMBER_ID]
    business = sim.world.accounts[number.waba_id]
    known = Account(account.record.model_copy(update={"parent_id": number.waba_id}), account.credentials)
    base_url = "https://connect.example/"
    assert await channel.check_subscription(known, base_url) == Subscription(webhooks=())
    assert await channel.check_subscription(account, None) == Subscription(webhooks=None)
    (app_id,) = business.subscribed
    business.subscribed[app_id] = "https://connect.example/webhooks/whatsapp"
    assert await channel.check_subscription(known, base_url) == Subscription(webhooks=())
    business.subscribed[app_id] = "https://another.example/webhooks/whatsapp"
    (said,) = (await channel.check_subscription(known, base_url)).webhooks or ()
    assert "another address" in said
    business.subscribed.clear()
    monkeypatch.setattr(nodes, "_SCOPES", ["whatsapp_business_management"])
    found = await channel.check_subscription(known, base_url)
    (said,), (nobody,) = found.rights, found.webhooks or ()
    assert "whatsapp_business_messaging" in said
    assert "not subscribed" in nobody


@pytest.mark.parametrize("code", [100, 10])
async def test_a_field_that_may_not_be_read_costs_the_probe_only_the_rate(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, code: int
) -> None:
    sim.faults.add("error", where={"call": "node"}, code=code, count=1)
    assert await channel.probe(account) == HealthChange(Health.CONNECTED)


@pytest.mark.parametrize("number", [{}, {"throughput": {"level": "NOT_APPLICABLE"}}, {"throughput": "HIGH"}])
def test_a_number_that_says_nothing_of_its_throughput_has_no_rate(number: dict[str, object]) -> None:
    assert rate_of_number(number) is None


async def test_a_message_for_somebody_else_than_the_contact_is_now_is_refused(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    sim.customers.change_identity(ida, "first")
    call = text()
    meant = replace(call, params={**call.params, "recipient_identity_key_hash": "first"})
    assert (await channel.perform(meant, account, Shelf())).provider_message_ids
    sim.customers.change_identity(ida, "second")
    assert (await failure_of(channel, meant, account)).code is ErrorCode.IDENTITY_CHANGED


async def test_a_message_of_a_category_needs_an_account_that_may(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer
) -> None:
    call = text()
    direct = replace(call, params={**call.params, "category": "utility"})
    assert (await failure_of(channel, direct, account)).code is ErrorCode.CONTENT_REJECTED
    sim.world.numbers[PHONE_NUMBER_ID].direct_send = True
    assert (await channel.perform(direct, account, Shelf())).provider_message_ids
    longer = text("x" * 1025)
    longer = replace(longer, params={**longer.params, "category": "utility"})
    assert (await failure_of(channel, longer, account)).code is ErrorCode.CONTENT_REJECTED


@pytest.mark.parametrize(
    ("settings", "direct", "rate"),
    [
        ({}, (), 80),
        ({"direct_send": ["utility"]}, ("utility",), 80),
        ({"direct_send": ["authentication", "marketing", "utility"]}, ("utility", "authentication"), 80),
        ({"direct_send": True, "coexistence": True}, (), 20),
        ({"direct_send": ["utility"], "coexistence": True}, ("utility",), 20),
    ],
)
def test_what_an_account_can_do_by_its_settings(
    channel: WhatsApp, settings: dict[str, object], direct: tuple[str, ...], rate: float
) -> None:
    record = AccountRecord(account_id="wa_1", workspace_id="w", channel="whatsapp", settings=settings)
    found = channel.capabilities_of(record)
    assert found.direct_send == direct
    assert found.rates.account == Rate(per_second=rate, burst=rate)


async def test_nothing_personal_is_logged(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account, ida: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await channel.perform(text("a very secret text"), account, Shelf())
    sim.faults.add("drop_answer", where={"call": "send"}, count=1)
    await failure_of(channel, text("a very secret text"), account)
    ours = [record for record in caplog.records if record.name.startswith(("pywa", "httpx", "services"))]
    assert not [record for record in ours if any(s in record.getMessage() for s in (PHONE, "secret", TOKEN))]


# -------------------------------------------------------------------------------------------------- downloads


async def stored(sim: WhatsAppSimulator, data: bytes = PNG) -> str:
    return (await sim.media.add_bytes(data, "image/png", owner=PHONE_NUMBER_ID, filename="a.png")).id


def attachment(media_id: str | None, **more: str) -> Attachment:
    return Attachment(attachment_id="a", kind=AttachmentKind.IMAGE, provider_ref=media_id, **more)  # type: ignore[arg-type]


async def fetched(channel: WhatsApp, account: Account, wanted: Attachment) -> tuple[OpenFile, bytes]:
    assert isinstance(channel, OpensMedia)
    opened = await channel.open_media(wanted, Message.model_construct(), account)
    return opened, b"".join([chunk async for chunk in opened.chunks])


async def test_a_file_is_fetched_and_checked(sim: WhatsAppSimulator, channel: WhatsApp, account: Account) -> None:
    opened, data = await fetched(channel, account, attachment(await stored(sim), filename="pic.png"))
    assert (opened.filename, opened.mime_type, opened.size) == ("pic.png", "image/png", len(PNG))
    assert data == PNG


async def test_a_download_that_is_broken_off_gives_its_connection_back(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account
) -> None:
    opened = await channel.open_media(
        attachment(await stored(sim, PNG + bytes(8_000_000))), Message.model_construct(), account
    )
    held = channel._client._pool.session.connector._acquired  # type: ignore[union-attr]
    await anext(opened.chunks)
    assert held
    await opened.close()
    assert not held


async def test_an_address_that_has_died_is_asked_for_again(
    sim: WhatsAppSimulator, channel: WhatsApp, account: Account
) -> None:
    sim.faults.add("error", where={"call": "download"}, status=404, count=1)
    _, data = await fetched(channel, account, attachment(await stored(sim)))
    assert data == PNG
    sim.faults.add("error", where={"call": "download"}, status=404, count=2)
    with pytest.raises(ProviderError) as raised:
        await fetched(channel, account, attachment(await stored(sim)))
    assert raised.value.failure.code is ErrorCode.FILE_UNAVAILABLE


async def test_a_file_meta_does_not_have_says_nothing_about_the_account(channel: WhatsApp, account: Account) -> None:
    for media_id in ("1234", None):
        with pytest.raises(ProviderError) as raised:
            await fetched(channel, account, attachment(media_id))
        assert (raised.value.failure.code, raised.value.failure.health) == (ErrorCode.FILE_UNAVAILABLE, None)


class Meta:
    """A Graph API that says whatever a test wants about one file."""

    def __init__(self) -> None:
        self.described: dict[str, object] = {}
        self.seen: list[str | None] = []
        self.url = ""

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/v26.0/{media}", self._describe)
        app.router.add_get("/file", self._file)
        app.router.add_get("/moved", self._moved)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _describe(self, request: web.Request) -> web.Response:
        return web.json_response(self.described)

    async def _file(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Authorization"))
        return web.Response(body=PNG, content_type="image/png")

    async def _moved(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    server = Meta()
    runner = await server.serve()
    yield server
    await runner.cleanup()


async def from_meta(meta: Meta, account: Account, **described: object) -> bytes:
    meta.described = described
    channel = build(settings_for(meta.url))
    await channel.start()
    try:
        return (await fetched(channel, account, attachment("m1")))[1]
    finally:
        await channel.stop()


async def test_the_token_goes_to_meta_and_along_redirects_to_meta_only(meta: Meta, account: Account) -> None:
    assert await from_meta(meta, account, url=f"{meta.url}/moved?to=/file") == PNG
    assert meta.seen == [f"Bearer {TOKEN}"]
    elsewhere = meta.url.replace("127.0.0.1", "localhost")
    for url in (
        f"{elsewhere}/file",
        f"{meta.url}/moved?to={elsewhere}/file",
        "http://graph.facebook.com.evil.example/",
    ):
        with pytest.raises(ProviderError) as raised:
            await from_meta(meta, account, url=url)
        assert raised.value.failure.code is ErrorCode.FILE_UNAVAILABLE
    assert len(meta.seen) == 1


async def test_a_file_that_is_not_what_was_announced_is_refused(meta: Meta, account: Account) -> None:
    with pytest.raises(ProviderError) as raised:
        await from_meta(meta, account, url=f"{meta.url}/file", sha256=hashlib.sha256(b"other").hexdigest())
    assert raised.value.failure.code is ErrorCode.FILE_UNAVAILABLE
    assert await from_meta(meta, account, url=f"{meta.url}/file", sha256="no digest at all") == PNG


async def test_one_process_keeps_no_more_clients_than_it_may(sim: WhatsAppSimulator, ida: Customer) -> None:
    channel = build(settings_for(sim.url).model_copy(update={"clients": 2}))
    await channel.start()
    for index in range(4):
        record = AccountRecord(
            account_id=f"wa_{index}", workspace_id="w", channel="whatsapp", external_id=PHONE_NUMBER_ID
        )
        await channel.perform(text(str(index)), Account(record, {"access_token": TOKEN}), Shelf())
    assert len(channel._client._clients) == 2
    await channel.stop()
    assert len(sim.sent(ida)) == 4
