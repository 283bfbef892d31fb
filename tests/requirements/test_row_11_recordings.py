"""Row 11: what was recorded in a browser or on a phone arrives as a voice message, or as a round video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.media.codecs import containers
from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, Inside
from tests.shared.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")
MINUTE = 60.0
RECORDINGS = {
    "webm": lambda: samples.clip("webm", None, "libopus", seconds=MINUTE, channels=2, live=True),
    "m4a": lambda: samples.clip("ipod", None, "aac", seconds=MINUTE, rate=44100),
    "wav": lambda: samples.clip("wav", None, "pcm_s16le", seconds=MINUTE, rate=16000),
    "mp3": lambda: samples.clip("mp3", None, "libmp3lame", seconds=MINUTE, rate=44100),
}


async def _sent(channel: Channel, content: bytes, folder: Path, **file: Any) -> tuple[Any, Any]:
    """The call that was made of the file, and what is in the file that went out."""
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/recordings", content)
    command = await channel.command(person, content={"kind": "media", "attachments": [{"blob": blob, **file}]})
    (status,) = await channel.statuses.end(command.id)
    assert status["state"] in SENT, status
    call = channel.asked(person.account)[-1]
    assert {"converted", "recompressed"} & {warning.code for warning in call.warnings}
    (sent,) = call.files.values()
    path = folder / "sent"
    path.write_bytes(await channel.world.blobs.read(sent.blob or ""))
    with containers.opened(path, sent.mime_type or "") as made:
        return call, containers.facts_of(made, sent.mime_type or "")


@pytest.mark.parametrize("name", ["whatsapp", "telegram"])
@pytest.mark.parametrize("kind", RECORDINGS)
async def test_a_minute_of_voice_arrives_as_a_voice_message(
    name: str, kind: str, inbox: Inside, tmp_path: Path
) -> None:
    channel = await inbox.channel(name)
    if name == "telegram" and kind in ("m4a", "mp3"):
        person = await channel.person(await channel.account())
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/recordings", RECORDINGS[kind]())
        file = {"blob": blob, "kind": "voice", "filename": f"memo.{kind}"}
        command = await channel.command(person, content={"kind": "media", "attachments": [file]})
        (status,) = await channel.statuses.end(command.id)
        assert (status["state"], status["warnings"]) == ("sent", [])  # Telegram plays these as voice, too
        assert channel.asked(person.account)[-1].method == "sendVoice"
        return
    call, facts = await _sent(channel, RECORDINGS[kind](), tmp_path, kind="voice", filename=f"memo.{kind}")
    assert (facts.mime_type, facts.audio, facts.channels) == ("audio/ogg", "opus", 1)
    assert facts.duration == pytest.approx(MINUTE, abs=0.5)
    if name == "whatsapp":
        assert call.params["audio"]["voice"] is True
    else:
        assert call.method == "sendVoice"


async def test_a_recorded_video_is_a_round_one_on_telegram(inbox: Inside, tmp_path: Path) -> None:
    channel = await inbox.channel("telegram")
    content = samples.mp4(size=(640, 480), rotation=90)
    call, facts = await _sent(channel, content, tmp_path, kind="video_note", filename="me.mp4")
    assert call.method == "sendVideoNote"
    assert (facts.width, facts.height, facts.video, facts.audio) == (384, 384, "h264", "aac")
    assert call.params["length"] == 384


async def test_a_recorded_video_is_a_video_on_whatsapp(inbox: Inside) -> None:
    channel = await inbox.channel("whatsapp")
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/recordings", samples.CLIPS["webm vp8 opus"]())
    file = {"blob": blob, "kind": "video_note", "filename": "me.webm"}
    answer = await channel.ask(person, content={"kind": "media", "attachments": [file]})
    (sent,) = answer["calls"][0]["files"].values()
    assert (answer["calls"][0]["params"]["type"], sent["mime_type"]) == ("video", "video/mp4")
    assert {warning["code"] for warning in answer["warnings"]} == {"converted"}
