"""Calls to a simulated Telegram: what arrives, what comes back, and what every kind of failure is taken for."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from services.telegram.channel import build
from services.telegram.settings import Settings
from shared.channel import Call, OpenFile, PlanContext, ProviderError, ReplyReference
from shared.contract.commands import File, parse_command
from shared.contract.content import Attachment, AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit.multipart import FilePart
from tests.channels import goldens
from tests.channels.telegram.conftest import MemoryFiles, Stage, account_of, chunks, jpeg

PHOTO = File(blob="photo", filename="a.jpg", mime_type="image/jpeg")


# A file id or a message that this Telegram does not have.
_NEED_SOMETHING = ("photo_known_by_file_id", "album_with_a_file_known_by_id", "reply_strict_and_known")


def _sends() -> list[Any]:
    """The golden commands that send something to the person or to their business chat."""
    cases = []
    for path in goldens.cases("telegram", "outbound"):
        document = goldens.json.loads(path.read_text())
        conversation = document["data"].get("conversation_id", "")
        if document["type"] == "message.send" and conversation.startswith("telegram:account:7001"):
            calls = goldens.calls_of("telegram", path)
            if "refused" not in calls[0] and path.stem not in _NEED_SOMETHING:
                cases.append(pytest.param(document, id=path.stem))
    return cases


@pytest.mark.parametrize("document", _sends())
async def test_every_planned_send_is_accepted(stage: Stage, document: dict[str, Any]) -> None:
    owner = stage.sim.setup.person(first_name="Olga")["id"]
    stage.sim.setup.connection(stage.bot_id, owner, id="bizAbC_1-x")
    stage.sim.customer.send(stage.bot_id, stage.person, "hi", connection_id="bizAbC_1-x")
    kind, command = parse_command("channels.message.send.v1", document["data"])
    content = document["data"]["content"]
    files = getattr(command.content, "attachments", ())  # type: ignore[attr-defined]
    reply = document["data"].get("reply_to", {}).get("provider_message_id")
    target = ReplyReference(reply) if reply else None
    calls = stage.channel.plan(kind, command, PlanContext(stage.account.record, target=target, files=files))
    before = len(stage.seen())
    ids = [await stage.channel.perform(call, stage.account, stage.files) for call in calls]
    assert [len(receipt.provider_message_ids) for receipt in ids] == [call.parts for call in calls]
    assert len({ref for receipt in ids for ref in receipt.refs}) == sum(call.parts for call in calls)
    seen = stage.seen()[before:]
    assert len(seen) == sum(call.parts for call in calls)
    written = "".join(sent.text for sent in seen).replace("\n", "").replace(" ", "")
    if content["kind"] in ("text", "media"):
        said, lines, _ = written.partition("•")  # buttons that are lines are under the text
        assert said == content.get("text", "").replace("\n", "").replace(" ", "")
        assert bool(lines) == any(w.code == "buttons_dropped" for call in calls for w in call.warnings)


async def test_the_receipt_names_the_message_as_an_event_would(stage: Stage) -> None:
    receipt = await stage.perform("sendMessage", text="hello")
    (number,) = receipt.provider_message_ids
    assert receipt.refs == (f"{stage.person}:{number}",)


async def test_uploads_stream_and_teach_the_file_id(stage: Stage) -> None:
    stage.files.contents["big"] = b"x" * 3_000_000
    receipt = await stage.perform("sendDocument", {"document": File(blob="big", filename="a.bin")})
    assert stage.seen()[-1].kind == "document"
    again = await stage.perform("sendDocument", document=receipt.learned_files["document"])
    assert again.provider_message_ids
    assert stage.seen()[-1].file == stage.seen()[-2].file
    assert stage.files.opened == ["big"]


async def test_an_album_teaches_a_file_id_for_each_file(stage: Stage) -> None:
    media = [{"type": "photo", "media": "attach://file0"}, {"type": "photo", "media": "attach://file1"}]
    receipt = await stage.perform("sendMediaGroup", {"file0": PHOTO, "file1": PHOTO}, 2, media=media)
    assert set(receipt.learned_files) == {"file0", "file1"}
    assert len(set(receipt.provider_message_ids)) == 2


async def test_a_photo_gets_an_extension_telegram_knows(stage: Stage) -> None:
    await stage.perform("sendPhoto", {"photo": File(blob="p", filename="IMG 0042", mime_type="image/jpeg")})
    await stage.perform("sendPhoto", {"photo": File(blob="p", filename="a.jfif", mime_type="image/jpeg")})
    assert [sent.kind for sent in stage.seen()] == ["photo", "photo"]


async def test_file_names_arrive_as_they_are(stage: Stage) -> None:
    name = 'Übersicht "März" 📈;\r\nX-Evil: 1.pdf'
    await stage.perform("sendDocument", {"document": File(blob="d", filename=name, mime_type="application/pdf")})
    message = stage.sim.conversation(stage.bot_id, stage.person)["messages"][-1]
    shown = message.get("document") or message["message"]["document"]
    assert shown["file_name"] == "Übersicht _März_ 📈;__X-Evil: 1.pdf"


async def test_a_file_of_another_length_than_announced_is_not_sent(stage: Stage) -> None:
    class Shrinking(MemoryFiles):
        async def open(self, file: File) -> OpenFile:
            return OpenFile("a.bin", "application/octet-stream", 5000, chunks(b"x" * 10))

    stage.files = Shrinking()
    failure = await stage.failure("sendDocument", {"document": PHOTO})
    assert (failure.code, failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)
    assert stage.seen() == []


async def test_a_file_that_breaks_while_it_is_read_is_not_sent(stage: Stage) -> None:
    class Breaking(MemoryFiles):
        async def open(self, file: File) -> OpenFile:
            async def broken():  # type: ignore[no-untyped-def]
                yield b"x" * 10
                raise RuntimeError("disk gone")

            return OpenFile("a.bin", "application/octet-stream", 5000, broken())

    stage.files = Breaking()
    failure = await stage.failure("sendDocument", {"document": PHOTO})
    assert (failure.code, failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)


async def test_a_file_that_is_gone(stage: Stage) -> None:
    failure = await stage.failure("sendPhoto", {"photo": File(blob="gone")})
    assert (failure.code, failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)


async def test_edits_reactions_and_deletions(stage: Stage) -> None:
    (number,) = (await stage.perform("sendMessage", text="one")).provider_message_ids
    where = {"message_id": int(number)}
    assert (await stage.perform("editMessageText", parts=0, text="two", **where)).provider_message_ids == ()
    # No change and a message already gone are what was asked for.
    await stage.perform("editMessageText", parts=0, text="two", **where)
    await stage.perform("setMessageReaction", parts=0, reaction=[{"type": "emoji", "emoji": "👍"}], **where)
    await stage.perform("deleteMessage", parts=0, **where)
    await stage.perform("deleteMessage", parts=0, **where)
    await stage.perform("sendChatAction", parts=0, action="typing")


async def test_an_edit_of_a_photo_finds_the_caption(stage: Stage) -> None:
    (number,) = (await stage.perform("sendPhoto", {"photo": PHOTO}, caption="old")).provider_message_ids
    call = Call("editMessageText", {"chat_id": stage.person, "message_id": int(number), "text": "new"}, parts=0)
    with pytest.raises(ProviderError) as failed:
        await stage.channel.perform(call, stage.account, stage.files)
    adjusted = stage.channel.adjust(call, failed.value.failure)
    assert adjusted is not None
    await stage.channel.perform(adjusted, stage.account, stage.files)
    assert adjusted.method == "editMessageCaption"


async def test_late_button_answers_are_no_failure(stage: Stage) -> None:
    call = Call("answerCallbackQuery", {"callback_query_id": "1"}, parts=0)
    assert (await stage.channel.perform(call, stage.account, stage.files)).provider_message_ids == ()


async def test_a_blocked_bot(stage: Stage) -> None:
    stage.sim.setup.block(stage.bot_id, stage.person)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.certain) == (ErrorCode.RECIPIENT_BLOCKED, True)


async def test_a_chat_that_never_began(stage: Stage) -> None:
    stranger = stage.sim.setup.person(first_name="Bo")["id"]
    failure = await stage.failure("sendMessage", chat_id=stranger, text="hello")
    assert failure.code is ErrorCode.CANNOT_INITIATE
    assert (await stage.failure("sendMessage", chat_id=42, text="hello")).code is ErrorCode.RECIPIENT_UNKNOWN


async def test_a_revoked_token(stage: Stage) -> None:
    stage.sim.setup.revoke(stage.bot_id)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED)
    assert (await stage.channel.probe(stage.account)).health is Health.REAUTH_REQUIRED


async def test_an_account_without_a_token(stage: Stage) -> None:
    stage.account = account_of("")
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED)


async def test_flood_control(stage: Stage) -> None:
    stage.sim.faults.add("error", status=429, retry_after=7, count=1)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.retry_after, failure.scope) == (ErrorCode.RATE_LIMITED, 7.0, "pair")
    assert failure.certain


async def test_a_migrated_group_is_followed(stage: Stage) -> None:
    old = stage.sim.setup.group("Neighbours", type="group", bot_ids=[stage.bot_id])["id"]
    new = stage.sim.setup.migrate(old)["id"]
    call = Call("sendMessage", {"chat_id": old, "text": "hello"})
    with pytest.raises(ProviderError) as failed:
        await stage.channel.perform(call, stage.account, stage.files)
    adjusted = stage.channel.adjust(call, failed.value.failure)
    assert adjusted is not None
    assert (await stage.channel.perform(adjusted, stage.account, stage.files)).refs[0].startswith(f"{new}:")


async def test_a_refused_voice_message_goes_out_another_way(stage: Stage) -> None:
    shy = stage.sim.setup.person(first_name="Bo", forbids_voice=True)["id"]
    stage.sim.customer.start(stage.bot_id, shy)
    call = Call("sendVoice", {"chat_id": shy, "duration": 3}, {"voice": File(blob="v", filename="v.ogg")})
    with pytest.raises(ProviderError) as failed:
        await stage.channel.perform(call, stage.account, stage.files)
    adjusted = stage.channel.adjust(call, failed.value.failure)
    assert adjusted is not None
    await stage.channel.perform(adjusted, stage.account, stage.files)
    assert [sent.kind for sent in stage.sim.sent(shy)] == ["document"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_of_unknown_effect(stage: Stage, status: int) -> None:
    stage.sim.faults.add("error", status=status, html=True, count=2)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)
    # Doing it again harms nobody: then it is only not done yet.
    failure = await stage.failure("setMessageReaction", message_id=1, reaction=[])
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_a_server_that_restarts_has_not_sent(stage: Stage) -> None:
    stage.sim.faults.add("error", status=500, description="Internal Server Error: restart", count=1)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_an_answer_that_is_lost(stage: Stage) -> None:
    stage.sim.faults.add("drop_answer", count=1)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)
    assert len(stage.seen()) == 1


async def test_an_answer_that_does_not_come(stage: Stage) -> None:
    stage.sim.faults.add("hang", count=1)
    failure = await stage.failure("sendMessage", text="hello")
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)


async def test_an_upload_whose_answer_is_lost(stage: Stage) -> None:
    stage.sim.faults.add("drop_answer", count=1)
    failure = await stage.failure("sendPhoto", {"photo": PHOTO})
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)


async def test_nobody_listens(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        channel = build(Settings(api_url=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        await channel.start()
        with pytest.raises(ProviderError) as failed:
            await channel.perform(Call("sendMessage", {"chat_id": 1, "text": "x"}), stage.account, stage.files)
        await channel.stop()
    assert (failed.value.failure.code, failed.value.failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_a_file_above_the_front_proxys_limit(stage: Stage) -> None:
    stage.sim.faults.add("error", status=413, html=True, count=1)
    assert (await stage.failure("sendDocument", {"document": PHOTO})).code is ErrorCode.FILE_TOO_LARGE


async def test_neither_token_nor_text_leaks(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = stage.account.credentials["token"]
    stage.sim.faults.add("drop_answer", where={"method": "sendMessage"})
    stage.sim.faults.add("refuse", where={"method": "sendPhoto"})
    for method, params in (("sendMessage", {"text": "private words"}), ("sendPhoto", {"photo": "private words"})):
        with pytest.raises(ProviderError) as failed:
            await stage.perform(method, **params)
        error: BaseException | None = failed.value
        told = ""
        while error is not None:
            told += f"{error!r} {error} "
            error = error.__cause__ or error.__context__
        assert token not in told + repr(failed.value.failure)
        assert "private words" not in told + repr(failed.value.failure)
    assert token not in caplog.text
    assert "private words" not in caplog.text


# ---------------------------------------------------------------------------------------------- the bot itself


async def test_probe_of_a_working_bot(stage: Stage) -> None:
    assert (await stage.channel.probe(stage.account)).health is Health.CONNECTED


async def test_probe_that_gets_no_answer_says_nothing(stage: Stage) -> None:
    stage.sim.faults.add("error", status=502, html=True, count=1)
    with pytest.raises(ProviderError):
        await stage.channel.probe(stage.account)


async def test_long_polling_brings_updates_and_confirms_them(stage: Stage) -> None:
    stage.sim.customer.send(stage.bot_id, stage.person, "one")
    stage.sim.customer.send(stage.bot_id, stage.person, "two")
    batches = stage.channel.updates(stage.account, None)
    first = await anext(batches)
    assert [item.key for item in first.items] == [f"telegram:account:{stage.person}"] * 2
    stage.sim.customer.send(stage.bot_id, stage.person, "three")
    second = await anext(batches)
    assert len(second.items) == 1
    assert int(second.cursor) == int(first.cursor) + 1
    await batches.aclose()  # type: ignore[attr-defined]
    resumed = stage.channel.updates(stage.account, first.cursor)
    assert (await anext(resumed)).items == second.items
    await resumed.aclose()  # type: ignore[attr-defined]


async def test_an_empty_poll_keeps_the_cursor(stage: Stage) -> None:
    stage.sim.clock.scale = 100
    batch = await anext(stage.channel.updates(stage.account, "4711"))
    assert (batch.items, batch.cursor) == ((), "4711")


async def test_polling_beside_a_webhook_is_told(stage: Stage) -> None:
    await stage.channel.register_webhook(stage.account, "https://connectors.example")
    with pytest.raises(ProviderError) as failed:
        await anext(stage.channel.updates(stage.account, None))
    failure = failed.value.failure
    assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_DISCONNECTED, Health.DEGRADED)


async def test_registering_and_checking_a_webhook(stage: Stage) -> None:
    base = "https://connectors.example/"
    assert await stage.channel.check_webhook(stage.account, base) == "No webhook is registered."
    await stage.channel.register_webhook(stage.account, base)
    assert await stage.channel.check_webhook(stage.account, base) is None
    (call,) = [call for call in stage.sim.calls if call.method == "setWebhook"]
    assert call.parameters["url"] == "https://connectors.example/webhooks/telegram/account"
    assert call.parameters["secret_token"] == "s3cret"
    problem = await stage.channel.check_webhook(stage.account, "https://elsewhere.example")
    assert problem is not None and "somewhere else" in problem


async def test_a_delivery_that_failed_is_told_for_a_while(stage: Stage) -> None:
    base = "https://connectors.example"
    await stage.channel.register_webhook(stage.account, base)
    webhook = stage.sim.world.bots[stage.bot_id].updates.webhook
    webhook.last_error_date, webhook.last_error_message = int(stage.sim.clock.now()), "Connection refused"
    problem = await stage.channel.check_webhook(stage.account, base)
    assert problem == "Telegram's last delivery failed: Connection refused."
    stage.sim.clock.advance(601)
    assert await stage.channel.check_webhook(stage.account, base) is None


async def test_a_webhook_needs_a_secret(stage: Stage) -> None:
    account = account_of(stage.account.credentials["token"], webhook_secret="")
    with pytest.raises(ProviderError) as failed:
        await stage.channel.register_webhook(account, "https://connectors.example")
    assert failed.value.failure.code is ErrorCode.ACCOUNT_DISCONNECTED


def _attachment(file_id: str | None) -> Attachment:
    return Attachment(attachment_id="a", kind=AttachmentKind.IMAGE, provider_ref=file_id)


async def test_download_of_a_received_photo(stage: Stage) -> None:
    data = jpeg(300, 200)
    sent = await stage.sim.customer.send_file(
        stage.bot_id, stage.person, "photo", stage.sim.upload(data, "a.jpg", "image/jpeg")
    )
    file = await stage.channel.open_media(_attachment(sent["photo"][-1]["file_id"]), None, stage.account)  # type: ignore[arg-type]
    received = b"".join([chunk async for chunk in file.chunks])
    assert len(received) == file.size
    assert received[:2] == b"\xff\xd8"
    assert file.mime_type == "image/jpeg"


async def test_a_download_that_is_broken_off_gives_its_connection_back(stage: Stage) -> None:
    sent = await stage.sim.customer.send_file(
        stage.bot_id, stage.person, "document", stage.sim.upload(b"x" * 8_000_000, "a.bin", "application/octet-stream")
    )
    file = await stage.channel.open_media(_attachment(sent["document"]["file_id"]), None, stage.account)  # type: ignore[arg-type]
    held = stage.channel._client._request.pool.session.connector._acquired  # type: ignore[union-attr]
    await anext(file.chunks)
    assert held
    await file.close()
    assert not held


async def test_download_of_what_is_not_there(stage: Stage) -> None:
    for file_id in ("AgACunknown", None):
        with pytest.raises(ProviderError) as failed:
            await stage.channel.open_media(_attachment(file_id), None, stage.account)  # type: ignore[arg-type]
        assert failed.value.failure.code is ErrorCode.FILE_UNAVAILABLE


async def test_download_that_fails_does_not_name_the_token(stage: Stage) -> None:
    sent = await stage.sim.customer.send_file(
        stage.bot_id, stage.person, "document", stage.sim.upload(b"data", "a.txt", "text/plain")
    )
    for fault in ({"kind": "refuse"}, {"kind": "error", "status": 502}):
        stage.sim.faults.add(**fault, where={"method": "download"}, count=2)  # type: ignore[arg-type]
        with pytest.raises(ProviderError) as failed:
            await stage.channel.open_media(_attachment(sent["document"]["file_id"]), None, stage.account)  # type: ignore[arg-type]
        stage.sim.faults.clear()
        assert failed.value.failure.code is ErrorCode.PROVIDER_UNAVAILABLE
        assert stage.account.credentials["token"] not in repr(failed.value.failure)


async def test_a_payload_longer_than_announced_never_looks_complete() -> None:
    class Writer:
        written = b""

        async def write(self, chunk: bytes) -> None:
            self.written += chunk

    writer = Writer()
    payload = FilePart(OpenFile("a", "text/plain", 3, chunks(b"ab", b"cd")))
    with pytest.raises(Exception):  # noqa: B017  whatever it is, the request must break
        await payload.write(writer)  # type: ignore[arg-type]
    assert (payload.written, payload.unreadable, writer.written) == (False, True, b"ab")
