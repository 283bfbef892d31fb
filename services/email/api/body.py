"""The body of a mail as octets: what is text stands ready, what is a file is encoded while it goes out.

So a mail of any size is sent with a few kilobytes in memory, and its size is known to the octet before.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from services.email.api import headers

LINE_BYTES = 57  # of a file, in a line of base64 (RFC 2045 §6.8)
_ENDINGS = re.compile(r"\r\n|\r|\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_SEVEN_BIT = re.compile(rb"(?:[\t\x20-\x7e]{0,75}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file inside a mail: `name` is the call's parameter with its bytes. `content_id` where the html shows it."""

    name: str
    filename: str
    mime_type: str
    content_id: str | None = None


Segment = bytes | FilePart  # what is sent as it is (whole lines), or a file's place


def encoded_size(size: int) -> int:
    """The octets of a file in base64, with its line breaks."""
    return 4 * -(-size // 3) + 2 * -(-size // LINE_BYTES)


def segments(text: str, html: str | None, files: Sequence[FilePart], boundary: str) -> list[Segment]:
    """The body with its own header fields, which end the mail's header.

    Text, or text beside html, with the files that the html shows, with the others: a part is made only for what there
    is. `boundary` must not stand in any text.
    """
    found: list[Segment] = _text(text, "plain")
    if html is not None:
        found = _multipart("alternative", [found, _text(html, "html")], f"{boundary}a")
    shown = [_file(file) for file in files if file.content_id and html is not None]
    if shown:
        found = _multipart("related", [found, *shown], f"{boundary}r", '; type="multipart/alternative"')
    attached = [_file(file) for file in files if not (file.content_id and html is not None)]
    if attached:
        found = _multipart("mixed", [found, *attached], f"{boundary}m")
    return list(_joined(found))


async def base64_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Octets in lines of base64, each of them whole."""
    rest = b""
    async for chunk in chunks:
        data = rest + chunk
        whole = len(data) - len(data) % LINE_BYTES
        rest = data[whole:]
        if whole:
            yield _lines(data[:whole])
    if rest:
        yield _lines(rest)


def _lines(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"".join(encoded[at : at + headers.LINE] + b"\r\n" for at in range(0, len(encoded), headers.LINE))


def _text(text: str, subtype: str) -> list[Segment]:
    """A text as it is; in the encoding that takes the fewest octets where its lines cannot go over the wire."""
    data = "\r\n".join(_ENDINGS.split(text)).encode("utf-8", "replace")
    lines = data + b"\r\n"  # the last line break belongs to what follows the part (RFC 2046 §5.1.1)
    if all(_SEVEN_BIT.fullmatch(line) for line in data.split(b"\r\n")):
        return [_part_header(f"text/{subtype}; charset=utf-8", "7bit"), lines]
    quoted = _BARE_LF.sub(b"\r\n", binascii.b2a_qp(lines, istext=True))
    if len(quoted) <= encoded_size(len(data)):
        return [_part_header(f"text/{subtype}; charset=utf-8", "quoted-printable"), quoted]
    return [_part_header(f"text/{subtype}; charset=utf-8", "base64"), _lines(data)]


def _file(file: FilePart) -> list[Segment]:
    named, disposed = headers.filename_parameters(file.filename)
    kind = "attachment" if file.content_id is None else "inline"
    fields = [("Content-Disposition", f"{kind}{disposed}")]
    if file.content_id:
        fields.append(("Content-ID", f"<{file.content_id}>"))
    return [_part_header(file.mime_type + named, "base64", *fields), file]


def _part_header(content_type: str, encoding: str, *more: tuple[str, str]) -> bytes:
    fields = [("Content-Type", content_type), ("Content-Transfer-Encoding", encoding), *more]
    return headers.written(fields) + b"\r\n"


def _multipart(subtype: str, parts: Sequence[Sequence[Segment]], boundary: str, parameters: str = "") -> list[Segment]:
    line = b"--" + boundary.encode() + b"\r\n"
    content_type = f'multipart/{subtype};\r\n boundary="{boundary}"{parameters}'
    found: list[Segment] = [headers.written([("Content-Type", content_type)]) + b"\r\n"]
    for part in parts:
        found += [line, *part]
    return [*found, b"--" + boundary.encode() + b"--\r\n"]


def _joined(found: Sequence[Segment]) -> Iterator[Segment]:
    """Neighbouring octets as one."""
    waiting: list[bytes] = []
    for segment in found:
        if isinstance(segment, bytes):
            waiting.append(segment)
            continue
        yield b"".join(waiting)
        waiting = []
        yield segment
    if waiting:
        yield b"".join(waiting)
