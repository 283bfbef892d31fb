"""One Bot API request under way: typed access to its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.simulators.telegram.access import conversation_of, reach
from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.model import Conversation, Json, Message
from sandbox.simulators.telegram.text import MAX_CAPTION, MAX_TEXT, Entity, format_text
from sandbox.simulators.telegram.world import Bot, World


@dataclass(frozen=True, slots=True)
class Answer:
    """A result with the remark Telegram adds to it."""

    result: object
    description: str


@dataclass(slots=True)
class Call:
    """The parameters, typed by the validators; without them each accessor converts what forms send as text."""

    world: World
    bot: Bot
    parameters: Json

    def text(self, name: str) -> str:
        """A string, empty when absent."""
        value = self.parameters.get(name, "")
        return value if isinstance(value, str) else str(value)

    def integer(self, name: str, default: int = 0) -> int:
        """An integer; raises `ApiError` when it is none."""
        value = self.parameters.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad_request(f"can't parse {name}: must be of type Number") from None

    def flag(self, name: str) -> bool:
        """A boolean, false when absent."""
        value = self.parameters.get(name, False)
        return value.lower() in ("true", "yes", "1") if isinstance(value, str) else bool(value)

    def json(self, name: str) -> Any:
        """An object or array, or None when absent; raises `ApiError` for broken JSON."""
        value = self.parameters.get(name)
        if isinstance(value, str):
            try:
                return orjson.loads(value) if value else None
            except orjson.JSONDecodeError:
                raise bad_request(f"can't parse {name} JSON object") from None
        return value

    def chat(self, name: str = "chat_id") -> object:
        """A chat id as integer, or @username."""
        value = self.parameters.get(name)
        return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value

    @property
    def connection_id(self) -> str | None:
        """`business_connection_id`, or None."""
        return self.text("business_connection_id") or None

    def target(self) -> Conversation:
        """Where to send; raises `ApiError` when the bot may not."""
        conversation = reach(self.world, self.bot, self.chat(), self.connection_id)
        thread = self.parameters.get("message_thread_id")
        if thread is not None:
            topics = conversation.group.topics if conversation.group else None
            if topics is None or self.integer("message_thread_id") not in topics:
                raise bad_request("message thread not found")
        return conversation

    def message(self, what: str) -> tuple[Conversation, Message]:
        """The message to `what` ("edit", "delete", "react"); raises `ApiError` when it is not there."""
        if "inline_message_id" in self.parameters:
            raise bad_request("MESSAGE_ID_INVALID")
        conversation = conversation_of(self.world, self.bot, self.chat(), self.connection_id)
        message = conversation.find(self.integer("message_id"))
        if message is None:
            raise bad_request(f"message to {what} not found")
        return conversation, message

    def formatted(self, name: str, entities: str) -> tuple[str, list[Entity]]:
        """Text or caption with its entities."""
        limit = MAX_TEXT if name == "text" else MAX_CAPTION
        found = self.json(entities)
        return format_text(self.text(name), self.text("parse_mode"), found, limit)


def caption_of(options: Json) -> Json:
    """The caption fields of a message from the options of a media item; raises `ApiError`."""
    raw = options.get("caption") or ""
    if not raw:
        return {}
    text, entities = format_text(raw, options.get("parse_mode") or "", options.get("caption_entities"), MAX_CAPTION)
    caption: Json = {"caption": text} if text else {}
    if entities and text:
        caption["caption_entities"] = entities
    if options.get("show_caption_above_media"):
        caption["show_caption_above_media"] = True
    return caption
