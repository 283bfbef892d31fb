"""What is found in real files of every kind, and what a thumbnail of them is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from shared.media.codecs import containers, pages, pictures, transcode
from shared.media.facts import THUMBNAIL_BYTES, Look, Unfit
from shared.media.sniff import HEAD, sniff
from tests.shared.media import samples

FOUND = {
    "mp4 h264 aac": ("video/mp4", "h264", True, "aac", 1),
    "mp4 h264-high-b aac": ("video/mp4", "h264", False, "aac", 1),
    "mp4 hevc aac": ("video/mp4", "hevc", True, "aac", 1),
    "mov h264 aac": ("video/quicktime", "h264", True, "aac", 1),
    "mpg mpeg1 mp2": ("video/mpeg", "mpeg1video", True, "mp2", 1),
    "mpeg mpeg2": ("video/mpeg", "mpeg2video", True, None, None),
    "webm vp8 opus": ("video/webm", "vp8", True, "opus", 1),
    "mkv h264 aac": ("video/x-matroska", "h264", True, "aac", 1),
    "3gp h263 amr": ("video/3gpp", "h263", True, "amr", 1),
    "3gp h264 aac": ("video/3gpp", "h264", True, "aac", 1),
    "mp3": ("audio/mpeg", None, None, "mp3", 1),
    "wav": ("audio/wav", None, None, "pcm_s16le", 1),
    "ogg opus mono": ("audio/ogg", None, None, "opus", 1),
    "ogg opus stereo": ("audio/ogg", None, None, "opus", 2),
    "ogg vorbis": ("audio/ogg", None, None, "vorbis", 2),
    "webm opus": ("video/webm", None, None, "opus", 1),
    "m4a aac": ("audio/mp4", None, None, "aac", 1),
    "aac": ("audio/aac", None, None, "aac", 1),
    "amr": ("audio/amr", None, None, "amr", 1),
    "flac": ("audio/flac", None, None, "flac", 1),
}
NO_DURATION = {"webm vp8 opus", "webm opus", "mpeg mpeg2"}


def look(folder: Path, content: bytes, *, waveform: bool = False) -> tuple[Look, Image.Image | None]:
    """The look at a file, and the thumbnail."""
    path, thumbnail = folder / "file", folder / "thumbnail"
    path.write_bytes(content)
    mime_type = sniff(content[:HEAD]) or ""
    if mime_type == "application/pdf":
        found = pages.look(path, thumbnail)
    elif mime_type in pictures.FORMATS:
        found = pictures.look(path, mime_type, thumbnail)
        assert pictures.look(path, mime_type, None, whole=True).facts == found.facts  # nothing of it is missing
    else:
        found = containers.look(path, mime_type, thumbnail, waveform=waveform)
        assert containers.look(path, mime_type, None, whole=True).facts == found.facts
    if not found.thumbnail:
        return found, None
    assert thumbnail.stat().st_size <= THUMBNAIL_BYTES
    small = Image.open(io.BytesIO(thumbnail.read_bytes()))
    assert small.format == "JPEG" and max(small.size) <= 512
    assert not small.getexif() and "icc_profile" not in small.info and "comment" not in small.info
    return found, small


def red_corner(image: Image.Image) -> str:
    """Where the red corner of the drawing is."""
    width, height = image.size
    places = {"upper left": (8, 8), "upper right": (width - 8, 8), "lower left": (8, height - 8)}
    return next(
        (name for name, at in places.items() if (p := image.convert("RGB").getpixel(at))[0] > 150 > p[1] + 50),
        "lower right",
    )


@pytest.mark.parametrize("name", samples.CLIPS)
def test_sound_and_video(name: str, tmp_path: Path) -> None:
    found, thumbnail = look(tmp_path, samples.CLIPS[name]())
    facts = found.facts
    assert (facts.mime_type, facts.video, facts.plain, facts.audio, facts.channels) == FOUND[name]
    if name in NO_DURATION:
        assert facts.duration is None
    else:
        assert facts.duration == pytest.approx(2.0, abs=0.3)
    if facts.video is None:
        assert thumbnail is None
    else:
        assert thumbnail is not None
        assert (facts.width, facts.height) == ((352, 288) if "h263" in name else samples.SIZE)
        assert red_corner(thumbnail) == "upper left"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_pictures(kind: str, tmp_path: Path) -> None:
    found, thumbnail = look(tmp_path, samples.picture(kind))
    assert (found.facts.width, found.facts.height) == samples.SIZE
    assert thumbnail is not None and thumbnail.size == samples.SIZE
    assert red_corner(thumbnail) == "upper left"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photo_is_applied(orientation: int, tmp_path: Path) -> None:
    found, thumbnail = look(tmp_path, samples.jpeg_with_exif((640, 480), orientation))
    turned = orientation >= 5
    assert (found.facts.width, found.facts.height) == ((480, 640) if turned else (640, 480))
    assert thumbnail is not None and thumbnail.size == ((384, 512) if turned else (512, 384))
    corner = {1: "upper left", 2: "upper right", 3: "lower right", 4: "lower left"}
    corner |= {5: "upper left", 6: "upper right", 7: "lower right", 8: "lower left"}
    assert red_corner(thumbnail) == corner[orientation]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_rotation_of_a_video_is_applied(rotation: int, tmp_path: Path) -> None:
    """The tag says how far to turn it counter-clockwise."""
    found, thumbnail = look(tmp_path, samples.mp4(rotation=rotation))
    assert (found.facts.width, found.facts.height) == (samples.SIZE[::-1] if rotation % 180 else samples.SIZE)
    assert thumbnail is not None
    corner = {0: "upper left", 90: "lower left", 180: "lower right", 270: "upper right"}
    assert red_corner(thumbnail) == corner[rotation]


def test_a_large_photo_of_noise_still_gets_a_small_thumbnail(tmp_path: Path) -> None:
    look(tmp_path, samples.picture("JPEG", samples.noise((1500, 1500)), quality=95))


@pytest.mark.parametrize(
    ("content", "deep"),
    [
        (lambda: samples.picture("PNG", samples.drawing(mode="L").convert("I;16")), True),
        (lambda: samples.picture("JPEG", samples.drawing(mode="CMYK")), True),
        (lambda: samples.picture("PNG", samples.drawing(mode="RGBA")), False),
        (lambda: samples.picture("PNG", samples.drawing(mode="P")), False),
    ],
    ids=["16 bit", "colours of print", "alpha", "palette"],
)
def test_odd_pictures(content, deep: bool, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found, thumbnail = look(tmp_path, content())
    assert found.facts.deep is deep
    assert thumbnail is not None


def test_what_moves(tmp_path: Path) -> None:
    assert look(tmp_path, samples.moving("GIF"))[0].facts.animated is True
    assert look(tmp_path, samples.picture("GIF"))[0].facts.animated is False
    assert look(tmp_path, samples.moving("WEBP"))[0].facts.animated is True


def test_the_first_page_of_a_pdf(tmp_path: Path) -> None:
    _, thumbnail = look(tmp_path, samples.pdf(3))
    assert thumbnail is not None and thumbnail.size[1] == 512
    assert red_corner(thumbnail) == "upper left"


def test_the_waveform_of_a_recording_that_grows_louder(tmp_path: Path) -> None:
    for name in ("ogg opus mono", "webm opus", "amr", "m4a aac"):
        waveform = look(tmp_path, samples.CLIPS[name](), waveform=True)[0].waveform
        assert len(waveform) == 64
        assert max(waveform) == 100 and min(waveform) >= 0
        assert sum(waveform[:16]) < sum(waveform[24:40]) < sum(waveform[48:]), name


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "HEIF"])
def test_half_a_picture_is_broken(kind: str, tmp_path: Path) -> None:
    content = samples.picture(kind, samples.noise((200, 200)))
    with pytest.raises((Unfit, OSError, ValueError, EOFError)):
        look(tmp_path, content[: len(content) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "HEIF"])
def test_what_is_missing_of_a_picture_is_found_by_reading_it_to_its_end(kind: str, tmp_path: Path) -> None:
    content, path = samples.picture(kind, samples.noise((200, 200))), tmp_path / "file"
    mime_type = sniff(content[:HEAD]) or ""
    for cut in (len(content) * 9 // 10, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(Unfit, match="broken"):
            pictures.look(path, mime_type, None, whole=True)


def test_what_is_missing_of_a_video_with_its_index_first_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(samples.mp4(seconds=2.0))
    transcode.video(path, "video/mp4", tmp_path / "index first", {"max_bytes": 10_000_000})
    content = (tmp_path / "index first").read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert containers.look(path, "video/mp4", None).facts.video == "h264"  # as far as it is there, it plays
    with pytest.raises(Unfit, match="broken"):
        containers.look(path, "video/mp4", None, whole=True)


@pytest.mark.parametrize("name", ["mp4 h264 aac", "m4a aac"])
def test_a_video_whose_index_is_missing_is_broken(name: str, tmp_path: Path) -> None:
    content = samples.CLIPS[name]()
    with pytest.raises(Unfit, match="broken"):
        look(tmp_path, content[: len(content) // 2])


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="too_large"):
        look(tmp_path, samples.picture("PNG", Image.new("1", (12_000, 12_000))))


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


# libav reads these without asking how they begin.
_RAW = {"audio/flac", "audio/mpeg", "video/mpeg"}


@pytest.mark.parametrize("mime_type", sorted(set(containers.DEMUXERS) - _RAW))
def test_a_list_of_other_files_is_opened_as_no_video(mime_type: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PLAYLIST)
    with pytest.raises(Unfit):
        containers.look(path, mime_type, None, waveform=False)


def test_what_nobody_opens_is_opened_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PLAYLIST)
    with pytest.raises(Unfit, match="no_such_codec"):
        containers.look(path, "application/x-mpegurl", None, waveform=False)
    with pytest.raises(Unfit, match="no_such_codec"):
        pictures.look(path, "image/svg+xml", None)
