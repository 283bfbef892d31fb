"""The payloads of a file: the whole of it, or JSON documents one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import orjson

from shared.channel import Channel, Parses


def payloads_of(channel: Channel, name: str, content: bytes) -> Iterator[bytes]:
    """The payloads of a file by its name: some kinds of files are one payload whole, whatever stands in them."""
    if isinstance(channel, Parses) and name.lower().endswith(tuple(channel.whole_files)):
        return iter((content,))
    return payloads(content)


def payloads(content: bytes) -> Iterator[bytes]:
    """The payloads of a file: the whole of it, or JSON documents one after the other, on a line each or over many.

    What cannot be read is one payload up to the next line that begins with a bracket, or to the end of the file.
    """
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        yield from _documents(content)
    else:
        yield content


def _documents(content: bytes) -> Iterator[bytes]:
    text = content.decode(errors="surrogateescape")  # a payload that is no UTF-8 is the channel's to judge
    if not text.strip():
        yield content
        return
    at = _skipped(text, 0)
    while at < len(text):
        end = _end_of_document(text, at) or _next_document(text, at)
        piece = text[at:end].rstrip("\r\n") if end < len(text) else text[at:]
        yield piece.encode(errors="surrogateescape")
        at = _skipped(text, end)


_DECODER = json.JSONDecoder()
_LINE_OF_JSON = re.compile(r"^[{\[]", re.MULTILINE)


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _end_of_document(text: str, at: int) -> int | None:
    """Where the object or list that begins at `at` ends; None where none begins, or it cannot be read."""
    if text[at] not in "{[":
        return None
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _next_document(text: str, after: int) -> int:
    found = _LINE_OF_JSON.search(text, after + 1)
    return found.start() if found else len(text)
