"""What a file is, by its first bytes: names and claimed types are only what a sender says."""

from __future__ import annotations

import re
import zlib
from pathlib import PurePosixPath
from typing import NamedTuple

HEAD = 4096  # bytes that are enough to tell
SCRIPT = "text/x-shellscript"  # a text whose first line names its interpreter


class Signature(NamedTuple):
    offset: int
    magic: bytes
    mime: str


_SIGNATURES = (
    Signature(0, b"\xff\xd8\xff", "image/jpeg"),
    Signature(0, b"\x89PNG\r\n\x1a\n", "image/png"),
    Signature(0, b"GIF87a", "image/gif"),
    Signature(0, b"GIF89a", "image/gif"),
    Signature(0, b"II*\x00", "image/tiff"),
    Signature(0, b"MM\x00*", "image/tiff"),
    Signature(0, b"%PDF-", "application/pdf"),
    Signature(0, b"MZ", "application/vnd.microsoft.portable-executable"),
    Signature(0, b"\x7fELF", "application/x-executable"),
    Signature(0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    Signature(0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    Signature(0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    Signature(0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    Signature(0, b"{\\rtf", "application/rtf"),
    Signature(0, b"fLaC", "audio/flac"),
    Signature(0, b"\x00\x00\x01\x00\x01\x00", "image/vnd.microsoft.icon"),
    Signature(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    Signature(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    Signature(0, b"\x1f\x8b", "application/gzip"),
    Signature(257, b"ustar", "application/x-tar"),
    Signature(0, b"ID3", "audio/mpeg"),
    *(Signature(0, bytes((0xFF, second)), "audio/mpeg") for second in (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3)),
    Signature(0, b"\xff\xf1", "audio/aac"),
    Signature(0, b"\xff\xf9", "audio/aac"),
    Signature(0, b"#!AMR", "audio/amr"),
    Signature(0, b"\x00\x00\x01\xba", "video/mpeg"),
    Signature(0, b"\x00\x00\x01\xb3", "video/mpeg"),
    Signature(0, b"Rar!\x1a\x07", "application/vnd.rar"),
    Signature(0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
)
_FTYP = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
}
_OOXML = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_OPEN_DOCUMENTS = re.compile(
    rb"mimetype(application/(?:epub\+zip|vnd\.oasis\.opendocument\.(?:text|spreadsheet|presentation)))(?!-)"
)
# The streams of old Office files, by their names in UTF-16.
_OLE = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
)
# Containers that begin alike whatever is in them: here, and only here, the name is believed.
_CONTAINERS = {
    "application/x-ole-storage": {
        ".doc": "application/msword",
        ".xls": "application/vnd.ms-excel",
        ".ppt": "application/vnd.ms-powerpoint",
    },
    "application/zip": {
        ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    },
}


def sniff(head: bytes, name: str | None = None) -> str | None:
    """The MIME type of a file by its first `HEAD` bytes; None for empty or unrecognised binary content.

    `name` tells apart what shares its first bytes with others: old Office files, and new ones that begin unusually.
    """
    found = _by_content(head)
    inside = _CONTAINERS.get(found or "", {})
    return inside.get(PurePosixPath(name or "").suffix.lower(), found)


def moves(head: bytes) -> bool:
    """Whether a sticker is animated: the flag of an extended WebP; Lottie and WebM always are."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02)
    return _by_content(head) in ("application/x-tgsticker", "video/webm")


def _by_content(head: bytes) -> str | None:
    if not head:
        return None
    for offset, magic, mime in _SIGNATURES:
        if head.startswith(magic, offset):
            return _INSIDE[mime](head) if mime in _INSIDE else mime
    return _boxed(head) or _streamed(head) or _zipped(head) or _bitmap(head) or _textual(head)


def _boxed(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "video/3gpp" if brand[:3] in (b"3gp", b"3g2") else _FTYP.get(brand, "video/mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video/quicktime"
    return None


def _streamed(head: bytes) -> str | None:
    """Containers of sound and video that say inside which it is."""
    if head.startswith(b"OggS"):
        return "video/ogg" if b"\x80theora" in head[:256] else "audio/ogg"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/x-matroska" if b"matroska" in head[:64] else "video/webm"
    return None


def _inside_ole(head: bytes) -> str:
    found = (mime for name, mime in _OLE if name.encode("utf-16-le") in head)
    return next(found, "application/x-ole-storage")


def _zipped(head: bytes) -> str | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    if named := _OPEN_DOCUMENTS.search(head, 0, 256):
        return named[1].decode()
    if b"[Content_Types].xml" not in head and b"_rels/" not in head:
        return "application/zip"
    return next((mime for marker, mime in _OOXML if marker in head), "application/zip")


def _inside_gzip(head: bytes) -> str:
    """Telegram's animated stickers are gzipped JSON; everything else stays gzip."""
    try:
        inside = zlib.decompressobj(31).decompress(head, 64)
    except zlib.error:
        return "application/gzip"
    return "application/x-tgsticker" if inside.startswith(b'{"tgs"') else "application/gzip"


_INSIDE = {"application/gzip": _inside_gzip, "application/x-ole-storage": _inside_ole}


def _bitmap(head: bytes) -> str | None:
    return "image/bmp" if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00" else None


def _textual(head: bytes) -> str | None:
    if b"\x00" in head:
        return None
    # The cut may fall inside a character.
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8-sig")
            break
        except UnicodeDecodeError:
            continue
    else:
        return None
    start = text.lstrip()[:64].lower()
    if start.startswith("#!"):
        return SCRIPT
    if start.startswith("<?xml"):
        return "image/svg+xml" if "<svg" in text.lower() else "application/xml"
    if start.startswith(("<!doctype html", "<html")):
        return "text/html"
    if start.startswith("<svg"):
        return "image/svg+xml"
    if start.startswith("begin:vcard"):
        return "text/vcard"
    if start.startswith("begin:vcalendar"):
        return "text/calendar"
    return "text/plain"
