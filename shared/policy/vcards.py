"""vCards: what one says of a person, in the versions and dialects that phones write. RFC 6350, 2426, vCard 2.1.

Linear in the length of the card, and bounded: what stands behind `MOST` characters, or further values of a property
beyond `MOST_VALUES`, is not read.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MOST = 1_000_000  # characters; a picture in a card has some hundred thousand
MOST_VALUES = 50

_LINES = re.compile(r"\r\n|\r|\n")
_SEPARATOR = re.compile(r"(?<!\\);")
_ESCAPED = re.compile(r"\\(.)", re.S)
_SCHEME = re.compile(r"(tel|mailto):", re.I)
_DIGITS = re.compile(r"[0-9]{5,20}")
_FIELD_OF = {
    "TEL": "phones",
    "EMAIL": "emails",
    "URL": "urls",
    "ADR": "addresses",
    "ORG": "organisations",
    "TITLE": "titles",
    "FN": "names",
    "BDAY": "birthdays",
}
_IN_PARTS = frozenset({"ADR", "ORG"})


@dataclass(slots=True)
class VCard:
    """What a card says, each list in the card's order and without repetitions. `whatsapp_ids` are what WhatsApp writes
    beside a number (`TEL;waid=…`): who has one can be written to."""

    names: list[str] = field(default_factory=list)
    given_name: str | None = None
    family_name: str | None = None
    phones: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    organisations: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    birthdays: list[str] = field(default_factory=list)
    whatsapp_ids: dict[str, str] = field(default_factory=dict)  # by the number it stands beside

    @property
    def name(self) -> str | None:
        """How the person is called: as the card shows it, else made of its parts."""
        parts = " ".join(part for part in (self.given_name, self.family_name) if part)
        return next(iter(self.names), None) or parts or None


class _Property(NamedTuple):
    name: str
    parameters: dict[str, str]
    value: str


def read_vcard(text: str | None) -> VCard:
    """What a vCard says; nothing for a text that is none. Of several cards in a text, the first."""
    card = VCard()
    for entry in _properties((text or "")[:MOST]):
        if entry.name == "END" and entry.value.strip().upper() == "VCARD":
            break
        value = _decoded(entry)
        if entry.name == "N":
            parts = [_plain(part) for part in _SEPARATOR.split(value)[:2]] + ["", ""]
            card.family_name, card.given_name = parts[0] or None, parts[1] or None
        elif kind := _FIELD_OF.get(entry.name):
            values: list[str] = getattr(card, kind)
            said = _said(entry.name, value)
            if said and said not in values and len(values) < MOST_VALUES:
                values.append(said)
            if kind == "phones" and said in values and _DIGITS.fullmatch(given := entry.parameters.get("WAID", "")):
                card.whatsapp_ids.setdefault(said, given)
    return card


def _properties(text: str) -> Iterator[_Property]:
    """The properties of a card: folded lines joined, groups (`item1.TEL`) left out."""
    waiting: list[str] = []
    soft = False  # the line before ends within a quoted-printable value
    for line in _LINES.split(text):
        if waiting and (soft or line[:1] in (" ", "\t")):
            waiting.append(line if soft else line[1:])
        else:
            if waiting:
                yield from _property("".join(waiting))
            waiting = [line]
            quoted = "QUOTED-PRINTABLE" in line.partition(":")[0].upper()
        soft = quoted and line.endswith("=")
        if soft:
            waiting[-1] = waiting[-1][:-1]
    if waiting:
        yield from _property("".join(waiting))


def _property(line: str) -> Iterator[_Property]:
    head, value = _split_head(line)
    name, *parameters = _parts_of(head)
    named: dict[str, str] = {}
    for parameter in parameters:
        key, equals, said = parameter.partition("=")
        # vCard 2.1 writes a bare value: TEL;CELL, N;QUOTED-PRINTABLE.
        if not equals:
            key, said = ("ENCODING", key) if key.upper() in ("QUOTED-PRINTABLE", "BASE64", "8BIT") else ("TYPE", key)
        named.setdefault(key.strip().upper(), said.strip().strip('"'))
    yield _Property(name.rpartition(".")[2].strip().upper(), named, value)


def _split_head(line: str) -> tuple[str, str]:
    """Name and parameters, and the value: apart at the first colon that no quotes surround."""
    start = quotes = 0
    while (at := line.find(":", start)) >= 0:
        quotes += line.count('"', start, at)
        if quotes % 2 == 0:
            return line[:at], line[at + 1 :]
        start = at + 1
    head, _, value = line.partition(":")  # a quote that never ends surrounds nothing
    return head, value


def _parts_of(head: str) -> list[str]:
    parts: list[str] = []
    for part in head[:2000].split(";"):
        if parts and parts[-1].count('"') % 2:
            parts[-1] += f";{part}"
        else:
            parts.append(part)
    return parts


def _decoded(entry: _Property) -> str:
    if entry.parameters.get("ENCODING", "").upper() != "QUOTED-PRINTABLE":
        return entry.value
    octets = quopri.decodestring(entry.value.encode("utf-8", "replace"))
    try:
        return octets.decode(entry.parameters.get("CHARSET", "utf-8"), "replace")
    except LookupError:  # a charset nobody knows
        return octets.decode("utf-8", "replace")


def _said(name: str, value: str) -> str:
    parts = [_plain(part) for part in (_SEPARATOR.split(value) if name in _IN_PARTS else [value])]
    said = ", ".join(filter(None, parts))
    if scheme := _SCHEME.match(said):
        said = said[scheme.end() :]
        said = said.partition(";" if name == "TEL" else "?")[0]
    return said.strip()


def _plain(part: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], part).strip()
