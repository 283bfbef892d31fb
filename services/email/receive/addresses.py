"""Address fields, read leniently: whatever a program has written, the address that the mail came from is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from services.email.receive import headers

MOST_ADDRESSES = 1000
_MOST_TOKENS = 20_000
_LONGEST_LIST = 64 * 1024  # bytes of one field
_LONGEST_NAME = 250  # characters

_TOKEN = re.compile(
    rb"""(?P<quoted>"(?:[^"\\]|\\.){0,200}+")|(?P<angle><[^<>]*>?)|(?P<sign>[,;:()])|(?P<text>[^"<,;:()]+|["<])""",
    re.DOTALL,
)
_QUOTED_LOCAL = r'"[^"@<>]{1,64}"@[^\s<>(),;:"@]+'  # RFC 5321 allows it, and nobody means it
_ADDRESS = re.compile(_QUOTED_LOCAL + r"|[^\s<>(),;:\"@]+(?:@[^\s<>(),;:\"@]+)+")
_AROUND = " \t'\"<>[]"


@dataclass(frozen=True, slots=True)
class Address:
    """An address as the mail has it, and the name beside it (empty if there is none)."""

    email: str
    name: str = ""


class _Piece(NamedTuple):
    kind: str
    said: bytes


def addresses(value: bytes) -> list[Address]:
    """The addresses of a field in their order; groups are taken apart, entries without any address left out."""
    found: list[Address] = []
    for entry in _entries(value[:_LONGEST_LIST]):
        address = _address(entry)
        if address is not None:
            found.append(address)
        if len(found) == MOST_ADDRESSES:
            break
    return found


def _entries(value: bytes) -> list[list[_Piece]]:
    entries: list[list[_Piece]] = [[]]
    depth = 0  # of comments, which nest
    for token in islice(_TOKEN.finditer(value), _MOST_TOKENS):
        kind, said = str(token.lastgroup), token[0]
        if said in (b"(", b")"):
            depth = depth + 1 if said == b"(" else max(0, depth - 1)
        elif depth:
            entries[-1].append(_Piece("comment", said))
        elif said in (b",", b";"):
            entries.append([])
        elif said == b":":
            # The name of a group, or one of the prefixes that programs write before an address (`mailto:`).
            entries[-1] = []
        else:
            entries[-1].append(_Piece(kind, said))
    return entries


def _address(entry: list[_Piece]) -> Address | None:
    """One entry: `name <address>`, `address (name)`, a bare address, or what has become of them."""
    angles = [piece.said for piece in entry if piece.kind == "angle"]
    for angle in reversed(angles):
        if email := _plain(headers.text(angle)):
            around = [piece for piece in entry if piece.kind != "comment" and piece.said is not angle]
            return Address(email, _name(around) or _name([piece for piece in entry if piece.kind == "comment"]))
    words = headers.text(b"".join(piece.said for piece in entry if piece.kind != "comment"))
    bare = _ADDRESS.search(words)
    if bare is not None:
        name = (words[: bare.start()] + words[bare.end() :]).strip(_AROUND)
        comment = _name([piece for piece in entry if piece.kind == "comment"])
        return Address(bare[0].strip(" \t'<>[]"), name[:_LONGEST_NAME] or comment)
    # A local user of a machine (`root`, `MAILER-DAEMON`) has no domain.
    email = words.strip(_AROUND) if not angles else ""
    comment = _name([piece for piece in entry if piece.kind == "comment"])
    return Address(email[:_LONGEST_NAME], comment) if email and " " not in email else None


def _plain(angle: str) -> str:
    if quoted := re.fullmatch(rf"<?\s*({_QUOTED_LOCAL})\s*>?", angle):
        return quoted[1]
    inner = angle.strip(_AROUND).removeprefix("mailto:")
    # A route (`@relay,@other:user@host`, RFC 5322 §4.4) is passed over.
    return re.sub(r"\s+", "", inner.rpartition(":")[2] if inner.startswith("@") else inner)[:_LONGEST_NAME]


def _name(pieces: list[_Piece]) -> str:
    said = b"".join(
        re.sub(rb"\\(.)", rb"\1", piece.said[1:-1]) if piece.kind == "quoted" else piece.said for piece in pieces
    )
    return headers.text(said).strip(" \t'\"")[:_LONGEST_NAME]
