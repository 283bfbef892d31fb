"""Transfer encodings of mail, decoded as a stream; and references: where in a raw mail a file stands.

A reference is a path of steps, `<start>-<end>:<encoding>` joined by `/`: a byte range, and how it is decoded; the range
of each further step counts in what the step before gave. So it names a part of the mail (`8812-9001:base64`), a file
that is uuencoded inside such a part, or one inside its winmail.dat, and opens without parsing the mail again.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BASE64 = "base64"
QUOTED_PRINTABLE = "quoted-printable"
UUENCODE = "uuencode"
IDENTITY = "binary"

_NAMES = {
    "base64": BASE64,
    "quoted-printable": QUOTED_PRINTABLE,
    "quotedprintable": QUOTED_PRINTABLE,
    "uuencode": UUENCODE,
    "x-uuencode": UUENCODE,
    "uue": UUENCODE,
    "x-uue": UUENCODE,
}
_SLICE = 256 * 1024
_LONGEST_LINE = 1024 * 1024  # of what is decoded line by line; longer ones are cut in two
_STEP = re.compile(r"(\d{1,12})-(\d{1,12}):([a-z0-9-]{1,20})")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


def encoding_of(header: str) -> str:
    """The encoding that a Content-Transfer-Encoding header names; what nobody knows is taken as it is."""
    return _NAMES.get(header.strip().strip('"').lower(), IDENTITY)


class Step(NamedTuple):
    """A byte range (`end` exclusive) and the encoding of what is in it."""

    start: int
    end: int
    encoding: str


def reference(*steps: Step) -> str:
    """The text that `open_reference` reads."""
    return "/".join(f"{step.start}-{step.end}:{step.encoding}" for step in steps)


def open_reference(text: str) -> tuple[Step, ...]:
    """The steps of a reference; the first range is of the raw mail. Raises ValueError for anything else."""
    steps = []
    for piece in text.split("/")[:4]:
        found = _STEP.fullmatch(piece)
        if found is None or int(found[2]) < int(found[1]):
            raise ValueError("not a reference to a file in a mail")
        steps.append(Step(int(found[1]), int(found[2]), found[3]))
    return tuple(steps)


def file_chunks(chunks: Iterable[bytes], steps: tuple[Step, ...]) -> Iterator[bytes]:
    """The bytes of a file. `chunks` are those of the first step's range of the raw mail."""
    decoded = decoded_chunks(chunks, steps[0].encoding)
    for step in steps[1:]:
        decoded = decoded_chunks(_ranged(decoded, step), step.encoding)
    return decoded


def _ranged(chunks: Iterable[bytes], step: Step) -> Iterator[bytes]:
    at = 0
    for chunk in chunks:
        yield chunk[max(0, step.start - at) : max(0, step.end - at)]
        at += len(chunk)
        if at >= step.end:
            return


def decoded_chunks(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """What `chunks` hold once they are decoded. Never raises: broken places are skipped."""
    match encoding:
        case "base64":
            return _base64(chunks)
        case "quoted-printable":
            return (binascii.a2b_qp(lines) for lines in _whole_lines(chunks))
        case "uuencode":
            return (_uudecoded(lines) for lines in _whole_lines(chunks))
        case _:
            return iter(chunks)


def slices(raw: bytes, start: int, end: int) -> Iterator[bytes]:
    """A range of a mail in pieces."""
    for at in range(start, end, _SLICE):
        yield raw[at : min(at + _SLICE, end)]


def _base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Padding ends a stretch and not the file: some programs encode piece by piece."""
    left = b""
    for chunk in chunks:
        left += chunk.translate(None, _NOT_BASE64)
        while b"=" in left:
            stretch, _, left = left.partition(b"=")
            left = left.lstrip(b"=")
            yield _quanta(stretch)
        whole = len(left) // 4 * 4
        yield binascii.a2b_base64(left[:whole])
        left = left[whole:]
    yield _quanta(left)


def _quanta(stretch: bytes) -> bytes:
    """A stretch without its padding; a single left-over character has no byte in it."""
    odd = len(stretch) % 4
    if odd == 1:
        stretch, odd = stretch[:-1], 0
    return binascii.a2b_base64(stretch + b"=" * (-odd % 4))


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        left += chunk
        end = left.rfind(b"\n") + 1 or (len(left) if len(left) > _LONGEST_LINE else 0)
        if end:
            yield left[:end]
            left = left[end:]
    if left:
        yield left


def _uudecoded(lines: bytes) -> bytes:
    decoded = []
    for line in lines.splitlines():
        if not line or not 0x20 <= line[0] <= 0x60:  # `begin`, `end`, and what is no line of data
            continue
        try:
            decoded.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders write a wrong number of characters behind the last byte.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                decoded.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                continue
    return b"".join(decoded)
