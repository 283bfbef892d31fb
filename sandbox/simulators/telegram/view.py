"""What a console shows: a conversation through the customer's eyes, and the state of the simulator."""

from __future__ import annotations

from typing import Any

from sandbox.simulators.telegram.bodies import Upload
from sandbox.simulators.telegram.model import Conversation, Json, Message, Sent
from sandbox.simulators.telegram.world import RecordedCall, World


def show_conversation(world: World, conversation: Conversation) -> Json:
    """Messages in order with edits, deletions, reactions and read marks; chat actions that still show."""
    now = world.clock.now()
    return {
        "bot_id": conversation.bot_id,
        "chat": conversation.chat,
        "connection_id": conversation.connection_id,
        "access": conversation.access,
        "actions": [
            {"thread_id": thread, "action": action, "expires": expires}
            for thread, (action, expires) in conversation.actions.items()
            if expires > now
        ],
        "messages": [_show_message(message) for message in conversation.messages.values()],
    }


def _show_message(message: Message) -> Json:
    if message.deleted:
        return {"message_id": message.id, "outgoing": message.outgoing, "deleted": True}
    return {
        **message.wire,
        "outgoing": message.outgoing,
        "deleted": False,
        "keyboard": message.keyboard,
        "earlier": [old.get("text", old.get("caption")) for old in message.earlier],
        "reactions": message.reactions or {},
        "read": message.read,
    }


def show_call(call: RecordedCall) -> Json:
    """A recorded call; files by name and size."""
    arguments = {name: _plain(value) for name, value in call.parameters.items()}
    return {
        "at": call.at,
        "call": call.method,
        "account": str(call.bot_id),
        "arguments": arguments,
        "status": call.status,
        "description": call.description,
    }


def show_sent(conversation: Conversation, sent: Sent) -> Json:
    """A message that reached a chat."""
    return {
        "id": str(sent.message_id),
        "account": str(conversation.bot_id),
        "person": str(conversation.chat_id),
        **{name: value for name, value in sent._asdict().items() if name != "message_id"},
    }


def _plain(value: Any) -> Any:
    return {"filename": value.filename, "size": value.size} if isinstance(value, Upload) else value


def show_state(world: World) -> Json:
    """Who exists, what was counted, and what requests are checked against."""
    return {
        "spec": world.spec.version,
        "now": world.clock.now(),
        "time_scale": world.clock.scale,
        "bots": [_show_bot(world, bot_id) for bot_id in world.bots],
        "people": len(world.people),
        "groups": [group.as_chat() for group in world.groups.values()],
        "connections": [connection.as_update() for connection in world.connections.values()],
        "conversations": [
            {"bot_id": bot_id, "chat_id": chat_id, "connection_id": connection_id}
            for bot_id, chat_id, connection_id in list(world.conversations)[-200:]
        ],
        "counters": dict(world.counters),
        "violations": len(world.violations),
        "faults": [fault.model_dump() for fault in world.faults.active],
    }


def _show_bot(world: World, bot_id: int) -> Json:
    bot = world.bots[bot_id]
    return {**bot.user, "open_to_all": bot.open_to_all, "webhook": bot.updates.info()}
