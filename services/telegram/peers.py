"""The names of Telegram conversations and messages: peers, references, addresses.

A chat is a conversation; a business connection, a forum topic and a topic of channel direct messages each make a
conversation of their own in it. A message id counts within its chat, and a business chat counts for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.contract import ids

CHANNEL = "telegram"
GUEST = "guest"  # the kind of a conversation in a chat that the bot is no member of

_PEER = re.compile(
    r"(?P<chat>-?[0-9]{1,19}|@\w{3,64})"
    r"(?::business:(?P<business>\S+?))?(?::topic:(?P<topic>[0-9]{1,19}))?(?::direct:(?P<direct>-?[0-9]{1,19}))?(?P<guest>:guest)?"
)
_MESSAGE = re.compile(
    r"(?:(?P<chat>-?[0-9]{1,19}|@\w{3,64})(?::business:(?P<business>[^:\s]+))?:)?(?P<number>[0-9]{1,18})"
)


class Peer(NamedTuple):
    """The other side: a chat, and what sets a conversation apart in it. Ids as strings, as everywhere."""

    chat_id: str
    business_connection_id: str | None = None
    topic_id: str | None = None
    direct_topic_id: str | None = None
    kind: str | None = None  # private, group, channel; business for a business chat, guest

    def __str__(self) -> str:
        business = f":business:{self.business_connection_id}" if self.business_connection_id else ""
        topic = f":topic:{self.topic_id}" if self.topic_id else ""
        direct = f":direct:{self.direct_topic_id}" if self.direct_topic_id else ""
        guest = ":guest" if self.kind == GUEST else ""
        return f"{self.chat_id}{business}{topic}{direct}{guest}"

    def message_ref(self, message_id: int | str) -> str:
        """The name of a message that is unique within the bot; topics share the ids of their chat."""
        if self.business_connection_id:
            return f"{self.chat_id}:business:{self.business_connection_id}:{message_id}"
        if self.kind == GUEST:  # ids of messages are others for a guest
            return f"{self.chat_id}:guest:{message_id}"
        return f"{self.chat_id}:{message_id}"

    @property
    def is_private(self) -> bool:
        """Whether it is a chat between a person and the bot itself."""
        if self.business_connection_id or self.direct_topic_id:
            return False
        return self.kind == "private" or (self.kind is None and self.chat_id.isdigit())

    @property
    def is_group(self) -> bool:
        """Whether several people write in it. Chats of 2015 do not say what they are: a group's id is negative."""
        if self.business_connection_id or self.direct_topic_id:
            return False
        return self.kind == "group" or (self.kind is None and self.chat_id.startswith("-"))

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names to look up. A group may have had another id: then its conversation has kept that one."""
        return (str(self),) if self.kind == "group" else ()

    def address(self) -> dict[str, str]:
        """What a send to this conversation needs, under the Bot API's own parameter names."""
        named = {
            "chat_id": self.chat_id,
            "business_connection_id": self.business_connection_id,
            "message_thread_id": self.topic_id,
            "direct_messages_topic_id": self.direct_topic_id,
            "kind": self.kind,
        }
        return {name: value for name, value in named.items() if value}


def kind_of_chat(chat_type: str | None, business_connection_id: str | None = None) -> str | None:
    """The kind of a conversation; groups of either sort are the same to an inbox."""
    if business_connection_id:
        return "business"
    return "group" if chat_type == "supergroup" else chat_type


def parse_peer(value: str) -> Peer | None:
    """The peer that `str(peer)` wrote, or None for anything else."""
    match = _PEER.fullmatch(value)
    if match is None:
        return None
    kind = "business" if match["business"] else GUEST if match["guest"] else None
    return Peer(match["chat"], match["business"], match["topic"], match["direct"], kind)


def peer_of_address(address: Mapping[str, str]) -> Peer | None:
    """The peer of what `Peer.address` wrote, or None where it names no chat."""
    if not address.get("chat_id"):
        return None
    return Peer(
        address["chat_id"],
        address.get("business_connection_id"),
        address.get("message_thread_id"),
        address.get("direct_messages_topic_id"),
        address.get("kind"),
    )


def message_number(reference: str, peer: Peer | None = None) -> int | None:
    """The Bot API's message id in a reference or a bare id; None for what has no such id (an ephemeral message).

    None also for a message of another chat than the peer's, or of the same contact's other chat (with the bot itself,
    with a business): there, the same number is another message.
    """
    match = _MESSAGE.fullmatch(reference)
    if match is None:
        return None
    chats = {match["chat"] or "", peer.chat_id if peer else ""}
    if len(chats) > 1 and all(chat.lstrip("-").isdigit() for chat in chats):
        return None
    if peer and match["chat"] and bool(match["business"]) != bool(peer.business_connection_id):
        return None
    return int(match["number"]) or None


def conversation_key(account_id: str, chat_id: int | str | None, business_connection_id: str | None = None) -> str:
    """The raw key of everything that happens in a chat: its topics, reactions and buttons keep one order."""
    if chat_id is None:
        return f"{CHANNEL}:{account_id}"
    return ids.conversation_id(CHANNEL, account_id, str(Peer(str(chat_id), business_connection_id)))
