"""Header fields of our own mail, as octets: every value is made safe here, and what was written is read again.

The standard library is not asked to fold: on Python 3.11.7 it encodes long Message-IDs, which Outlook drops, and writes
line breaks that an encoded word hides (CVE-2024-6923).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.header import Header
from urllib.parse import quote

from services.email.subjects import one_line

LINE = 76  # characters, without the line break (RFC 5322 §2.1.1, RFC 2047 §2)
LONGEST_LINE = 998

_PLAIN = re.compile(r"[\x20-\x7e]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&.+^_-]{1,127}")
_NAME = re.compile(rb"([!-9;-~]+):")

Fields = Sequence[tuple[str, str]]


def written(fields: Fields) -> bytes:
    """The header block without the empty line behind it.

    Raises ValueError where the octets would be read as other fields than these.
    """
    block = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
    lines = block.split(b"\r\n")[:-1]
    named = [found[1].decode() for line in lines if (found := _NAME.match(line))]
    unfolded = all(_NAME.match(line) or line[:1] in (b" ", b"\t") for line in lines)
    odd = re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", b"".join(lines)) or any(not line.strip() for line in lines)
    if named != [name for name, _ in fields] or not unfolded or odd or any(len(line) > LONGEST_LINE for line in lines):
        raise ValueError("a header field that would be read as something else")
    return block


def text(value: str, name: str) -> str:
    """An unstructured value, such as a subject: folded, in encoded words where it has to be (RFC 2047)."""
    value = one_line(value)
    first = len(name) + 2
    if _PLAIN.fullmatch(value) and "=?" not in value:
        folded = _folded(value.split(" "), first)
        if all(len(line) <= LONGEST_LINE for line in folded.split("\r\n")):
            return folded
    return _encoded(value, first)


def addresses(people: Iterable[tuple[str, str]], name: str) -> str:
    """Names and addresses, one a line where they do not fit. The addresses are normal ones (`peers`)."""
    mailboxes = [mailbox(shown, address) for shown, address in people]
    return _folded([f"{one}," for one in mailboxes[:-1]] + mailboxes[-1:], len(name) + 2)


def mailbox(shown: str, address: str) -> str:
    """A name and an address; the address alone where there is no name."""
    shown = one_line(shown)
    if not shown:
        return address
    if not _PLAIN.fullmatch(shown) or "=?" in shown:
        phrase = _encoded(shown, LINE // 4)
    else:
        phrase = shown if _ATOMS.fullmatch(shown) else quoted(shown)
    return f"{phrase} <{address}>"


def message_ids(ids: Iterable[str], name: str) -> str:
    """Message-IDs, given without angle brackets: never encoded and never divided, folded only between them."""
    return _folded([f"<{one}>" for one in ids], len(name) + 2)


def quoted(value: str) -> str:
    """A quoted string (RFC 5322 §3.2.4) of printable ASCII."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def filename_parameters(filename: str) -> tuple[str, str]:
    """A file's name as the parameters of Content-Type and of Content-Disposition.

    In other scripts RFC 2231 has the exact name; Outlook and many web mailers read the encoded word in Content-Type,
    which RFC 2047 does not allow there. The name has at most 255 bytes, as on every file system.
    """
    if _PLAIN.fullmatch(filename) and len(filename) < LINE - 12:
        return f";\r\n name={quoted(filename)}", f";\r\n filename={quoted(filename)}"
    words = _encoded(filename, len(' name="'))
    return f';\r\n name="{words}"', f";\r\n filename*=UTF-8''{quote(filename, safe='')}"


def media_type(value: str | None) -> str:
    """A type and subtype as they can stand in a header; `application/octet-stream` for anything else.

    A file is never a multipart or a message: its bytes would be read as more of this mail.
    """
    kind, _, subtype = (value or "").split(";")[0].strip().lower().partition("/")
    fits = _TOKEN.fullmatch(kind) and _TOKEN.fullmatch(subtype) and kind not in ("multipart", "message")
    return f"{kind}/{subtype}" if fits else "application/octet-stream"


def _encoded(value: str, first: int) -> str:
    return Header(value, "utf-8", maxlinelen=LINE, header_name="x" * max(first - 2, 0)).encode(linesep="\r\n")


def _folded(words: Sequence[str], first: int) -> str:
    """The words with a blank between them, or a line break and a blank where the line would get too long."""
    lines: list[list[str]] = [[]]
    room = LINE - first
    for word in words:
        if lines[-1] and len(word) + 1 > room:
            lines.append([])
            room = LINE - 1
        room -= len(word) + bool(lines[-1])
        lines[-1].append(word)
    return "\r\n ".join(" ".join(line) for line in lines)
