"""The people, chats, bots and messages of the simulated Telegram."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple

from sandbox.simulators.telegram.bodies import Upload

Json = dict[str, Any]
Access = Literal["new", "open", "blocked"]
Membership = Literal["member", "administrator", "restricted", "left", "kicked"]


@dataclass(slots=True, eq=False)
class Person:
    """A Telegram user who is no bot."""

    id: int
    first_name: str
    last_name: str = ""
    username: str = ""
    language_code: str = ""
    deactivated: bool = False
    forbids_voice: bool = False
    photos: list[Upload] = field(default_factory=list)

    def as_user(self) -> Json:
        """The `User` object."""
        return {"id": self.id, "is_bot": False, **self._names()} | (
            {"language_code": self.language_code} if self.language_code else {}
        )

    def as_chat(self) -> Json:
        """The `Chat` object of the private chat with this person."""
        return {"id": self.id, **self._names(), "type": "private"}

    def _names(self) -> Json:
        names = {"first_name": self.first_name, "last_name": self.last_name, "username": self.username}
        return {name: value for name, value in names.items() if value}


@dataclass(slots=True, eq=False)
class Group:
    """A group, supergroup or channel; `bots` holds the membership of each bot, `topics` the forum's threads."""

    id: int
    type: Literal["group", "supergroup", "channel"]
    title: str
    username: str = ""
    topics: set[int] | None = None
    bots: dict[int, Membership] = field(default_factory=dict)
    deleted: bool = False
    migrated_to: int | None = None

    def as_chat(self) -> Json:
        """The `Chat` object."""
        chat: Json = {"id": self.id, "title": self.title, "type": self.type}
        if self.username:
            chat["username"] = self.username
        if self.topics is not None:
            chat["is_forum"] = True
        return chat


@dataclass(slots=True, eq=False)
class Message:
    """One message of a conversation. `wire` is the `Message` object; an edit replaces it and keeps the old one."""

    wire: Json
    outgoing: bool
    keyboard: Json | None = None
    earlier: tuple[Json, ...] = ()
    reactions: dict[str, list[Json]] | None = None
    deleted: bool = False
    read: bool = False

    @property
    def id(self) -> int:
        """`message_id`."""
        return int(self.wire["message_id"])


class Sent(NamedTuple):
    """What a chat received from a bot, for counting duplicates and losses.

    `text` is the text or caption, `marker` what `mark` hid in it, `file` the SHA-256 of the file sent.
    """

    message_id: int
    kind: str
    text: str
    marker: str
    file: str
    at: float


@dataclass(slots=True, eq=False)
class Conversation:
    """What one bot (directly or through a business connection) and one chat said to each other.

    `access` is for private chats: `new` until the person starts the bot, `blocked` when the person blocked it.
    `message_ids` is shared by all chats of a business account, whose message ids are unique across them.
    """

    bot_id: int
    chat: Json
    connection_id: str | None = None
    group: Group | None = None
    person: Person | None = None
    access: Access = "new"
    message_ids: Iterator[int] = field(default_factory=lambda: count(1))
    messages: dict[int, Message] = field(default_factory=dict)
    actions: dict[int | None, tuple[str, float]] = field(default_factory=dict)
    sent: deque[Sent] = field(default_factory=deque)

    @property
    def chat_id(self) -> int:
        """Identifier of the chat."""
        return int(self.chat["id"])

    def find(self, message_id: object) -> Message | None:
        """The message, unless it is unknown or deleted."""
        message = self.messages.get(message_id) if isinstance(message_id, int) else None
        return None if message is None or message.deleted else message


@dataclass(slots=True, eq=False)
class Connection:
    """A business account that lets a bot act for it; `active` holds when each customer last wrote."""

    id: str
    bot_id: int
    owner: Person
    date: int
    rights: dict[str, bool]
    is_enabled: bool = True
    active: dict[int, float] = field(default_factory=dict)
    message_ids: Iterator[int] = field(default_factory=lambda: count(1))

    def as_update(self) -> Json:
        """The `BusinessConnection` object."""
        return {
            "id": self.id,
            "user": self.owner.as_user(),
            "user_chat_id": self.owner.id,
            "date": self.date,
            "rights": {name: True for name, granted in self.rights.items() if granted},
            "is_enabled": self.is_enabled,
        }
