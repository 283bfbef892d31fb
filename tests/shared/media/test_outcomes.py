"""The judgement of files: what they are, what was asked for, what has failed, what a service without video can do."""

from __future__ import annotations

import pytest

from shared.contract.content import AttachmentKind
from shared.media.facts import Facts
from shared.media.file_table import outcomes_of
from shared.media.outcomes import Way, can_be, meant, recipe_of, way_of
from tests.channels import goldens

K = AttachmentKind
WHATSAPP, TELEGRAM, TIKTOK = (goldens.channel(name).capabilities.files for name in ("whatsapp", "telegram", "tiktok"))
MP4 = Facts("video/mp4", 640, 480, 10.0, video="h264", audio="aac", channels=2, plain=True)
MOV = Facts("video/quicktime", 640, 480, 10.0, video="h264", audio="aac", channels=2, plain=True)
JPEG = Facts("image/jpeg", 4000, 3000, deep=False)
VOICE = Facts("audio/ogg", duration=10.0, audio="opus", channels=1)
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("rules", "facts", "size", "wanted", "outcome", "kind", "to"),
    [
        pytest.param(WHATSAPP, JPEG, 5 * MIB, None, "native", K.IMAGE, None, id="just fits"),
        pytest.param(WHATSAPP, JPEG, 5 * MIB + 1, None, "converted", K.IMAGE, "image/jpeg", id="a byte too large"),
        pytest.param(WHATSAPP, MP4, 17 * MIB, None, "converted", K.VIDEO, "video/mp4", id="video too large"),
        pytest.param(WHATSAPP, MP4, 17 * MIB, K.DOCUMENT, "rejected", K.DOCUMENT, None, id="too large as a file"),
        pytest.param(TELEGRAM, MOV, 9, K.DOCUMENT, "native", K.DOCUMENT, None, id="a file that was asked for"),
        pytest.param(WHATSAPP, VOICE, 9, K.VOICE, "native", K.VOICE, None, id="voice as it should be"),
        pytest.param(TELEGRAM, VOICE, 9, K.AUDIO, "native", K.VOICE, None, id="sound another kind carries"),
        pytest.param(TELEGRAM, MP4, 9, K.VIDEO_NOTE, "converted", K.VIDEO_NOTE, "video/mp4", id="no square"),
        pytest.param(TELEGRAM, JPEG, 9, K.STICKER, "converted", K.STICKER, "image/webp", id="a sticker of a photo"),
        pytest.param(WHATSAPP, MP4, 9, K.VOICE, "converted", K.VOICE, "audio/ogg", id="the sound of a video"),
        pytest.param(TIKTOK, MP4, 9, None, "rejected", K.VIDEO, None, id="nothing of this kind"),
    ],
)
def test_what_becomes_of_a_file(  # type: ignore[no-untyped-def]
    rules, facts: Facts, size: int, wanted: AttachmentKind | None, outcome: str, kind: AttachmentKind, to: str | None
) -> None:
    way = way_of(rules, facts, size, wanted)
    assert (way.outcome, way.kind, way.to) == (outcome, kind, to)
    assert (way.reason is None) == (outcome == "native" and wanted in (None, kind, K.AUDIO))


def test_a_note_of_more_than_a_minute_is_a_video_and_nothing_is_cut_off() -> None:
    long = Facts("video/mp4", 640, 480, 61.0, video="h264", audio="aac", channels=2, plain=True)
    assert way_of(TELEGRAM, long, 9, K.VIDEO_NOTE).kind is K.VIDEO


def test_what_has_failed_goes_the_next_way() -> None:
    assert way_of(TELEGRAM, MOV, 9, failed={K.VIDEO}).outcome == "document"
    assert way_of(WHATSAPP, MOV, 9, failed={K.VIDEO}).outcome == "rejected"
    large = way_of(WHATSAPP, JPEG, 9 * MIB, failed={K.IMAGE})
    assert (large.outcome, large.too_large) == ("rejected", 5 * MIB)


def test_a_service_without_video_says_so() -> None:
    found = {(o.type, o.codecs): str(o.outcome) for o in outcomes_of(WHATSAPP, has_video=False)}
    assert found["mp4", "h264+aac"] == found["ogg", "opus, mono"] == "native"
    assert found["bmp", None] == found["webp", None] == "converted"
    assert found["mov", "h264+aac"] == found["wav", None] == found["heic", None] == "rejected"
    assert found["mp4", "hevc+aac"] == "document"
    on_telegram = {(o.type, o.codecs): str(o.outcome) for o in outcomes_of(TELEGRAM, has_video=False)}
    assert on_telegram["mov", "h264+aac"] == on_telegram["heic", None] == "document"
    assert "rejected" not in on_telegram.values()


def test_a_kind_that_a_file_cannot_be_is_not_meant() -> None:
    silent = Facts("video/mp4", 640, 480, 10.0, video="h264", plain=True)
    assert meant(K.VOICE, silent) is None and meant(K.VOICE, MP4) is K.VOICE
    assert meant(K.IMAGE, Facts("image/gif", animated=True)) is None
    assert meant(K.VIDEO, Facts("video/mp4")) is K.VIDEO  # nothing is known of it
    assert can_be(K.DOCUMENT, VOICE) and not can_be(K.VIDEO, VOICE) and not can_be(K.IMAGE, MP4)


def test_a_recipe_keeps_below_the_limits_of_the_rule() -> None:
    recipe = recipe_of(WHATSAPP, way_of(WHATSAPP, JPEG, 9 * MIB))
    assert recipe["to"] == "image/jpeg" and recipe["limits"]["max_bytes"] <= 5_000_000
    assert recipe["limits"]["alpha"] is True
    assert recipe_of(TIKTOK, Way("converted", K.IMAGE, "image/jpeg"))["limits"]["max_bytes"] <= 3_000_000
    note = recipe_of(TELEGRAM, Way("converted", K.VIDEO_NOTE, "video/mp4"))["limits"]
    assert (note["note"], note["max_duration"]) == (True, 60.0)
    assert recipe_of(WHATSAPP, Way("converted", K.VIDEO, "video/mp4"))["limits"]["plain"] is True
