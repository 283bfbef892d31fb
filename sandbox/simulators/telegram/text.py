"""Message text as Telegram stores it: cleaned, within limits, with entities in UTF-16 units."""

from __future__ import annotations

import re
from typing import Any

from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.parse_modes import parse

Entity = dict[str, Any]

MAX_TEXT = 4096  # code points after parsing (core.telegram.org/bots/api#sendmessage)
MAX_CAPTION = 1024
MAX_RAW_BYTES = 32_768  # before parsing (official server, get_formatted_text)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
_INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060-\u2064\ufeff]*\Z")
_HINT = re.compile(r"[/@#.]")
_FOUND = re.compile(
    r"(?P<url>\b(?:https?|tg)://[^\s<>\"]+|\b(?:[a-z0-9-]+\.)+(?:com|org|net|io|me|dev|app|info|de|eu)\b(?:/[^\s<>\"]*)?)"
    r"|(?P<email>\b[\w.+-]+@[\w-]+\.[\w.-]+\b)"
    r"|(?P<mention>(?<!\w)@[A-Za-z]\w{3,31}\b)"
    r"|(?P<hashtag>(?<!\w)#\w*[^\W\d]\w*)"
    r"|(?P<bot_command>(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@\w+)?(?![\w/]))",
    re.IGNORECASE,
)
_NAMES = """
    mention hashtag cashtag bot_command url email phone_number bold italic underline strikethrough spoiler blockquote
    expandable_blockquote code pre text_link text_mention custom_emoji date_time
"""
_TYPES = frozenset(_NAMES.split())


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the unit of entity offsets."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def format_text(raw: str, parse_mode: str, entities: list[Entity] | None, limit: int) -> tuple[str, list[Entity]]:
    """Cleaned text and its entities; raises `ApiError` as Telegram does.

    `limit` is `MAX_TEXT` or `MAX_CAPTION`; a caption may be empty, a text may not.
    """
    is_text = limit == MAX_TEXT
    if not raw and is_text:
        raise bad_request("message text is empty")
    if len(raw) * 4 > MAX_RAW_BYTES and len(raw.encode()) > MAX_RAW_BYTES:
        raise bad_request("text is too long")
    text, found = parse(raw, parse_mode) if parse_mode else (raw, _checked(raw, entities or []))
    if not text.isprintable():
        text = _CONTROL.sub(" ", text.replace("\r", ""))
    text, found = _stripped(text, found)
    if is_text and (not text or _INVISIBLE.match(text)):
        raise bad_request("text must be non-empty")
    if len(text) > limit:
        raise bad_request("message is too long" if is_text else "message caption is too long")
    if _HINT.search(text):
        found = _with_detected(text, found)
    found.sort(key=lambda entity: (entity["offset"], -entity["length"]))
    return text, found


def _checked(text: str, entities: list[Entity]) -> list[Entity]:
    if not entities:
        return []
    units = text.encode("utf-16-le", "surrogatepass")
    for entity in entities:
        start, length = entity.get("offset", -1), entity.get("length", 0)
        if start < 0 or length < 0:
            raise bad_request("can't parse entities: receive an entity with incorrect offset or length")
        if 2 * (start + length) > len(units):
            raise bad_request(f"entity beginning at UTF-16 offset {start} ends after the end of the text")
        if _splits_pair(units, start) or _splits_pair(units, start + length):
            raise bad_request(f"entity beginning at UTF-16 offset {start} ends in a middle of a UTF-16 symbol")
        if entity["type"] == "text_link" and not entity.get("url"):
            raise bad_request("ENTITY_URL_INVALID")
    return [dict(entity) for entity in entities if entity["type"] in _TYPES and entity["length"]]


def _splits_pair(units: bytes, offset: int) -> bool:
    return 2 * offset < len(units) and 0xDC <= units[2 * offset + 1] <= 0xDF


def _stripped(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    bare = text.strip()
    if len(bare) == len(text) or not entities:
        return bare, entities
    lead = utf16_length(text[: len(text) - len(text.lstrip())])
    end = utf16_length(bare)
    kept = []
    for entity in entities:
        start = max(0, entity["offset"] - lead)
        stop = min(end, entity["offset"] + entity["length"] - lead)
        if stop > start:
            kept.append({**entity, "offset": start, "length": stop - start})
    return bare, kept


def _with_detected(text: str, entities: list[Entity]) -> list[Entity]:
    """Add links, mentions, hashtags and commands that stand in the plain text."""
    taken = [(entity["offset"], entity["offset"] + entity["length"]) for entity in entities]
    found = list(entities)
    for match in _FOUND.finditer(text):
        offset = utf16_length(text[: match.start()])
        length = utf16_length(match[0])
        if not any(start < offset + length and offset < stop for start, stop in taken):
            found.append({"type": match.lastgroup, "offset": offset, "length": length})
    return found
