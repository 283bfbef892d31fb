"""How a bot's message comes to be: reply, markup, flags, and its place in the conversation."""

from __future__ import annotations

from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.markup import check_markup
from sandbox.simulators.telegram.methods.call import Call
from sandbox.simulators.telegram.model import Conversation, Json, Message
from sandbox.simulators.telegram.text import utf16_length

CONTENT = (
    "text", "entities", "caption", "caption_entities", "show_caption_above_media", "photo", "audio", "document",
    "video", "animation", "voice", "video_note", "sticker", "location", "venue", "contact", "poll",
    "has_media_spoiler", "link_preview_options",
)  # fmt: skip


def post(call: Call, conversation: Conversation, kind: str, content: Json, file_hash: str = "") -> Json:
    """Put the bot's message into the conversation and return the `Message` object; raises `ApiError`."""
    parameters = call.parameters
    inline, keyboard = None, None
    if "reply_markup" in parameters:
        inline, keyboard = check_markup(call.json("reply_markup"))
    reply = _reply(call, conversation) if "reply_parameters" in parameters else {}
    wire: Json = {"message_id": next(conversation.message_ids), **author(call, conversation)}
    wire["chat"] = conversation.chat
    wire["date"] = int(call.world.clock.now())
    wire |= reply
    wire |= content
    if inline is not None:
        wire["reply_markup"] = inline
    if "message_thread_id" in parameters:
        wire["message_thread_id"] = call.integer("message_thread_id")
        wire["is_topic_message"] = True
    if "protect_content" in parameters and call.flag("protect_content"):
        wire["has_protected_content"] = True
    if "message_effect_id" in parameters:
        wire["effect_id"] = call.text("message_effect_id")
    message = Message(wire, outgoing=True, keyboard=keyboard)
    call.world.keep(conversation, message)
    call.world.account(conversation, message, kind, file_hash)
    conversation.actions.pop(wire.get("message_thread_id"), None)
    return wire


def author(call: Call, conversation: Conversation) -> Json:
    """Who the message is from: the bot, the channel, or the business account it acts for."""
    if conversation.connection_id is not None:
        connection = call.world.connections[conversation.connection_id]
        return {
            "business_connection_id": connection.id,
            "sender_business_bot": call.bot.user,
            "from": connection.owner.as_user(),
        }
    if conversation.group is not None and conversation.group.type == "channel":
        return {"sender_chat": conversation.chat}
    return {"from": call.bot.user}


def _reply(call: Call, conversation: Conversation) -> Json:
    wanted: Json = call.json("reply_parameters") or {}
    elsewhere = wanted.get("chat_id")
    if elsewhere is not None and elsewhere != conversation.chat_id:
        return _external_reply(call, conversation, wanted)
    target = conversation.find(wanted.get("message_id"))
    if target is None:
        if wanted.get("allow_sending_without_reply") or conversation.connection_id is not None:
            return {}
        raise bad_request("message to be replied not found")
    reply: Json = {"reply_to_message": without_reply(target.wire)}
    if quote := wanted.get("quote"):
        whole = target.wire.get("text") or target.wire.get("caption") or ""
        at = whole.find(quote)
        if at < 0:
            raise bad_request("QUOTE_TEXT_INVALID")
        reply["quote"] = {"text": quote, "position": utf16_length(whole[:at]), "is_manual": True}
    return reply


def _external_reply(call: Call, conversation: Conversation, wanted: Json) -> Json:
    if conversation.connection_id is not None:
        raise bad_request("REPLY_MESSAGE_ID_INVALID")
    other = call.world.conversations.get((call.bot.id, wanted["chat_id"], None))
    target = other.find(wanted.get("message_id")) if other else None
    if other is None or target is None:
        raise bad_request("message to be replied not found")
    sender = target.wire.get("from", call.bot.user)
    origin = {"type": "user", "sender_user": sender, "date": target.wire["date"]}
    return {"external_reply": {"origin": origin, "chat": other.chat, "message_id": target.id}}


def without_reply(wire: Json) -> Json:
    """A message as it appears inside another one: not nested further."""
    return {name: value for name, value in wire.items() if name not in ("reply_to_message", "external_reply", "quote")}


def kind_of(wire: Json) -> str:
    """The content kind of a message, with the specific kind before its twin."""
    for kind in ("text", "animation", "venue", "photo", "audio", "document", "video", "voice", "video_note"):
        if kind in wire:
            return kind
    return next((kind for kind in ("sticker", "location", "contact", "poll") if kind in wire), "service")
