"""Business connections: a bot that acts in the private chats of an owner, and what is deleted there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.telegram.peers import Peer
from services.telegram.receive import wire
from services.telegram.receive.notices import notice
from services.telegram.receive.people import name_of_user
from services.telegram.receive.received import Received, Unreadable
from shared.channel import Event
from shared.contract.events import EventType, MessageDeleted, ProviderFact
from shared.kit.facts import Severity


def deleted_business_messages(deleted: wire.DeletedMessages, received: Received) -> Iterator[Event]:
    """Messages that were deleted in a business chat, one event each."""
    chat = deleted.chat
    if chat is None or chat.id is None:
        raise Unreadable
    peer = Peer(str(chat.id), deleted.business_connection_id, kind="business")
    for number in deleted.message_ids or ():
        ref = peer.message_ref(number)
        data = MessageDeleted(
            **received.facts(peer, received.item.received_at),
            message_id=received.message_id(ref),
            provider=ProviderFact(message_id=str(number), type="deleted_business_messages"),
        )
        yield Event(EventType.MESSAGE_DELETED, data, ref, address=peer.address())


def business_connection(connection: wire.BusinessConnection, received: Received) -> Iterator[Event]:
    """A business account was connected to the bot, changed its rights, or was disconnected."""
    rights = connection.rights or {}
    may_reply = bool(rights.get("can_reply", connection.can_reply))
    owner = (name_of_user(connection.user) if connection.user else None) or "A business account"
    if not connection.is_enabled:
        state, text = "unlinked", f"{owner} disconnected the bot"
    elif not may_reply:
        state, text = "read_only", f"{owner} does not let the bot reply"
    else:
        state, text = "linked", f"{owner} connected the bot"
    values: dict[str, Any] = {
        "business_connection_id": connection.id,
        "state": state,
        "is_enabled": bool(connection.is_enabled),
        "can_reply": may_reply,
        "rights": rights,
        "user_id": str(connection.user.id) if connection.user and connection.user.id is not None else None,
        "user_chat_id": None if connection.user_chat_id is None else str(connection.user_chat_id),
    }
    at = received.moment(connection.date)
    severity: Severity = "info" if state == "linked" else "warning"
    yield notice(received, "business_connection", text, severity=severity, values=values, at=at)
