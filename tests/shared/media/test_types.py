"""What a claimed type is worth beside the bytes, and the names that uploads get."""

from __future__ import annotations

import pytest

from shared.media.sniff import sniff
from shared.media.types import claim, denies, upload_name


@pytest.mark.parametrize(
    ("told", "claimed"),
    [
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("image/octet-stream", None),
        ("video/*", None),
        ("pdf", None),
        (None, None),
        ("Image/JPG; q=1", "image/jpeg"),
        ("audio/x-m4a", "audio/mp4"),
    ],
)
def test_what_is_a_claim(told: str | None, claimed: str | None) -> None:
    assert claim(told) == claimed


@pytest.mark.parametrize(
    ("found", "claimed", "denied"),
    [
        ("audio/wav", "audio/mpeg", True),
        ("image/webp", "image/jpeg", True),
        ("video/quicktime", "video/mp4", True),
        ("text/plain", "application/pdf", True),
        ("application/zip", "application/vnd.oasis.opendocument.text", False),
        ("application/zip", "image/png", True),
        ("text/plain", "application/json", False),
        ("application/xml", "application/gpx+xml", False),
        ("application/xml", "image/svg+xml", False),
        ("audio/ogg", "audio/opus", False),
        ("video/mp4", "audio/mp4", False),
        ("text/x-shellscript", "text/plain", False),
        ("text/x-shellscript", "image/jpeg", True),
    ],
)
def test_what_the_bytes_deny(found: str, claimed: str, denied: bool) -> None:
    assert denies(found, claimed) is denied


@pytest.mark.parametrize(
    ("name", "mime_type", "uploaded"),
    [
        ("memo.mp4", "audio/ogg; codecs=opus", "memo.ogg"),
        ("memo.opus", "audio/ogg", "memo.opus"),
        ("memo.mp4", "audio/mp4", "memo.m4a"),
        ("Angebot Nr. 7", "application/pdf", "Angebot Nr. 7.pdf"),
        ("Überblick – März.PDF", "application/pdf", "Überblick – März.PDF"),
        ("見積書", "application/pdf", "見積書.pdf"),
        ("holiday.jpg", "image/webp", "holiday.webp"),
        ("holiday.jpeg", "image/jpeg", "holiday.jpeg"),
        ("list.csv", "text/plain", "list.csv"),
        ("settings.cfgx", "text/plain", "settings.cfgx"),
        ("notes 2.5", "text/plain", "notes 2.5.txt"),
        ("letter.docx", "application/zip", "letter.docx"),
        ("data.bin", "application/octet-stream", "data.bin"),
    ],
)
def test_the_name_says_what_the_type_says(name: str, mime_type: str, uploaded: str) -> None:
    assert upload_name(name, mime_type) == uploaded


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"\xcf\xfa\xed\xfe\x07\x00\x00\x01", "application/x-mach-binary"),
        (b"#!/bin/sh\nrm x", "text/x-shellscript"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "image/svg+xml"),
        (b"{\\rtf1 hello}", "application/rtf"),
        (b"\x00\x00\x00\x1cftypM4A \x00\x00\x00\x00", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypmif1", "image/heif"),
        (b"\xff\xe3\x18\xc4", "audio/mpeg"),
        (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.textPK", None),
        (b"BEGIN:VCARD\r\nVERSION:3.0", "text/vcard"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "WordDocument".encode("utf-16-le"), "application/msword"),
    ],
)
def test_beginnings(head: bytes, mime_type: str | None) -> None:
    assert sniff(head) == (mime_type or "application/vnd.oasis.opendocument.text")
