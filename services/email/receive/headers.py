"""The header of a mail or of one of its parts: fields, encoded words, parameters, ids, dates. Linear and total."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from services.email.receive.charsets import decode

LONGEST_HEAD = 256 * 1024  # bytes of a header that are looked at
LONGEST_FIELD = 16 * 1024  # bytes of one field
_MOST_FIELDS = 2000
_MOST_PARAMETERS = 100
_MOST_IDS = 100
_LONGEST_ID = 900  # characters; a line of a mail has at most 998

# Possessive: a field of a million folds is read in one go, and nothing is kept to go back to.
_FIELD = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
# What mailboxes and archives write above a mail, and blank lines that programs left there.
_ABOVE = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*\r?\n){0,20}(?:>?From [^\n]*\r?\n)?")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# C0, DEL, C1, line and paragraph separators: an encoded word may hold a line break, and it would be one in our header.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANKS = re.compile(r"[ \x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Head:
    """The fields of a header, names in lower case, values as bytes in their order; and where the body starts."""

    __slots__ = ("_values", "body")

    def __init__(self, fields: Iterable[tuple[str, bytes]], body: int) -> None:
        self.body = body
        self._values: dict[str, list[bytes]] = {}
        for name, value in fields:
            self._values.setdefault(name, []).append(value)

    def __bool__(self) -> bool:
        """Whether there is any field."""
        return bool(self._values)

    def first(self, name: str) -> bytes:
        """The topmost field of that name, empty if there is none."""
        values = self._values.get(name)
        return values[0] if values else b""

    def all(self, name: str) -> list[bytes]:
        return self._values.get(name, [])

    def has(self, name: str) -> bool:
        return name in self._values


def read_head(raw: bytes, start: int = 0, end: int | None = None, *, outermost: bool = False) -> Head:
    """The header at `start`. It ends at a blank line, or before the first line that cannot be of a header."""
    end = len(raw) if end is None else end
    at = start
    if outermost and (above := _ABOVE.match(raw, at, end)):
        at = above.end()
    fields: list[tuple[str, bytes]] = []
    while at < end and (found := _FIELD.match(raw, at, end)):
        if at - start < LONGEST_HEAD and len(fields) < _MOST_FIELDS:
            value = found[2][: 4 * LONGEST_FIELD]
            fields.append((found[1].decode("ascii").lower(), _FOLD.sub(b"", value).strip()))
        at = found.end()
    return Head(fields, _after_blank_line(raw, at, end))


def _after_blank_line(raw: bytes, at: int, end: int) -> int:
    for blank in (b"\r\n", b"\n"):
        if raw.startswith(blank, at, end):
            return at + len(blank)
    return at


# ------------------------------------------------------------------------------------------------ encoded words

_WORD_START = re.compile(rb"=\?([A-Za-z0-9_.:+-]{1,60})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?")


def text(value: bytes, charset: str | None = None) -> str:
    """A field's value as people read it: encoded words decoded, on one line, without control characters.

    `charset` is that of the mail, in which some programs write their headers, too.
    """
    if not value:  # most fields that are asked for are not there
        return ""
    value = value[:LONGEST_FIELD]
    if charset and b"=?" not in value and not value.isascii():
        return _BLANKS.sub(" ", decode(value, "utf-8" if _is_utf_8(value) else charset)).strip()
    return _BLANKS.sub(" ", decoded(value)).strip()


def _is_utf_8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decoded(value: bytes) -> str:
    """The value with its encoded words (RFC 2047) decoded, also where they stand in quotes or are not separated.

    Neighbours of one charset are joined before they are decoded: some programs cut characters in two.
    """
    if b"=?" not in value:
        return decode(value)
    said: list[str] = []
    word, charset, at = b"", "", 0
    carried = b""  # base64 that was cut within a quantum
    while (start := _WORD_START.search(value, at)) and (end := value.find(b"?=", start.end())) >= 0:
        between = value[at : start.start()]
        this = start[1].decode("ascii").lower()
        if between.strip() or this != charset:
            said.append(decode(word + _from_base64(carried), charset) if charset else "")
            word, carried = b"", b""
            if between.strip() or not charset:
                said.append(decode(between))
        charset, payload = this, value[start.end() : end]
        if start[2] in b"bB":
            payload = carried + payload.translate(None, b" \t")
            whole = len(payload) // 4 * 4
            carried = payload[whole:] if b"=" not in payload else b""
            word += _from_base64(payload[:whole] if carried else payload)
        else:
            word += _from_base64(carried) + binascii.a2b_qp(payload, header=True)
            carried = b""
        at = end + 2
    if charset:
        said.append(decode(word + _from_base64(carried), charset))
    said.append(decode(value[at:]))
    return "".join(said)


def _from_base64(payload: bytes) -> bytes:
    payload = payload.rstrip(b"=")
    if len(payload) % 4 == 1:
        payload = payload[:-1]
    try:
        return binascii.a2b_base64(payload + b"=" * (-len(payload) % 4))
    except binascii.Error:  # pragma: no cover - the number of characters is right by now, others are skipped
        return b""


# --------------------------------------------------------------------------------------------------- parameters

_PARAMETER = re.compile(rb';\s*([^=;\s"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")


def parameters(value: bytes) -> tuple[str, dict[str, str]]:
    """The word in front of a structured field in lower case, and its parameters: also in pieces (RFC 2231)."""
    value = value[:LONGEST_FIELD]
    word = value.partition(b";")[0].strip().decode("ascii", "replace").lower()
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, bytes]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(value)):
        if count == _MOST_PARAMETERS:
            break
        name = found[1].decode("ascii", "replace").lower()
        said = _ESCAPE.sub(rb"\1", found[2]) if found[2] is not None else found[3].strip()
        extended = _EXTENDED.fullmatch(name)
        if extended and (extended[2] or extended[3]):
            pieces.setdefault(extended[1], {})[int(extended[2] or 0)] = (bool(extended[3]), said)
        else:
            plain.setdefault(name, text(said))
    return word, plain | {name: _joined(numbered) for name, numbered in pieces.items()}


def _joined(numbered: dict[int, tuple[bool, bytes]]) -> str:
    charset, whole = "", b""
    for number, (encoded, piece) in sorted(numbered.items()):
        said = piece
        if encoded and number == 0 and piece.count(b"'") >= 2:
            declared, _, said = piece.split(b"'", 2)
            charset = declared.decode("ascii", "replace")
        whole += unquote_to_bytes(said) if encoded else said
    return _BLANKS.sub(" ", decode(whole, charset or None)).strip()


# ------------------------------------------------------------------------------------------------- ids and dates

_ID = re.compile(rb"<([^<>]{1,2000})>|([^\s<>,;]{1,1000}@[^\s<>,;]{1,1000})")


def message_ids(value: bytes) -> list[str]:
    """The ids in a field, without angle brackets: read from its raw text, since parsers cut ids with blanks in them."""
    found: dict[str, None] = {}
    for match in _ID.finditer(value[:LONGEST_FIELD]):
        one = _CONTROLS.sub("", decode(match[1] if match[1] is not None else match[2])).replace(" ", "")
        if one and len(one) <= _LONGEST_ID:
            found.setdefault(one)
        if len(found) == _MOST_IDS:
            break
    return list(found)


def message_id(value: bytes) -> str | None:
    """The one id of a Message-ID field, as good as it can be told; None where the field is empty."""
    if ids := message_ids(value):
        return ids[0]
    return text(value).replace(" ", "").strip("<>")[:_LONGEST_ID] or None


def date(value: bytes) -> datetime | None:
    """A date in UTC, by RFC 5322 or ISO 8601; None for what is none. Without a zone it is taken for UTC."""
    said = text(value[:200])
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(said)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            continue
    return None
