"""winmail.dat (MS-OXTNEF): Outlook's own envelope, opened far enough to find the files and words in it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.email.receive.charsets import decode

_SIGNATURE = 0x223E9F78
_MOST_ATTRIBUTES = 5000
_MOST_PROPERTIES = 2000
_MOST_FILES = 200
_HEAD = 4096
_LONGEST_TEXT = 1024 * 1024


class _Attribute:
    BODY = 0x0002800C
    TITLE = 0x00018010
    DATA = 0x0006800F
    RENDERING = 0x00069002  # the first of every file
    FILE_PROPERTIES = 0x00069005
    MESSAGE_PROPERTIES = 0x00069003
    CODE_PAGE = 0x00069007


class _Property:
    LONG_NAME = 0x3707
    FILE_NAME = 0x3704
    MIME_TYPE = 0x370E
    CONTENT_ID = 0x3712
    BYTES = 0x3701
    TEXT = 0x1000
    HTML = 0x1013


# Kinds of property values by their length in bytes; the others say theirs.
_FIXED = {0x0002: 4, 0x0003: 4, 0x0004: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8, 0x000A: 4, 0x000B: 4, 0x0014: 8}
_FIXED |= {0x0040: 8, 0x0048: 16}
_STRING, _UNICODE, _BYTES, _OBJECT = 0x001E, 0x001F, 0x0102, 0x000D


@dataclass(slots=True)
class Inside:
    """A file in a winmail.dat: where its bytes stand in there."""

    name: str = ""
    type: str = ""
    start: int = 0
    end: int = 0
    content_id: str | None = None
    head: bytes = b""


@dataclass(slots=True)
class Opened:
    text: str = ""
    html: str = ""
    files: list[Inside] = field(default_factory=list)


def read(data: bytes) -> Opened | None:
    """What is in a winmail.dat; None for what is none, or holds neither files nor words that can be read."""
    opened = Opened()
    charset = "cp1252"
    for attribute, start, end in _attributes(data):
        match attribute:
            case _Attribute.CODE_PAGE if end - start >= 4:
                charset = f"cp{int.from_bytes(data[start : start + 4], 'little')}"
            case _Attribute.BODY:
                opened.text = opened.text or _string(data[start:end], charset)
            case _Attribute.RENDERING if len(opened.files) < _MOST_FILES:
                opened.files.append(Inside())
            case _Attribute.TITLE if opened.files:
                opened.files[-1].name = opened.files[-1].name or _string(data[start:end], charset)
            case _Attribute.DATA if opened.files:
                opened.files[-1].start, opened.files[-1].end = start, end
            case _Attribute.FILE_PROPERTIES if opened.files:
                _file_properties(opened.files[-1], data, start, end, charset)
            case _Attribute.MESSAGE_PROPERTIES:
                _message_properties(opened, data, start, end, charset)
    opened.files = [one for one in opened.files if one.end > one.start]
    for one in opened.files:
        one.head = data[one.start : min(one.end, one.start + _HEAD)]
    return opened if opened.files or opened.text or opened.html else None


def _attributes(data: bytes) -> Iterator[tuple[int, int, int]]:
    if len(data) < 6 or int.from_bytes(data[:4], "little") != _SIGNATURE:
        return
    at = 6
    for _ in range(_MOST_ATTRIBUTES):
        if at + 9 > len(data):
            return
        _, attribute, length = struct.unpack_from("<BII", data, at)
        start = at + 9
        if start + length > len(data):
            return
        yield attribute, start, start + length
        at = start + length + 2  # a checksum


def _file_properties(one: Inside, data: bytes, start: int, end: int, charset: str) -> None:
    for name, kind, first, last in _properties(data, start, end):
        match name:
            case _Property.LONG_NAME:
                one.name = _value(kind, data[first:last], charset) or one.name
            case _Property.FILE_NAME:
                one.name = one.name or _value(kind, data[first:last], charset)
            case _Property.MIME_TYPE:
                one.type = _value(kind, data[first:last], charset).lower()
            case _Property.CONTENT_ID:
                one.content_id = _value(kind, data[first:last], charset).strip("<>") or None
            case _Property.BYTES if one.end == 0 and kind in (_BYTES, _OBJECT):
                # An object begins with the id of its class.
                one.start, one.end = first + (16 if kind == _OBJECT else 0), last


def _message_properties(opened: Opened, data: bytes, start: int, end: int, charset: str) -> None:
    for name, kind, first, last in _properties(data, start, end):
        if name == _Property.TEXT and not opened.text:
            opened.text = _value(kind, data[first : min(last, first + _LONGEST_TEXT)], charset)
        elif name == _Property.HTML and not opened.html:
            opened.html = decode(data[first : min(last, first + _LONGEST_TEXT)])


def _properties(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Name, kind and range of each property; it ends at the first that does not fit."""
    try:
        (count,) = struct.unpack_from("<I", data, start)
        at = start + 4
        for _ in range(min(count, _MOST_PROPERTIES)):
            kind, name = struct.unpack_from("<HH", data, at)
            at += 4
            if name >= 0x8000:
                at = _after_name(data, at)
            many = bool(kind & 0x1000)
            kind &= 0x0FFF
            values = 1
            if many or kind in (_STRING, _UNICODE, _BYTES, _OBJECT):
                (values,) = struct.unpack_from("<I", data, at)
                at += 4
            for _ in range(min(values, _MOST_PROPERTIES)):
                if kind in _FIXED:
                    length = _FIXED[kind]
                elif kind in (_STRING, _UNICODE, _BYTES, _OBJECT):
                    (length,) = struct.unpack_from("<I", data, at)
                    at += 4
                else:
                    return
                if at + length > end:
                    return
                yield name, kind, at, at + length
                at += (length + 3) // 4 * 4
    except struct.error:
        return


def _after_name(data: bytes, at: int) -> int:
    by_string, length = struct.unpack_from("<II", data, at + 16)
    return at + 24 + ((int(length) + 3) // 4 * 4 if by_string else 0)


def _value(kind: int, value: bytes, charset: str) -> str:
    if kind == _UNICODE:
        return value.decode("utf-16-le", "replace").rstrip("\x00")
    return _string(value, charset) if kind == _STRING else ""


def _string(value: bytes, charset: str) -> str:
    return decode(value.rstrip(b"\x00"), charset)
