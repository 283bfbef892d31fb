"""What the people on the other side do: write, send files, edit, react, press buttons, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, InstanceOf

from sandbox.simulators.common import ControlError
from sandbox.simulators.telegram.bodies import Upload
from sandbox.simulators.telegram.media import make_media
from sandbox.simulators.telegram.methods.call import caption_of
from sandbox.simulators.telegram.methods.sending import without_reply
from sandbox.simulators.telegram.model import Conversation, Json, Message, Person
from sandbox.simulators.telegram.setup import Setup
from sandbox.simulators.telegram.text import MAX_TEXT, format_text
from sandbox.simulators.telegram.updates import CALLBACK_LIFE
from sandbox.simulators.telegram.world import Bot, CallbackQuery, World

FileKind = Literal["photo", "audio", "document", "video", "animation", "voice", "video_note", "sticker"]


class Customer:
    """Every operation names the bot and the person; `chat_id` only when they meet in a group.

    With `connection_id` the person writes to a business account instead. `fields` are merged over the `Message`
    object, so any content kind can be sent. Raises `ControlError`.
    """

    def __init__(self, world: World, setup: Setup) -> None:
        self._world = world
        self._setup = setup

    def start(self, bot_id: int, person_id: int, payload: str = "") -> Json:
        """Press Start, perhaps from a deep link; a blocked bot is unblocked by it."""
        conversation = self._world.conversation(bot_id, self._setup.find_person(person_id))
        if conversation.access == "blocked":
            self._setup.block(bot_id, person_id, blocked=False)
        return self.send(bot_id, person_id, f"/start {payload}".strip())

    def send(
        self,
        bot_id: int,
        person_id: int,
        text: str = "",
        chat_id: int | None = None,
        thread_id: int | None = None,
        reply_to: int | None = None,
        connection_id: str | None = None,
        fields: Json | None = None,
    ) -> Json:
        """Write a message; returns the `Message` object the bot receives."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, chat_id, connection_id)
        content: Json = {}
        if text:
            content["text"], entities = format_text(text, "", None, MAX_TEXT)
            if entities:
                content["entities"] = entities
        if thread_id is not None:
            content |= {"message_thread_id": thread_id, "is_topic_message": True}
        content |= fields or {}
        return self._say(conversation, person, content, reply_to)

    async def send_file(
        self,
        bot_id: int,
        person_id: int,
        kind: FileKind,
        file: InstanceOf[Upload],
        caption: str = "",
        options: Json | None = None,
        chat_id: int | None = None,
        reply_to: int | None = None,
        connection_id: str | None = None,
        fields: Json | None = None,
    ) -> Json:
        """Send a file; `options` are duration, width, height, emoji and the like."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, chat_id, connection_id)
        stored = await make_media(self._world.files, bot_id, kind, file, options or {})
        content = {**stored.content, **caption_of({"caption": caption}), **(fields or {})}
        return self._say(conversation, person, content, reply_to)

    async def album(
        self,
        bot_id: int,
        person_id: int,
        kind: Literal["photo", "video", "document", "audio"],
        files: Annotated[list[InstanceOf[Upload]], Field(min_length=2, max_length=10)],
        caption: str = "",
        chat_id: int | None = None,
        connection_id: str | None = None,
    ) -> list[Json]:
        """Send several files at once; the caption is on the first."""
        group = {"media_group_id": str(13_000_000_000_000_000 + self._world.next_id())}
        captions = [caption] + [""] * (len(files) - 1)
        return [
            await self.send_file(bot_id, person_id, kind, file, text, {}, chat_id, None, connection_id, fields=group)
            for file, text in zip(files, captions, strict=True)
        ]

    def edit(
        self,
        bot_id: int,
        person_id: int,
        message_id: int,
        text: str = "",
        chat_id: int | None = None,
        connection_id: str | None = None,
        fields: Json | None = None,
    ) -> Json:
        """Edit an own message: its text, or its caption when it has media, or any field."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, chat_id, connection_id)
        message = self._message(conversation, message_id)
        if message.outgoing:
            raise ControlError(400, "a customer edits only their own messages")
        changes: Json = {}
        if text:
            name = "text" if "text" in message.wire else "caption"
            changes[name], entities = format_text(text, "", None, MAX_TEXT)
            changes["entities" if name == "text" else "caption_entities"] = entities
        old = message.wire
        new = {**old, **changes, **(fields or {}), "edit_date": int(self._world.clock.now())}
        message.earlier = (*message.earlier, old)[-10:]
        message.wire = {name: value for name, value in new.items() if value != []}
        self._world.announce("edit", conversation, message=message.wire, outgoing=False)
        self._emit(conversation, message.wire, edited=True)
        return message.wire

    def react(self, bot_id: int, person_id: int, message_id: int, emoji: list[str], chat_id: int | None = None) -> None:
        """Set the person's reactions to a message; an empty list takes them back."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, chat_id, None)
        message = self._message(conversation, message_id)
        before = (message.reactions or {}).get(str(person_id), [])
        after = [{"type": "emoji", "emoji": one} for one in emoji]
        message.reactions = {**(message.reactions or {}), str(person_id): after}
        payload = {
            "chat": conversation.chat,
            "message_id": message_id,
            "user": person.as_user(),
            "date": int(self._world.clock.now()),
            "old_reaction": before,
            "new_reaction": after,
        }
        self._world.announce("reaction", conversation, message_id=message_id, actor=str(person_id), reactions=after)
        self._bot(conversation).updates.emit("message_reaction", payload, f"{conversation.chat_id}:reactions")

    def press(self, bot_id: int, person_id: int, message_id: int, data: str, chat_id: int | None = None) -> str:
        """Press the inline button with this `callback_data`; returns the id of the callback query."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, chat_id, None)
        message = self._message(conversation, message_id)
        rows = message.wire.get("reply_markup", {}).get("inline_keyboard", [])
        if not any(button.get("callback_data") == data for row in rows for button in row):
            raise ControlError(404, "the message has no such button")
        query_id = str(4_000_000_000_000_000_000 + self._world.next_id())
        queries = self._world.callback_queries
        queries[query_id] = CallbackQuery(bot_id, self._world.clock.now(), conversation)
        if len(queries) > self._world.limits.callback_queries:
            del queries[next(iter(queries))]
        payload = {
            "id": query_id,
            "from": person.as_user(),
            "message": message.wire,
            "chat_instance": str(conversation.chat_id),
            "data": data,
        }
        lane = f"{person_id}:callbacks"
        self._bot(conversation).updates.emit("callback_query", payload, lane, life=CALLBACK_LIFE)
        return query_id

    def delete(
        self,
        bot_id: int,
        person_id: int,
        message_ids: list[int],
        connection_id: str | None = None,
    ) -> None:
        """Delete messages for both sides; a bot hears of it only from a business account."""
        person = self._setup.find_person(person_id)
        conversation = self._conversation(bot_id, person, None, connection_id)
        for message_id in message_ids:
            self._message(conversation, message_id).deleted = True
            self._world.announce("delete", conversation, message_id=message_id)
        if connection_id:
            payload = {
                "business_connection_id": connection_id,
                "chat": conversation.chat,
                "message_ids": message_ids,
            }
            lane = f"{conversation.chat_id}:business"
            self._bot(conversation).updates.emit("deleted_business_messages", payload, lane)

    def owner_sends(self, connection_id: str, chat_id: int, text: str = "", fields: Json | None = None) -> Json:
        """The owner of a business account writes to a customer by hand; the bot gets an echo."""
        connection = self._setup.find_connection(connection_id)
        person = self._setup.find_person(chat_id)
        conversation = self._world.conversation(connection.bot_id, person, connection_id)
        content: Json = {"text": text} if text else {}
        return self._say(conversation, connection.owner, {**content, **(fields or {})}, None)

    def update(self, bot_id: int, update: Json, lane: str = "raw") -> int:
        """Deliver any JSON object as an update; returns its `update_id`."""
        return self._setup.find_bot(bot_id).updates.emit_raw(update, lane)

    def _conversation(
        self, bot_id: int, person: Person, chat_id: int | None, connection_id: str | None
    ) -> Conversation:
        self._setup.find_bot(bot_id)
        if connection_id:
            if self._setup.find_connection(connection_id).bot_id != bot_id:
                raise ControlError(400, "the business connection belongs to another bot")
            return self._world.conversation(bot_id, person, connection_id)
        if chat_id is not None and chat_id != person.id:
            return self._world.conversation(bot_id, self._setup.find_group(chat_id))
        conversation = self._world.conversation(bot_id, person)
        if conversation.access == "blocked":
            raise ControlError(409, "the person has blocked the bot")
        conversation.access = "open"
        return conversation

    def _message(self, conversation: Conversation, message_id: int) -> Message:
        message = conversation.find(message_id)
        if message is None:
            raise ControlError(404, "no such message")
        return message

    def _bot(self, conversation: Conversation) -> Bot:
        return self._setup.find_bot(conversation.bot_id)

    def _say(self, conversation: Conversation, person: Person, content: Json, reply_to: int | None) -> Json:
        wire: Json = {
            "message_id": next(conversation.message_ids),
            "from": person.as_user(),
            "chat": conversation.chat,
            "date": int(self._world.clock.now()),
        }
        if conversation.group is not None and conversation.group.type == "channel":
            del wire["from"]
            wire["sender_chat"] = conversation.chat
        if conversation.connection_id is not None:
            connection = self._world.connections[conversation.connection_id]
            wire["business_connection_id"] = connection.id
            if person is not connection.owner:
                connection.active[person.id] = self._world.clock.now()
        if reply_to is not None and (target := conversation.find(reply_to)):
            wire["reply_to_message"] = without_reply(target.wire)
        wire |= content
        self._world.keep(conversation, Message(wire, outgoing=False))
        self._emit(conversation, wire, edited=False)
        return wire

    def _emit(self, conversation: Conversation, wire: Json, edited: bool) -> None:
        bot = self._bot(conversation)
        if conversation.group is not None and bot.privacy_mode and not _addressed(bot, wire):
            return
        kind, lane = "message", f"{conversation.chat_id}:messages"
        if conversation.connection_id is not None:
            kind, lane = "business_message", f"{conversation.chat_id}:business"
        elif conversation.group is not None and conversation.group.type == "channel":
            kind = "channel_post"
        bot.updates.emit(f"edited_{kind}" if edited else kind, wire, lane)


def _addressed(bot: Bot, wire: Json) -> bool:
    """What a bot in privacy mode sees of a group: commands and replies to it."""
    replied = wire.get("reply_to_message", {}).get("from", {}).get("id") == bot.id
    return replied or str(wire.get("text", "")).startswith("/")
