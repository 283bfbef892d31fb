"""Files that are uuencoded in the middle of a text, as mail had them before MIME."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from services.email.receive.transfer import UUENCODE, decoded_chunks

LONGEST = 8 * 1024 * 1024  # bytes of a text that are looked through
_MOST = 100  # places that look like the beginning of one
_HEAD = 4096

_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,300})\r?\n", re.MULTILINE)
_CLOSING = re.compile(rb"[ \t]*end[ \t]*(?:\r?\n|\Z)")
_LINE = re.compile(rb"[\x20-\x60]{1,90}\r?\n?|\r?\n")


class Found(NamedTuple):
    """A file in a text: its range from `begin` to `end`, and how it starts."""

    name: str
    start: int
    end: int
    size: int
    head: bytes


def may_hold(text: str) -> bool:
    return text.startswith("begin ") or "\nbegin " in text


def extract(data: bytes) -> tuple[bytes, list[Found]]:
    """The text without its files, and the files."""
    words: list[bytes] = []
    found: list[Found] = []
    at = 0
    for begin in islice(_BEGIN.finditer(data), _MOST):
        if begin.start() < at:
            continue
        end = _end(data, begin.end())
        if end is None:  # a sentence that begins with "begin"
            continue
        decoded = b"".join(decoded_chunks([data[begin.end() : end]], UUENCODE))
        name = begin[1].decode("utf-8", "replace").strip().strip('"')
        found.append(Found(name, begin.start(), end, len(decoded), decoded[:_HEAD]))
        words.append(data[at : begin.start()])
        at = end
    words.append(data[at:])
    return b"".join(words), found


def _end(data: bytes, start: int) -> int | None:
    """Where the file ends that has its first line at `start`; None if what stands there is not uuencoded."""
    at, lines = start, 0
    while line := _LINE.match(data, at):
        said = line[0].rstrip(b"\r\n")
        length = (said[0] - 32) & 63 if said else 0
        if said and (length + 2) // 3 * 4 > len(said) + 3:
            break
        lines += bool(length)
        at = line.end()
    closing = _CLOSING.match(data, at)
    if closing is not None:
        return closing.end()
    return at if lines >= 3 else None
