"""Rich messages (Bot API 10.1): nested blocks flattened to text, spans and files. The blocks are raw JSON."""

from __future__ import annotations

from typing import Any

from services.telegram.receive import wire
from services.telegram.receive.attachments import Attachments
from shared.contract.content import AttachmentKind, Span, SpanKind

# core.telegram.org/bots/api#richtext; the other kinds are their text and nothing else.
_SPAN_OF = {
    "bold": SpanKind.BOLD,
    "italic": SpanKind.ITALIC,
    "underline": SpanKind.UNDERLINE,
    "strikethrough": SpanKind.STRIKETHROUGH,
    "spoiler": SpanKind.SPOILER,
    "code": SpanKind.CODE,
    "mathematical_expression": SpanKind.CODE,
    "url": SpanKind.LINK,
    "text_mention": SpanKind.MENTION,
    "mention": SpanKind.MENTION,
    "hashtag": SpanKind.HASHTAG,
    "bot_command": SpanKind.COMMAND,
    "email_address": SpanKind.EMAIL,
    "phone_number": SpanKind.PHONE,
    "custom_emoji": SpanKind.CUSTOM_EMOJI,
}
_BLOCK_SPAN = {
    "heading": SpanKind.BOLD,
    "pre": SpanKind.PRE,
    "mathematical_expression": SpanKind.CODE,
    "blockquote": SpanKind.QUOTE,
    "expandable_blockquote": SpanKind.QUOTE,
    "pullquote": SpanKind.QUOTE,
}
_FILES = {
    "audio": ("audio", AttachmentKind.AUDIO, None),
    "document": ("document", AttachmentKind.DOCUMENT, None),
    "video": ("video", AttachmentKind.VIDEO, "video/mp4"),
    "voice_note": ("voice_note", AttachmentKind.VOICE, "audio/ogg"),
}
_ADDRESSES = (("email_address", "mailto:"), ("phone_number", "tel:"), ("username", "https://t.me/"))
_MAX_DEPTH = 64  # deeper nesting is nobody's message


class Flattened:
    """The text under construction, one block a paragraph."""

    def __init__(self, attachments: Attachments) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._attachments = attachments
        self._glued = False  # the next block goes on in the same line
        self.spans: list[Span] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def blocks(self, value: Any, depth: int = 0) -> None:
        """Add a list of blocks."""
        if not isinstance(value, list) or depth > _MAX_DEPTH:
            return
        for block in value:
            if isinstance(block, dict):
                self._block(block, depth)

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    def _paragraph(self) -> None:
        if self._length and not self._glued:
            self._add("\n")
        self._glued = False

    def _mark(self, kind: SpanKind | None, start: int, **details: str | None) -> None:
        if kind is not None and self._length > start:
            self.spans.append(Span(kind=kind, offset=start, length=self._length - start, **details))

    def _block(self, block: dict[str, Any], depth: int) -> None:
        kind = block.get("type")
        self._file(kind, block)
        has_text = any(block.get(name) for name in ("text", "summary", "expression"))
        if has_text or kind in ("map", "divider", "blockquote", "buttons"):
            self._paragraph()
        start = self._length
        self._glued = kind == "blockquote"
        if kind == "divider":
            self._add("———")
        elif kind == "map":
            self._add(_place(block.get("location")))
        elif kind == "list":
            self._list(block.get("items"), depth)
        elif kind == "table":
            self._table(block.get("cells"), depth)
        elif kind == "buttons":
            self._buttons(block.get("buttons"), depth)
        for name in ("summary", "text", "expression"):
            self.rich_text(block.get(name), depth + 1)
        if kind == "details":
            self._mark(SpanKind.BOLD, start)
        self.blocks(block.get("blocks"), depth + 1)
        self._mark(_BLOCK_SPAN.get(str(kind)), start, language=_string(block.get("language")))
        for note in (block.get("caption"), block.get("credit")):
            self._caption(note, depth)

    def _caption(self, note: Any, depth: int) -> None:
        lines = (note.get("text"), note.get("credit")) if isinstance(note, dict) and "type" not in note else (note,)
        for line in lines:
            if line:
                self._paragraph()
                self.rich_text(line, depth + 1)

    def _list(self, items: Any, depth: int) -> None:
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, dict):
                continue
            label = _string(item.get("label")) or "•"
            if item.get("has_checkbox"):
                label = "☑" if item.get("is_checked") else "☐"
            self._paragraph()
            self._add(f"{label} ")
            self._glued = True
            self.blocks(item.get("blocks"), depth + 1)
            self._glued = False

    def _table(self, rows: Any, depth: int) -> None:
        for row in rows if isinstance(rows, list) else ():
            self._paragraph()
            for index, cell in enumerate(row if isinstance(row, list) else ()):
                if index:
                    self._add(" | ")
                self.rich_text(cell.get("text") if isinstance(cell, dict) else None, depth + 1)

    def _buttons(self, buttons: Any, depth: int) -> None:
        for index, button in enumerate(buttons if isinstance(buttons, list) else ()):
            if index:
                self._add(" | ")
            self._button(button, depth + 1)

    def _button(self, button: Any, depth: int) -> None:
        """The label of a button, a link where it opens an address."""
        if isinstance(button, dict):
            start, url = self._length, _string(button.get("url"))
            self.rich_text(button.get("text"), depth + 1)
            self._mark(SpanKind.LINK if url else None, start, url=url)

    def rich_text(self, value: Any, depth: int = 0) -> None:
        """Add a text with its formatting."""
        if depth > _MAX_DEPTH:
            return
        if isinstance(value, str):
            self._add(value)
        elif isinstance(value, list):
            for piece in value:
                self.rich_text(piece, depth + 1)
        elif isinstance(value, dict):
            start, first = self._length, len(self._pieces)
            for name in ("text", "alternative_text", "expression"):
                self.rich_text(value.get(name), depth + 1)
            self._button(value.get("button"), depth + 1)
            user = value.get("user")
            self._mark(
                _SPAN_OF.get(str(value.get("type"))),
                start,
                url=_string(value.get("url")) or _address(value, "".join(self._pieces[first:])),
                user_id=_string(user.get("id")) if isinstance(user, dict) else None,
                custom_emoji_id=_string(value.get("custom_emoji_id")),
            )

    def _file(self, kind: Any, block: dict[str, Any]) -> None:
        if kind == "photo":
            self._attachments.add_photo(wire.Message.model_validate({"photo": block.get("photo")}).photo)
        elif kind == "animation" and isinstance(block.get("animation"), dict):
            self._attachments.add_animation(wire.File.model_validate(block["animation"]))
        elif isinstance(kind, str) and kind in _FILES:
            name, attachment_kind, mime_type = _FILES[kind]
            if isinstance(block.get(name), dict):
                self._attachments.add(attachment_kind, wire.File.model_validate(block[name]), mime_type)


def button_label(value: Any, callback_data: str, depth: int = 0) -> str | None:
    """What is written on the button with this data, wherever it is in a rich message."""
    if depth > 4 * _MAX_DEPTH or not isinstance(value, dict | list):
        return None
    if isinstance(value, dict) and value.get("callback_data") == callback_data:
        flattened = Flattened(Attachments())
        flattened.rich_text(value.get("text"))
        return flattened.text or None
    nested = value.values() if isinstance(value, dict) else value
    return next(filter(None, (button_label(entry, callback_data, depth + 1) for entry in nested)), None)


def _address(value: dict[str, Any], text: str) -> str | None:
    """Where an email address, a number or a mention leads, when its text does not say it."""
    for name, prefix in _ADDRESSES:
        address = _string(value.get(name))
        if address and value.get("type") in (name, "mention"):
            return None if address in text else f"{prefix}{address}"
    return None


def _string(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _place(value: Any) -> str:
    place = wire.Location.model_validate(value) if isinstance(value, dict) else None
    return f"Location: {place.latitude}, {place.longitude}" if place else "Location"
