"""Telegram's entities (UTF-16 code units) as our spans (code points)."""

from __future__ import annotations

from collections.abc import Iterable

from services.telegram.receive import wire
from shared.contract.content import Span, SpanKind
from shared.policy.text import Utf16Offsets

# core.telegram.org/bots/api#messageentity; a type that is not here is kept as `other`.
KIND_OF_ENTITY = {
    "bold": SpanKind.BOLD,
    "italic": SpanKind.ITALIC,
    "underline": SpanKind.UNDERLINE,
    "strikethrough": SpanKind.STRIKETHROUGH,
    "spoiler": SpanKind.SPOILER,
    "code": SpanKind.CODE,
    "pre": SpanKind.PRE,
    "blockquote": SpanKind.QUOTE,
    "expandable_blockquote": SpanKind.QUOTE,
    "url": SpanKind.LINK,
    "text_link": SpanKind.LINK,
    "mention": SpanKind.MENTION,
    "text_mention": SpanKind.MENTION,
    "hashtag": SpanKind.HASHTAG,
    "bot_command": SpanKind.COMMAND,
    "email": SpanKind.EMAIL,
    "phone_number": SpanKind.PHONE,
    "custom_emoji": SpanKind.CUSTOM_EMOJI,
}


def spans_of(text: str, entities: Iterable[wire.Entity] | None) -> tuple[Span, ...]:
    """The spans of a received text. An entity that reaches out of the text is clipped, an empty one left out."""
    if not entities:
        return ()
    offsets = Utf16Offsets(text)
    found: list[Span] = []
    for entity in entities:
        if entity.offset is None or entity.length is None or entity.length < 1:
            continue
        start = offsets.code_points(max(entity.offset, 0))
        end = offsets.code_points(max(entity.offset + entity.length, 0))
        if start < end:
            found.append(_span(entity, start, end - start))
    return tuple(found)


def _span(entity: wire.Entity, offset: int, length: int) -> Span:
    user = entity.user
    return Span(
        kind=KIND_OF_ENTITY.get(entity.type or "", SpanKind.OTHER),
        offset=offset,
        length=length,
        url=entity.url,
        language=entity.language,
        user_id=str(user.id) if user and user.id is not None else None,
        custom_emoji_id=entity.custom_emoji_id,
    )
