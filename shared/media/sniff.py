"""What a file is, by its first bytes: names and claimed types are only what a sender says."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import NamedTuple

HEAD = 4096  # bytes that are enough to tell
SCRIPT = "text/x-shellscript"  # a text whose first line names its interpreter


class Signature(NamedTuple):
    offset: int
    magic: bytes
    mime: str


_WINDOWS_PROGRAM = "application/vnd.microsoft.portable-executable"
_SIGNATURES = (
    Signature(0, b"\xff\xd8\xff", "image/jpeg"),
    Signature(0, b"\x89PNG\r\n\x1a\n", "image/png"),
    Signature(0, b"GIF87a", "image/gif"),
    Signature(0, b"GIF89a", "image/gif"),
    Signature(0, b"II*\x00", "image/tiff"),
    Signature(0, b"MM\x00*", "image/tiff"),
    Signature(0, b"%PDF-", "application/pdf"),
    Signature(0, b"MZ", _WINDOWS_PROGRAM),
    Signature(0, b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
    Signature(0, b"\xca\xfe\xba\xbe", "application/java-vm"),
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
_ENTRY = b"PK\x03\x04"
_OOXML = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_APPS = (
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
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
_TS_PACKET = 188  # bytes: each begins with the same one
# Readers of PDF look for its beginning in the first kilobyte.
_LATE_PDF = re.compile(rb"%PDF-[12]\.\d\s")
# An element that is none of HTML: what begins with one of those is a piece of a page, and no document of its own.
_ELEMENT = re.compile(r"<(?!(?:a|b|br|div|font|h\d|i|img|li|ol|p|pre|span|style|table|u|ul)\b)[a-z_][\w.:-]*[\s/>]")
_BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
# No text of an 8-bit alphabet has these, and most of its bytes are of ASCII.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_ASCII = re.compile(rb"[\t\n\r\x20-\x7e]+")
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
    if _LATE_PDF.search(head, 0, 1024):
        return "application/pdf"
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
    if head[::_TS_PACKET] == b"\x47" * len(head[::_TS_PACKET]) and len(head) > 3 * _TS_PACKET:
        return "video/mp2t"
    return None


def _inside_ole(head: bytes) -> str:
    found = (mime for name, mime in _OLE if name.encode("utf-16-le") in head)
    return next(found, "application/x-ole-storage")


def _zipped(head: bytes) -> str | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    if named := _OPEN_DOCUMENTS.search(head, 0, 256):
        return named[1].decode()
    names = list(_entries(head))
    if any(name.startswith((b"[Content_Types].xml", b"_rels/")) for name in names):
        folders = (mime for folder, mime in _OOXML if any(name.startswith(folder) for name in names))
        return next(folders, "application/zip")
    return next((mime for entry, mime in _APPS if entry in names), "application/zip")


def _entries(head: bytes) -> Iterator[bytes]:
    """The names of an archive's first entries."""
    start = head.find(_ENTRY)
    while start >= 0:
        length = int.from_bytes(head[start + 26 : start + 28], "little")
        yield head[start + 30 : start + 30 + length]
        start = head.find(_ENTRY, start + 30 + length)


def _inside_gzip(head: bytes) -> str:
    """Telegram's animated stickers are gzipped JSON; everything else stays gzip."""
    try:
        inside = zlib.decompressobj(31).decompress(head, 64)
    except zlib.error:
        return "application/gzip"
    return "application/x-tgsticker" if inside.startswith(b'{"tgs"') else "application/gzip"


def _windows_program(head: bytes) -> str | None:
    """What begins with `MZ` is a program, or a text about Mozambique."""
    return _textual(head) or _WINDOWS_PROGRAM


def _java_or_apple(head: bytes) -> str:
    """Both begin alike: programs for several processors say then how many, classes their version, 45 or more."""
    return "application/x-mach-binary" if int.from_bytes(head[4:8], "big") < 45 else "application/java-vm"


_INSIDE: dict[str, Callable[[bytes], str | None]] = {
    "application/gzip": _inside_gzip,
    "application/java-vm": _java_or_apple,
    "application/x-ole-storage": _inside_ole,
    _WINDOWS_PROGRAM: _windows_program,
}


def _bitmap(head: bytes) -> str | None:
    return "image/bmp" if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00" else None


def _textual(head: bytes) -> str | None:
    text = _decoded(head)
    if text is None:
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
    if _ELEMENT.match(start) and ("</" in text or "/>" in text):
        return "application/xml"
    return "text/plain"


def _decoded(head: bytes) -> str | None:
    """The text that these are the first bytes of, if they are: UTF-8, UTF-16 with its mark, or an 8-bit alphabet."""
    if encoding := _BOMS.get(head[:2]):
        with suppress(UnicodeDecodeError):
            return head[2 : len(head) // 2 * 2].decode(encoding, errors="strict")
        return None
    if b"\x00" in head:
        return None
    # The cut may fall inside a character.
    for cut in range(4):
        with suppress(UnicodeDecodeError):
            return head[: len(head) - cut].decode("utf-8-sig")
    ascii_ = sum(map(len, _ASCII.findall(head)))
    return head.decode("latin-1") if ascii_ >= 0.7 * len(head) and not _NO_TEXT.search(head) else None
