"""Texts as Bot API parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.telegram.capabilities import CAPABILITIES, MAX_ENTITIES
from services.telegram.send.entities import entities_of
from shared.channel import Call, Refused
from shared.contract.content import Span
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import split
from shared.kit.words import is_visible

Params = dict[str, Any]


def nothing_visible(text: str) -> Refused:
    """A blank text is no text on any channel; one of invisible characters is none on Telegram."""
    if not text.strip():
        return Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
    return Refused(ErrorCode.CONTENT_REJECTED, "The text has nothing visible.", field="content.text")


def text_fields(text: str, spans: Sequence[Span], names: tuple[str, str]) -> tuple[Params, tuple[Warning, ...]]:
    """A text and its entities under the given parameter names, and what could not be expressed."""
    entities, complete = entities_of(text, spans)
    fields: Params = {names[0]: text}
    details = [] if complete else ["Telegram has no such formatting."]
    if len(entities) > MAX_ENTITIES:
        entities = sorted(entities, key=lambda entity: int(entity["offset"]))[:MAX_ENTITIES]
        details.append(f"Telegram shows the first {MAX_ENTITIES} formattings of a message.")
    if entities:
        fields[names[1]] = entities
    return fields, tuple(Warning(code=WarningCode.FORMATTING_DROPPED, detail=detail) for detail in details)


def text_calls(text: str, spans: Sequence[Span], most: int, *, preview: bool | None = None) -> list[Call]:
    """The messages of a text, at most `most`. Raises Refused for one that shows nothing or takes more."""
    parts = split("Telegram", CAPABILITIES.text, most, text, spans, is_visible)
    if not parts:
        raise nothing_visible(text)
    calls = []
    for index, part in enumerate(parts):
        fields, warnings = text_fields(part.text, part.spans, ("text", "entities"))
        if preview is False:
            fields["link_preview_options"] = {"is_disabled": True}
        if len(parts) > 1 and not index:
            note = Warning(code=WarningCode.TEXT_SPLIT, detail=f"The text goes out as {len(parts)} messages.")
            warnings = (*warnings, note)
        calls.append(Call("sendMessage", fields, warnings=warnings))
    return calls
