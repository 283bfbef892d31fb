"""From a command to the Bot API calls that carry it out, in order. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.telegram.capabilities import CAPABILITIES, MAX_QUOTE, REACTIONS
from services.telegram.peers import CHANNEL, GUEST, Peer, message_number, parse_peer, peer_of_address
from services.telegram.send.cards import contact_calls, location_calls
from services.telegram.send.keyboards import Composed, compose, under
from services.telegram.send.media import edited_media, media_calls
from services.telegram.send.rendering import Params, nothing_visible, text_calls, text_fields
from services.telegram.shapes import SHAPES
from shared.channel import Call, PlanContext, Refused
from shared.contract.base import AliasKind
from shared.contract.commands import (
    Command,
    CommandType,
    File,
    InteractiveKind,
    MarkRead,
    MessageDelete,
    MessageEdit,
    MessageSend,
    OutboundContent,
    OutContacts,
    OutInteractive,
    OutLocation,
    OutMedia,
    OutText,
    ReactionSet,
    Typing,
)
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit import drafts
from shared.kit.words import is_visible
from shared.policy.text import length, parts_allowed

_ACTION = {"text": "typing", "voice": "record_voice", "file": "upload_document"}
_VARIATION_SELECTOR = "\ufe0f"
_SKIN_TONES = range(0x1F3FB, 0x1F400)


def plan(kind: CommandType, command: Command, context: PlanContext) -> list[Call]:
    """The calls of a command. Raises Refused."""
    peer = _recipient(command, context)
    if peer.kind == GUEST:
        detail = "The bot was called into this chat as a guest: it is no member of it and cannot write there."
        raise Refused(ErrorCode.CANNOT_INITIATE, detail, field="conversation_id")
    drafts.check_references(SHAPES, command)
    match command:
        case MessageSend():
            return _send(command, context, peer)
        case MessageEdit():
            return [_edit(command, context, peer)]
        case MessageDelete():
            return [_delete(context, peer)]
        case ReactionSet():
            return [_react(command, context, peer)]
        case Typing():
            return [_typing(command, peer)]
        case MarkRead():
            return [_mark_read(context, peer)]
        case _:
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, field="type")


def _recipient(command: Command, context: PlanContext) -> Peer:
    if peer := peer_of_address(context.address):
        return peer
    otherwise = "The conversation is not one of Telegram's."
    if (named := drafts.peer_of(command, CHANNEL, otherwise)) is not None:
        if (peer := parse_peer(named)) is not None:
            return peer
        raise Refused(ErrorCode.INVALID_COMMAND, otherwise, field="conversation_id")
    for alias in command.to:
        if alias.kind in (AliasKind.PROVIDER_ID, AliasKind.GROUP) and (peer := parse_peer(alias.value)):
            return peer
    if command.to:
        raise Refused(ErrorCode.CANNOT_INITIATE, "A bot can write only to a chat it knows: by its chat id.", field="to")
    raise Refused(ErrorCode.INVALID_COMMAND, "The command names no recipient.", field="conversation_id")


def _chat(peer: Peer) -> Params:
    """The chat of a call that concerns an existing message: topics do not matter there."""
    params: Params = {"chat_id": _number(peer.chat_id)}
    if peer.business_connection_id:
        params["business_connection_id"] = peer.business_connection_id
    return params


def _conversation(peer: Peer) -> Params:
    params = _chat(peer)
    if peer.topic_id:
        params["message_thread_id"] = _number(peer.topic_id)
    if peer.direct_topic_id:
        params["direct_messages_topic_id"] = _number(peer.direct_topic_id)
    return params


def _number(value: str) -> int | str:
    return int(value) if value.lstrip("-").isdigit() else value


def _send(command: MessageSend, context: PlanContext, peer: Peer) -> list[Call]:
    calls, markup, warnings = _content_calls(command, context, peer)
    common = _conversation(peer)
    if command.silent:
        common["disable_notification"] = True
    planned = [replace(call, params={**common, **call.params}) for call in calls]
    if markup:
        last = planned[-1]
        planned[-1] = replace(last, params={**last.params, "reply_markup": markup})
    reply, dropped = _reply(command, context, peer)
    first = planned[0]
    params = {**first.params, "reply_parameters": reply} if reply else first.params
    planned[0] = replace(first, params=params, warnings=(*first.warnings, *warnings, *dropped))
    return planned


def _content_calls(
    command: MessageSend, context: PlanContext, peer: Peer
) -> tuple[list[Call], Params | None, tuple[Warning, ...]]:
    """The calls of a content without recipient, what can be tapped under it, and warnings about the whole."""
    content = command.content
    most = parts_allowed(context.account.settings)
    match content:
        case OutText(text=text, spans=spans, preview_url=preview):
            shown = under(text, content.buttons, peer, strict=command.strict)
            return text_calls(shown.text, spans, most, preview=preview), shown.markup, shown.warnings
        case OutMedia(text=text):
            shown = under(text, content.buttons, peer, strict=command.strict)
            media = content.model_copy(update={"text": shown.text})
            calls = media_calls(media, _files(media, context), most, has_buttons=shown.markup is not None)
            return calls, shown.markup, shown.warnings
        case OutInteractive():
            composed = compose(content, peer, strict=command.strict)
            if content.header_file is None:
                return text_calls(composed.text, composed.spans, most), composed.markup, composed.warnings
            media = _with_header(composed, content.header_file)
            calls = media_calls(media, _files(media, context), most, has_buttons=True, field="content.header_file")
            return calls, composed.markup, composed.warnings
        case OutLocation():
            return location_calls(content, most), None, ()
        case OutContacts():
            return contact_calls(content, most), None, ()
        case _:
            raise _unsupported_content(content)


def _with_header(composed: Composed, header: File) -> OutMedia:
    """An interactive message with a picture: a file with the composed text as its caption."""
    return OutMedia(text=composed.text, spans=composed.spans, attachments=(header,))


def _files(media: OutMedia, context: PlanContext) -> Sequence[File]:
    """The files of a message as they were made ready, or as the command names them where none were."""
    return context.files if len(context.files) == len(media.attachments) else media.attachments


def _unsupported_content(content: OutboundContent) -> Refused:
    return Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"Telegram has no {content.kind} messages.", field="content.kind")


def _reply(command: MessageSend, context: PlanContext, peer: Peer) -> tuple[Params | None, tuple[Warning, ...]]:
    if command.reply_to is None and context.target is None:
        return None, ()
    number = message_number(context.target.provider_message_id, peer) if context.target else None
    if number is None:
        if command.reply_policy == "strict":
            raise Refused(ErrorCode.REPLY_TARGET_UNKNOWN, field="reply_to")
        detail = "The message replied to is not known to Telegram; this one goes out without the reference."
        return None, (Warning(code=WarningCode.REPLY_TO_DROPPED, detail=detail),)
    # The flag is also what Telegram assumes in business chats: a missing target must not cost the message.
    reply: Params = {"message_id": number, "allow_sending_without_reply": command.reply_policy != "strict"}
    quote = (context.target.quote if context.target else None) or (command.reply_to and command.reply_to.quote)
    if not quote or not is_visible(quote):
        return reply, ()
    if length(quote, "utf16") > MAX_QUOTE:
        detail = f"The reply goes out without the quote: it is longer than {MAX_QUOTE}."
        return reply, (Warning(code=WarningCode.REPLY_TO_DROPPED, detail=detail),)
    return {**reply, "quote": quote}, ()


def _target(context: PlanContext, what: str, peer: Peer) -> int:
    number = message_number(context.target.provider_message_id, peer) if context.target else None
    if number is None:
        detail = f"The message to {what} is not known to Telegram."
        raise Refused(ErrorCode.MESSAGE_UNKNOWN, detail, field="message_id", remedy=None)
    return number


_NOT_UNDER_AN_EDIT = frozenset({InteractiveKind.CONTACT_REQUEST, InteractiveKind.LOCATION_REQUEST})


def _edit(command: MessageEdit, context: PlanContext, peer: Peer) -> Call:
    params = {**_chat(peer), "message_id": _target(context, "edit", peer)}
    match command.content:
        case OutText(text=text, spans=spans, buttons=buttons):
            shown = under(text, buttons, peer, strict=False)
            call = _edited_text(shown.text, spans, preview=command.content.preview_url)
        case OutInteractive(header_file=header, interactive=kind) if kind not in _NOT_UNDER_AN_EDIT:
            shown = compose(command.content, peer, strict=False)
            if header is None:
                call = _edited_text(shown.text, shown.spans)
            else:
                media = _with_header(shown, header)
                call = edited_media(media, _files(media, context), "content.header_file")
        case OutMedia(text=text, buttons=buttons):
            shown = under(text, buttons, peer, strict=False)
            media = command.content.model_copy(update={"text": shown.text})
            call = edited_media(media, _files(media, context))
        case _:
            detail = f"Telegram cannot edit {command.content.kind} messages."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.kind")
    if shown.markup:
        params["reply_markup"] = shown.markup
    return replace(call, params={**params, **call.params}, warnings=(*call.warnings, *shown.warnings))


def _edited_text(text: str, spans: Any, preview: bool | None = None) -> Call:
    limit = CAPABILITIES.text.max_length
    actual = length(text, CAPABILITIES.text.unit)
    if actual > limit:
        raise Refused(
            ErrorCode.TEXT_TOO_LONG,
            "An edited message stays one message.",
            field="content.text",
            limit=limit,
            actual=actual,
        )
    if not is_visible(text):
        raise nothing_visible(text)
    fields, warnings = text_fields(text, spans, ("text", "entities"))
    if preview is False:
        fields["link_preview_options"] = {"is_disabled": True}
    return Call("editMessageText", fields, parts=0, warnings=warnings)


def _delete(context: PlanContext, peer: Peer) -> Call:
    number = _target(context, "delete", peer)
    if peer.business_connection_id:
        params = {"business_connection_id": peer.business_connection_id, "message_ids": [number]}
        return Call("deleteBusinessMessages", params, parts=0)
    return Call("deleteMessage", {**_chat(peer), "message_id": number}, parts=0)


def _react(command: ReactionSet, context: PlanContext, peer: Peer) -> Call:
    if peer.business_connection_id:
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "Bots cannot react in business chats.", field="type")
    number = _target(context, "react to", peer)
    reaction: list[Params] = []
    if command.emoji:
        reaction.append({"type": "emoji", "emoji": _known_reaction(command.emoji)})
    return Call("setMessageReaction", {**_chat(peer), "message_id": number, "reaction": reaction}, parts=0)


def _known_reaction(emoji: str) -> str:
    if emoji.isascii():  # a word, a smiley in letters, a blank
        raise Refused(ErrorCode.INVALID_COMMAND, "A reaction is an emoji.", field="emoji")
    bare = emoji.strip().replace(_VARIATION_SELECTOR, "")
    for candidate in (bare, "".join(c for c in bare if ord(c) not in _SKIN_TONES)):
        if candidate in REACTIONS:
            return candidate
    raise Refused(
        ErrorCode.UNSUPPORTED_BY_CHANNEL, "Bots can react only with Telegram's own set of emoji.", field="emoji"
    )


def _typing(command: Typing, peer: Peer) -> Call:
    """Telegram hides the action by itself: after five seconds, or when the message comes."""
    if peer.direct_topic_id or peer.kind == "channel":
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "Channels do not show chat actions.", field="type")
    return Call("sendChatAction", {**_conversation(peer), "action": _ACTION[command.activity]}, parts=0)


def _mark_read(context: PlanContext, peer: Peer) -> Call:
    if not peer.business_connection_id:
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL, "Bots can mark messages as read only in business chats.", field="type"
        )
    reference = context.target.provider_message_id if context.target else context.last_inbound
    number = message_number(reference, peer) if reference else None
    if number is None:
        detail = "There is no message to mark as read."
        raise Refused(ErrorCode.MESSAGE_UNKNOWN, detail, field="message_id", remedy=None)
    return Call("readBusinessMessage", {**_chat(peer), "message_id": number}, parts=0)
