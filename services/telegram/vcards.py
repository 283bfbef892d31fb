"""The vCard beside a shared contact: what it says that Telegram's own fields have no room for. RFC 6350 and older."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterator

_FOLD = re.compile(r"\r?\n[ \t]")
_SOFT_BREAK = re.compile(r"=\r?\n")  # of quoted-printable, in vCard 2.1
_SEPARATOR = re.compile(r"(?<!\\);")
_ESCAPED = re.compile(r"\\(.)")
_FIELD_OF = {
    "FN": "name",
    "TEL": "phones",
    "EMAIL": "emails",
    "URL": "urls",
    "ADR": "addresses",
    "ORG": "organisation",
    "BDAY": "birthday",
}
_IN_PARTS = ("addresses", "organisation")
_SCHEME = re.compile(r"(?i)^(tel|mailto):")


def vcard_fields(vcard: str) -> dict[str, list[str]]:
    """The fields of a `ContactCard` that a vCard fills, each with its values in their order."""
    found: dict[str, dict[str, None]] = {}
    for name, value in _properties(vcard):
        found.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in found.items()}


def _properties(vcard: str) -> Iterator[tuple[str, str]]:
    text = _FOLD.sub("", vcard)
    if "QUOTED-PRINTABLE" in text.upper():
        text = _SOFT_BREAK.sub("", text)
    for line in text.splitlines():
        head, _, value = line.partition(":")
        kind, *parameters = head.upper().split(";")
        name = _FIELD_OF.get(kind.rpartition(".")[2].strip())  # a group may stand before it: item1.EMAIL
        if name is None:
            continue
        if any("QUOTED-PRINTABLE" in parameter for parameter in parameters):
            value = quopri.decodestring(value.encode()).decode("utf-8", "replace")
        parts = _SEPARATOR.split(value) if name in _IN_PARTS else [value]
        parts = [_ESCAPED.sub(_unescaped, part).strip() for part in parts]
        if said := _SCHEME.sub("", ", ".join(filter(None, parts))):
            yield name, said


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] in "nN" else match[1]
