"""What files become: real ones of every kind, made what channels take; and those of which nothing can be made."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from shared.media.codecs import containers, pictures, transcode
from shared.media.facts import Facts, Unfit
from shared.media.sniff import HEAD, sniff
from tests.shared.media import samples
from tests.shared.media.codecs.test_look import look, red_corner

MB = 1_000_000


def written(folder: Path, content: bytes) -> tuple[Path, str, Path]:
    (folder / "source").write_bytes(content)
    return folder / "source", sniff(content[:HEAD]) or "", folder / "target"


def picture(folder: Path, content: bytes, to: str, **limits: Any) -> tuple[Image.Image, Facts]:
    path, mime_type, target = written(folder, content)
    facts = pictures.convert(path, mime_type, to, target, limits)
    made = target.read_bytes()
    image = Image.open(io.BytesIO(made))
    assert sniff(made[:HEAD]) == facts.mime_type and image.size == (facts.width, facts.height)
    assert not image.getexif()
    assert len(made) <= limits.get("max_bytes", 2**62)
    return image, facts


def video(folder: Path, content: bytes, max_bytes: int = 16 * MB, **limits: Any) -> Facts:
    path, mime_type, target = written(folder, content)
    facts = transcode.video(path, mime_type, target, {"max_bytes": max_bytes, **limits})
    made = target.read_bytes()
    assert len(made) <= max_bytes
    assert sniff(made[:HEAD]) == facts.mime_type == "video/mp4"
    assert facts.video == "h264" and facts.audio in (None, "aac")
    assert made.find(b"moov") < made.find(b"mdat"), "the index comes first"
    return facts


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


# ---------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_pictures_become_jpegs(kind: str, tmp_path: Path) -> None:
    image, facts = picture(tmp_path, samples.picture(kind), "image/jpeg", max_bytes=5 * MB)
    assert facts.mime_type == "image/jpeg" and image.mode == "RGB"
    assert red_corner(image) == "upper left"


def test_an_upright_photo_without_its_place(tmp_path: Path) -> None:
    image, _ = picture(tmp_path, samples.jpeg_with_exif(), "image/jpeg", max_bytes=5 * MB)
    assert image.size == (480, 640) and red_corner(image) == "upper right"
    assert b"Maker of the phone" not in (tmp_path / "target").read_bytes()


def test_what_is_transparent_stays_so_where_there_is_room_and_becomes_white_where_there_is_not(tmp_path: Path) -> None:
    clear = samples.noise((300, 300)).convert("RGBA")
    clear.putalpha(0)
    content = samples.picture("PNG", clear)
    image, facts = picture(tmp_path, content, "image/jpeg", max_bytes=5 * MB, alpha=True)
    assert (facts.mime_type, image.mode) == ("image/png", "RGBA")
    image, facts = picture(tmp_path, content, "image/jpeg", max_bytes=100_000, alpha=True)
    assert facts.mime_type == "image/jpeg" and image.getpixel((50, 50)) == (255, 255, 255)


def test_sixteen_bits_and_the_colours_of_print(tmp_path: Path) -> None:
    deep = samples.drawing(mode="L").convert("I").point(lambda value: value * 257).convert("I;16")
    image, facts = picture(tmp_path, samples.picture("PNG", deep), "image/png", max_bytes=5 * MB)
    assert facts.mime_type == "image/png" and image.mode == "L"
    grey = samples.drawing(mode="L")
    assert abs(image.getpixel((160, 200)) - grey.getpixel((160, 200))) <= 2
    image, _ = picture(tmp_path, samples.picture("JPEG", samples.drawing(mode="CMYK")), "image/jpeg", max_bytes=5 * MB)
    assert image.mode == "RGB" and red_corner(image) == "upper left"


@pytest.mark.parametrize("most", [3 * MB, 500_000, 60_000])
def test_a_picture_that_is_too_large_is_recompressed_and_then_made_smaller(most: int, tmp_path: Path) -> None:
    content = samples.picture("JPEG", samples.noise((1800, 1200)), quality=97)
    assert len(content) > 3 * MB
    if most == 60_000:  # noise of 1,280 pixels does not go into so little
        with pytest.raises(Unfit, match="too_large"):
            picture(tmp_path, content, "image/jpeg", max_bytes=most)
        return
    image, _ = picture(tmp_path, content, "image/jpeg", max_bytes=most)
    assert image.width / image.height == pytest.approx(1.5, abs=0.01)


def test_width_and_height_are_bounded_together_and_a_strip_is_refused(tmp_path: Path) -> None:
    content = samples.picture("PNG", samples.drawing((9600, 600)))
    image, _ = picture(tmp_path, content, "image/jpeg", max_bytes=10 * MB, max_pixels=10_000, max_ratio=20.0)
    assert sum(image.size) <= 10_000
    with pytest.raises(Unfit, match="too_large"):
        picture(tmp_path, samples.picture("PNG", samples.drawing((2100, 100))), "image/jpeg", max_ratio=20.0)


@pytest.mark.parametrize(
    ("content", "animated", "most"),
    [
        (lambda: samples.picture("PNG", samples.drawing((900, 300))), False, 100_000),
        (lambda: samples.moving("GIF"), True, 500_000),
        (lambda: samples.moving("WEBP"), True, 500_000),
    ],
    ids=["still", "gif", "webp"],
)
def test_stickers(content: Any, animated: bool, most: int, tmp_path: Path) -> None:
    path, mime_type, target = written(tmp_path, content())
    facts = pictures.sticker(path, mime_type, target, {"max_bytes": 500_000, "still_max_bytes": 100_000})
    image = Image.open(target)
    assert (facts.animated, image.size) == (animated, (512, 512))
    assert getattr(image, "is_animated", False) is animated
    assert target.stat().st_size <= most


# ------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize(
    "name",
    ["webm opus", "m4a aac", "mp3", "wav", "amr", "aac", "flac", "ogg opus mono", "ogg opus stereo", "ogg vorbis"],
)
def test_every_recording_becomes_a_voice_note(name: str, tmp_path: Path) -> None:
    path, mime_type, target = written(tmp_path, samples.CLIPS[name]())
    facts = transcode.voice(path, mime_type, target)
    assert (facts.mime_type, facts.audio, facts.channels) == ("audio/ogg", "opus", 1)
    assert facts.duration == pytest.approx(2.0, abs=0.1)
    assert sniff(target.read_bytes()[:HEAD]) == "audio/ogg"


def test_a_minute_of_voice_takes_two_seconds_at_most(tmp_path: Path) -> None:
    path, mime_type, target = written(tmp_path, samples.clip("wav", None, "pcm_s16le", seconds=60.0, rate=16000))
    began = time.process_time()
    facts = transcode.voice(path, mime_type, target)
    assert time.process_time() - began < 2.0
    assert facts.duration == pytest.approx(60.0, abs=0.2)
    assert target.stat().st_size < 300_000


@pytest.mark.parametrize("name", ["wav", "aac", "amr", "flac", "ogg opus mono"])
def test_sound_becomes_an_m4a(name: str, tmp_path: Path) -> None:
    path, mime_type, target = written(tmp_path, samples.CLIPS[name]())
    facts = transcode.sound(path, mime_type, target)
    assert (facts.mime_type, facts.audio) == ("audio/mp4", "aac")
    assert facts.duration == pytest.approx(2.0, abs=0.2)
    assert sniff(target.read_bytes()[:HEAD]) == "audio/mp4"


# ------------------------------------------------------------------------------------------------------- video


@pytest.mark.parametrize("name", [name for name in samples.CLIPS if name.partition(" ")[0] in
                                  ("mp4", "mov", "mpg", "mpeg", "mkv", "3gp") or "vp8" in name])  # fmt: skip
def test_every_video_becomes_an_mp4_that_phones_play(name: str, tmp_path: Path) -> None:
    facts = video(tmp_path, samples.CLIPS[name](), plain=True)
    assert facts.plain and facts.duration == pytest.approx(2.0, abs=0.3)
    assert (facts.width, facts.height) == ((352, 288) if "h263" in name else samples.SIZE)
    assert frames(tmp_path / "target") == pytest.approx(50, abs=2)
    assert red_corner(look(tmp_path, (tmp_path / "target").read_bytes())[1]) == "upper left"  # type: ignore[arg-type]


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_turned_video_stays_upright_copied_or_encoded(codec: str, rotation: int, tmp_path: Path) -> None:
    options = samples.H264 if codec == "libx264" else samples.H265
    content = samples.clip("mov", codec, "aac", rotation=rotation, seconds=0.4, options=options)
    expected = look(tmp_path, content)
    facts = video(tmp_path, content)
    found, thumbnail = look(tmp_path, (tmp_path / "target").read_bytes())
    assert (facts.width, facts.height) == (found.facts.width, found.facts.height)
    assert (facts.width, facts.height) == (expected[0].facts.width, expected[0].facts.height)
    assert red_corner(thumbnail) == red_corner(expected[1])  # type: ignore[arg-type]


def test_what_fits_is_copied_and_not_encoded(tmp_path: Path) -> None:
    content = samples.clip("mov", "libx264", "aac", seconds=4.0, size=(640, 480), options=samples.H264)
    began = time.process_time()
    video(tmp_path, content, plain=True)
    assert time.process_time() - began < 0.3
    assert frames(tmp_path / "target") == 100


def test_a_video_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    content = samples.clip("mp4", "libx264", "aac", seconds=3.0, noisy=True, options=samples.H264)
    assert len(content) > 1_000_000
    facts = video(tmp_path, content, max_bytes=600_000)
    assert facts.duration == pytest.approx(3.0, abs=0.2)
    with pytest.raises(Unfit, match="too_long"):
        video(tmp_path, content, max_bytes=30_000)


def test_a_video_note_is_a_small_square_of_a_minute_at_most(tmp_path: Path) -> None:
    facts = video(tmp_path, samples.mp4(size=(640, 480)), note=True, max_duration=60.0)
    assert (facts.width, facts.height) == (384, 384)
    with pytest.raises(Unfit, match="too_long"):
        video(tmp_path, samples.mp4(), note=True, max_duration=1.0)


def test_an_animated_gif_becomes_a_video(tmp_path: Path) -> None:
    facts = video(tmp_path, samples.moving("GIF", frames=12, size=(321, 241)), plain=True)
    assert (facts.width, facts.height, facts.audio) == (320, 240, None)
    assert facts.duration == pytest.approx(12 * 0.08, abs=0.1)
    assert frames(tmp_path / "target") == 12


# ------------------------------------------------------------------------------------------- what cannot be had


def test_half_a_video_with_its_index_first_is_broken(tmp_path: Path) -> None:
    """libav copies what is there and says nothing."""
    path, mime_type, target = written(tmp_path, samples.mp4(seconds=4.0))
    transcode.video(path, mime_type, target, {"max_bytes": 10 * MB})
    whole = target.read_bytes()
    with pytest.raises(Unfit, match="broken"):
        video(tmp_path, whole[: len(whole) * 6 // 10])
    with pytest.raises((Unfit, av.error.FFmpegError)):
        video(tmp_path, whole[: len(whole) * 6 // 10], note=True)


def test_sound_without_an_end_and_video_without_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, mime_type, target = written(tmp_path, samples.CLIPS["mp3"]())
    monkeypatch.setattr(transcode, "MOST_SOUND", 1.0)
    with pytest.raises(Unfit, match="too_long"):
        transcode.voice(path, mime_type, target)
    monkeypatch.setattr(transcode, "MOST_FRAMES", 20)
    with pytest.raises(Unfit, match="too_long"):
        video(tmp_path, samples.CLIPS["mpeg mpeg2"]())


def test_a_video_of_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="no_such_codec"):
        video(tmp_path, samples.CLIPS["webm opus"]())
    (tmp_path / "source").write_bytes(b"nothing of the kind")
    with pytest.raises(Unfit, match="broken"), containers.opened(tmp_path / "source", "video/mp4"):
        pass
