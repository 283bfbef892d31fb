"""Changing what was sent: edits, deletions and reactions."""

from __future__ import annotations

from sandbox.simulators.telegram.access import conversation_of
from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.markup import check_markup
from sandbox.simulators.telegram.methods.call import Call, caption_of
from sandbox.simulators.telegram.methods.media import resolve
from sandbox.simulators.telegram.methods.sending import CONTENT
from sandbox.simulators.telegram.model import Conversation, Json, Message

TWO_DAYS = 48 * 3600
_REACTIONS = """
    👍 👎 ❤ 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐
    🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾
    🤷\u200d♂ 🤷 🤷\u200d♀ 😡
"""
EMOJI = frozenset(_REACTIONS.split())
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
_CAPTION = ("caption", "caption_entities", "show_caption_above_media")
_WITH_CAPTION = frozenset({"photo", "video", "animation", "audio", "document", "voice"})


def _editable(call: Call) -> tuple[Conversation, Message]:
    conversation, message = call.message("edit")
    age = call.world.clock.now() - message.wire["date"]
    foreign_business = conversation.connection_id is not None and not message.outgoing and age <= TWO_DAYS
    # A message that came with a reply keyboard stays as it is for ever (TDLib, had_reply_markup).
    if message.keyboard is not None or not (message.outgoing or foreign_business):
        raise bad_request("message can't be edited")
    return conversation, message


def _replace(call: Call, conversation: Conversation, message: Message, changes: Json, drop: tuple[str, ...]) -> Json:
    """Apply an edit. Without `reply_markup` the inline keyboard goes, as at Telegram."""
    inline, _ = check_markup(call.json("reply_markup"))
    old = message.wire
    new = {name: value for name, value in old.items() if name not in drop and name not in ("reply_markup", "edit_date")}
    new |= changes
    if inline is not None:
        new["reply_markup"] = inline
    if new == {name: value for name, value in old.items() if name != "edit_date"}:
        raise bad_request(_NOT_MODIFIED)
    new["edit_date"] = int(call.world.clock.now())
    message.earlier = (*message.earlier, old)[-10:]
    message.wire = new
    call.world.announce("edit", conversation, message=new, outgoing=message.outgoing)
    return new


async def edit_message_text(call: Call) -> Json:
    """editMessageText."""
    text, entities = call.formatted("text", "entities")
    conversation, message = _editable(call)
    if "text" not in message.wire:
        raise bad_request("there is no text in the message to edit")
    changes: Json = {"text": text, **({"entities": entities} if entities else {})}
    if "link_preview_options" in call.parameters:
        changes["link_preview_options"] = call.json("link_preview_options")
    return _replace(call, conversation, message, changes, ("text", "entities", "link_preview_options"))


async def edit_message_caption(call: Call) -> Json:
    """editMessageCaption."""
    changes = caption_of({**call.parameters, "caption_entities": call.json("caption_entities")})
    conversation, message = _editable(call)
    if not _WITH_CAPTION & message.wire.keys():
        raise bad_request("there is no caption in the message to edit")
    return _replace(call, conversation, message, changes, _CAPTION)


async def edit_message_media(call: Call) -> Json:
    """editMessageMedia."""
    item: Json = call.json("media") or {}
    conversation, message = _editable(call)
    kind = item.get("type", "")
    if kind not in ("photo", "video", "animation", "audio", "document"):
        raise bad_request("can't parse InputMedia: type must be known")
    stored = await resolve(call, kind, item.get("media"), item)
    return _replace(call, conversation, message, {**stored.content, **caption_of(item)}, CONTENT)


async def edit_message_reply_markup(call: Call) -> Json:
    """editMessageReplyMarkup."""
    conversation, message = _editable(call)
    return _replace(call, conversation, message, {}, ())


def remove(call: Call, conversation: Conversation, message: Message) -> None:
    """Delete a message for everyone; its content is forgotten."""
    message.deleted = True
    call.world.announce("delete", conversation, message_id=message.id)


def _check_deletable(call: Call, message: Message) -> None:
    if call.world.clock.now() - message.wire["date"] > TWO_DAYS:
        raise bad_request("message can't be deleted")


async def delete_message(call: Call) -> bool:
    """deleteMessage."""
    conversation, message = call.message("delete")
    _check_deletable(call, message)
    remove(call, conversation, message)
    return True


async def delete_messages(call: Call) -> bool:
    """deleteMessages; ids that are not found are skipped."""
    ids = call.json("message_ids") or []
    if len(ids) > 100:
        raise bad_request("too many message identifiers specified")
    conversation = conversation_of(call.world, call.bot, call.chat(), None)
    for message_id in ids:
        message = conversation.find(message_id)
        if message is not None:
            _check_deletable(call, message)
            remove(call, conversation, message)
    return True


async def set_message_reaction(call: Call) -> bool:
    """setMessageReaction: one emoji; on an album it lands on the first message."""
    conversation, message = call.message("react")
    reactions: list[Json] = call.json("reaction") or []
    if len(reactions) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    for reaction in reactions:
        if reaction["type"] != "emoji" or reaction["emoji"].replace("\ufe0f", "") not in EMOJI:
            raise bad_request("REACTION_INVALID")
    group_id = message.wire.get("media_group_id")
    if group_id is not None:
        album = (m for m in conversation.messages.values() if m.wire.get("media_group_id") == group_id)
        message = min(album, key=lambda member: member.id)
    message.reactions = {**(message.reactions or {}), "bot": reactions}
    call.world.announce("reaction", conversation, message_id=message.id, actor="bot", reactions=reactions)
    return True


HANDLERS = {
    "editmessagetext": edit_message_text,
    "editmessagecaption": edit_message_caption,
    "editmessagemedia": edit_message_media,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "deletemessages": delete_messages,
    "setmessagereaction": set_message_reaction,
}
