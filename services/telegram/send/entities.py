"""Our spans (code points) as Telegram's entities (UTF-16 code units), and the links Telegram opens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.contract.content import Span, SpanKind
from shared.policy.text import Utf16Offsets

ENTITY_OF_KIND = {
    SpanKind.BOLD: "bold",
    SpanKind.ITALIC: "italic",
    SpanKind.UNDERLINE: "underline",
    SpanKind.STRIKETHROUGH: "strikethrough",
    SpanKind.SPOILER: "spoiler",
    SpanKind.CODE: "code",
    SpanKind.PRE: "pre",
    SpanKind.QUOTE: "blockquote",
}
# Telegram finds these in the text by itself, whatever entities a message names.
FOUND_BY_TELEGRAM = frozenset(
    {SpanKind.MENTION, SpanKind.HASHTAG, SpanKind.COMMAND, SpanKind.EMAIL, SpanKind.PHONE, SpanKind.LINK}
)
_LONGEST_NAME = 64  # of a user; core.telegram.org does not say it, its servers cut there
_LONGEST_ADDRESS = 4096  # what a message has room for
_BLANK = re.compile(r"\s")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")  # before digits it is a host and its port


def entities_of(text: str, spans: Sequence[Span]) -> tuple[list[dict[str, Any]], bool]:
    """The entities of a text to send, and whether every span could be expressed."""
    offsets = Utf16Offsets(text)
    entities: list[dict[str, Any]] = []
    complete = True
    for span in spans:
        if span.offset >= len(text):
            continue  # outside of the text: there is nothing it could mark
        named = _entity(text, span)
        if named is None:
            complete = complete and _is_found(text, span)
            continue
        start, end = offsets.units(span.offset), offsets.units(min(span.offset + span.length, len(text)))
        entities.append({"type": named.pop("type"), "offset": start, "length": end - start, **named})
    return entities, complete


def _entity(text: str, span: Span) -> dict[str, Any] | None:
    if plain := ENTITY_OF_KIND.get(span.kind):
        return {"type": plain, "language": span.language} if plain == "pre" and span.language else {"type": plain}
    if span.kind is SpanKind.MENTION and span.user_id and span.user_id.isdigit():
        name = text[span.offset : span.offset + min(span.length, _LONGEST_NAME)]
        return {"type": "text_mention", "user": {"id": int(span.user_id), "is_bot": False, "first_name": name}}
    if span.kind is SpanKind.CUSTOM_EMOJI and span.custom_emoji_id:
        return {"type": "custom_emoji", "custom_emoji_id": span.custom_emoji_id}
    if span.kind in FOUND_BY_TELEGRAM and (link := link_of(span.url)):
        return {"type": "text_link", "url": link}
    return None


def _is_found(text: str, span: Span) -> bool:
    """Whether Telegram marks it without being told: then the text says all that the span does."""
    if span.kind not in FOUND_BY_TELEGRAM or span.user_id is not None:
        return False
    address = re.sub(r"(?i)^(mailto|tel):", "", span.url or "")
    return address in text[span.offset : span.offset + min(span.length, _LONGEST_ADDRESS)]


def link_of(address: str | None) -> str | None:
    """The address as Telegram opens it, by https where it has no scheme; None for one that Telegram does not open.

    Telegram takes whatever is no link of its own for a web address (`LinkManager::check_link_impl` of TDLib): it would
    make a link to shop.example of `mailto:ida@shop.example`, and refuse a message with `tel:` or a host without a dot.
    """
    link = (address or "").strip()
    bare = _SCHEME.match(link) is None
    if bare:
        link = f"https://{link}"
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
        parts.port  # noqa: B018  raises for a port that is none
    except ValueError:
        return None
    if _BLANK.search(link) or (bare and parts.username is not None):
        return None
    own = parts.scheme in ("tg", "ton")
    return link if own or (parts.scheme in ("http", "https") and "." in host.strip(".")) else None
