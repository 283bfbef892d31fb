"""The MIME structure of a mail: its parts with their byte ranges, found in linear time and within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from services.email.receive import headers
from services.email.receive.charsets import decode
from services.email.receive.transfer import IDENTITY, Step, decoded_chunks, encoding_of, slices

DEEPEST = 20  # levels of multiparts; what is below stays a file
MOST_LEAVES = 500
_MOST_DELIMITERS = 20_000  # places that look like one, of one multipart
_LONGEST_BOUNDARY = 200  # bytes; RFC 2046 §5.1.1 allows 70

_AFTER_BOUNDARY = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
# What hides in a file name: paths, controls, and signs that turn the reading direction round before the extension.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_LONGEST_NAME = 200  # bytes


@dataclass(slots=True)
class Structure:
    """The parts of a mail, and whether there were more than are looked at."""

    root: Part
    truncated: bool = False


@dataclass
class Part:
    """A part: its header, and the range of its body in `raw` (`end` exclusive). A multipart has children."""

    raw: bytes = field(repr=False)
    head: headers.Head = field(repr=False)
    end: int
    default_type: str = "text/plain"
    children: list[Part] = field(default_factory=list)
    too_deep: bool = False  # a multipart that is not taken apart

    @property
    def start(self) -> int:
        return self.head.body

    @cached_property
    def _content_type(self) -> tuple[str, dict[str, str]]:
        value = self.head.first("content-type")
        if not value:
            return self.default_type, {}
        kind, parameters = headers.parameters(value)
        return (kind if _TYPE.fullmatch(kind) else "text/plain"), parameters

    @cached_property
    def _disposition(self) -> tuple[str, dict[str, str]]:
        return headers.parameters(self.head.first("content-disposition"))

    @property
    def type(self) -> str:
        """`text/plain` and the like, in lower case."""
        return self._content_type[0]

    @property
    def parameters(self) -> dict[str, str]:
        return self._content_type[1]

    @property
    def disposition(self) -> str:
        """`attachment`, `inline`, empty or what else a program has written."""
        return self._disposition[0]

    @property
    def is_multipart(self) -> bool:
        return self.type.startswith("multipart/")

    @cached_property
    def filename(self) -> str:
        """The name it goes by, made safe; empty if it has none."""
        return safe_name(self._disposition[1].get("filename") or self.parameters.get("name", ""))

    @property
    def content_id(self) -> str:
        return headers.text(self.head.first("content-id")).strip("<> ")

    @property
    def encoding(self) -> str:
        return encoding_of(headers.text(self.head.first("content-transfer-encoding")))

    @property
    def step(self) -> Step:
        """Where its body stands, and how it is decoded."""
        return Step(self.start, self.end, self.encoding)

    @property
    def charset(self) -> str | None:
        return self.parameters.get("charset")

    def data(self, most: int) -> bytes:
        """The first `most` bytes of the decoded body."""
        if self.encoding == IDENTITY:
            return self.raw[self.start : min(self.end, self.start + most)]
        pieces, size = [], 0
        for chunk in decoded_chunks(slices(self.raw, self.start, self.end), self.encoding):
            pieces.append(chunk)
            size += len(chunk)
            if size >= most:
                break
        return b"".join(pieces)[:most]

    def size(self) -> int:
        """Bytes of the decoded body."""
        if self.encoding == IDENTITY:
            return self.end - self.start
        return sum(len(chunk) for chunk in decoded_chunks(slices(self.raw, self.start, self.end), self.encoding))

    def text(self, most: int) -> str:
        """The first `most` bytes of the body as text, with `\\n` at the end of lines."""
        return decode(self.data(most), self.charset).replace("\r\n", "\n").replace("\r", "\n")

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()


def safe_name(name: str) -> str:
    """A file name without path, controls and direction marks, of at most 200 bytes; the extension is kept."""
    last = _UNSAFE.sub("", name).replace("\\", "/").rstrip("/").rpartition("/")[2].strip(" .\t\"'")
    if len(last.encode("utf-8", "replace")) <= _LONGEST_NAME:
        return last
    stem, dot, extension = last.rpartition(".")
    extension = extension[:20]
    room = _LONGEST_NAME - len((dot + extension).encode("utf-8", "replace"))
    return (stem or last).encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + dot + extension


def structure(raw: bytes, start: int = 0, end: int | None = None) -> Structure:
    """The structure of the mail in this range."""
    walker = _Walker(raw)
    root = walker.part(start, len(raw) if end is None else end, outermost=True)
    return Structure(root, walker.truncated)


class _Walker:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._leaves = 0
        self.truncated = False

    def part(
        self, start: int, end: int, depth: int = 0, default_type: str = "text/plain", *, outermost: bool = False
    ) -> Part:
        head = headers.read_head(self._raw, start, end, outermost=outermost)
        part = Part(self._raw, head, max(end, head.body), default_type)
        boundary = part.parameters.get("boundary", "").encode("utf-8", "surrogateescape")[:_LONGEST_BOUNDARY]
        if part.is_multipart and boundary and depth < DEEPEST:
            inner = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
            for first, last in self._ranges(part.start, part.end, boundary.rstrip()):
                if self._leaves >= MOST_LEAVES:
                    self.truncated = True
                    break
                part.children.append(self.part(first, last, depth + 1, inner))
        elif part.is_multipart and depth >= DEEPEST:
            self.truncated = part.too_deep = True
        if not part.children:
            self._leaves += 1
        return part

    def _ranges(self, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
        """The ranges between delimiter lines; a last part without one after it goes to the end."""
        raw, needle = self._raw, b"--" + boundary
        begun: int | None = None
        at = raw.find(needle, start, end)
        for _ in range(_MOST_DELIMITERS):
            if at < 0:
                break
            after = _AFTER_BOUNDARY.match(raw, at + len(needle), end)
            if after is not None and (at == start or raw[at - 1] == 0x0A):
                if begun is not None:
                    yield begun, max(begun, at - (2 if raw[at - 2 : at - 1] == b"\r" else 1))
                begun = after.end()
                if after[1]:
                    return
            at = raw.find(needle, at + len(needle), end)
        if begun is not None:
            yield begun, end
