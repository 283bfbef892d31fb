"""A file of each of the 26 types an agent can pick, with the bytes that make it what it is."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

from tests.shared.media import samples
from tests.shared.media.samples import CLIPS, moving, picture

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
EXE = b"MZ\x90\x00" + bytes(60) + b"This program cannot be run in DOS mode."


def _office(folder: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(f"{folder}/document.xml", "<document/>")
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "something")
    return buffer.getvalue()


def _tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"), io.BytesIO())
    return buffer.getvalue()


def _deep_png() -> bytes:
    return picture("PNG", samples.drawing(mode="L").convert("I;16"))


# By type and what is in it, as `shared.media.file_table` names them.
SORTS: dict[tuple[str, str | None], Callable[[], bytes]] = {
    ("jpg", None): lambda: picture("JPEG"),
    ("jpeg", None): lambda: picture("JPEG"),
    ("gif", "animated"): lambda: moving("GIF"),
    ("gif", "still"): lambda: picture("GIF"),
    ("bmp", None): lambda: picture("BMP"),
    ("png", "8 bit"): lambda: picture("PNG"),
    ("png", "16 bit"): _deep_png,
    ("txt", None): lambda: b"Dear customer,\nthank you.\n",
    ("xls", None): lambda: OLE,
    ("xlsx", None): lambda: _office("xl"),
    ("doc", None): lambda: OLE,
    ("docx", None): lambda: _office("word"),
    ("csv", None): lambda: b"name,amount\nIda,3\n",
    ("ppt", None): lambda: OLE,
    ("pptx", None): lambda: _office("ppt"),
    ("mp3", None): CLIPS["mp3"],
    ("mp4", "h264+aac"): CLIPS["mp4 h264 aac"],
    ("mp4", "h264 high with B-frames+aac"): CLIPS["mp4 h264-high-b aac"],
    ("mp4", "hevc+aac"): CLIPS["mp4 hevc aac"],
    ("mov", "h264+aac"): CLIPS["mov h264 aac"],
    ("wav", None): CLIPS["wav"],
    ("mpg", "mpeg1video+mp2"): CLIPS["mpg mpeg1 mp2"],
    ("mpeg", "mpeg2video"): CLIPS["mpeg mpeg2"],
    ("zip", None): _zip,
    ("tar", None): lambda: _tar("w"),
    ("tgz", None): lambda: _tar("w:gz"),
    ("gz", None): lambda: gzip.compress(b"something"),
    ("pdf", None): samples.pdf,
    ("log", None): lambda: b"2026-11-22 10:00:00 started\n",
    ("xml", None): lambda: b'<?xml version="1.0"?><a/>',
    ("webp", None): lambda: picture("WEBP"),
    ("heic", None): lambda: picture("HEIF"),
    ("webm", "vp8+opus"): CLIPS["webm vp8 opus"],
    ("webm", "opus"): CLIPS["webm opus"],
    ("ogg", "opus, mono"): CLIPS["ogg opus mono"],
    ("ogg", "opus, stereo"): CLIPS["ogg opus stereo"],
    ("ogg", "vorbis"): CLIPS["ogg vorbis"],
    ("m4a", None): CLIPS["m4a aac"],
    ("aac", None): CLIPS["aac"],
    ("amr", None): CLIPS["amr"],
    ("3gp", "h264+aac"): CLIPS["3gp h264 aac"],
    ("3gp", "h263+amr"): CLIPS["3gp h263 amr"],
    ("mkv", "h264+aac"): CLIPS["mkv h264 aac"],
}
# The 26 types an agent can pick, one file of each.
PICKED = """
jpg jpeg gif bmp png txt xls xlsx doc docx csv ppt pptx mp3 mp4 mov wav mpg mpeg zip tar tgz gz pdf log xml
"""
FILES = {kind: next(made for (type_, _), made in SORTS.items() if type_ == kind)() for kind in PICKED.split()}
assert len(FILES) == 26
