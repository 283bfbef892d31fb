"""Commands as calls of the Cloud API: which, in which order, or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.whatsapp.capabilities import BODY, DIRECT_SEND
from services.whatsapp.send.draft import Draft, message
from services.whatsapp.send.recipient import in_group, recipient_of
from services.whatsapp.send.rendering import add_contacts, add_location, add_media, add_text
from services.whatsapp.send.tappable import add_interactive
from services.whatsapp.send.templates import add_template
from services.whatsapp.shapes import SHAPES
from shared.channel import Call, Failure, PlanContext, Refused
from shared.contract.commands import (
    Command,
    CommandType,
    File,
    InteractiveKind,
    MessageSend,
    OutboundContent,
    OutContacts,
    OutInteractive,
    OutLocation,
    OutMedia,
    OutTemplate,
    OutText,
    ReactionSet,
)
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import check_references

BLOCK = "block_users"
UNBLOCK = "unblock_users"


def plan(kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
    """The calls that carry a command out. Raises Refused."""
    check_references(SHAPES, command)
    if isinstance(command, MessageSend):
        return _send(command, context)
    if isinstance(command, ReactionSet):
        return [_react(command, context)]
    if kind is CommandType.TYPING_START:
        return [_typing(command, context)]
    if kind is CommandType.MARK_READ:
        return [_read(command, context)]
    if kind in (CommandType.CONTACT_BLOCK, CommandType.CONTACT_UNBLOCK):
        return [_block(BLOCK if kind is CommandType.CONTACT_BLOCK else UNBLOCK, command, context)]
    raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "The Cloud API cannot change or take back a message.", field="type")


def _send(command: MessageSend, context: PlanContext) -> list[Call]:
    content = command.content
    draft = Draft(command, context)
    if command.category and command.category.lower() not in DIRECT_SEND:
        detail = "Without a template, Meta sends utility and authentication messages."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field="category")
    if command.category and not _sent_directly(content):
        detail = "Without a template, Meta sends texts, reply buttons and link buttons."
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content")
    match content:
        case OutText():
            add_text(draft, content)
        case OutMedia():
            add_media(draft, content, context.files or content.attachments)
        case OutTemplate():
            if (content.category or "").lower() == "authentication" and not draft.recipient.phone:
                detail = "An authentication template needs the contact's phone number."
                raise Refused(ErrorCode.RECIPIENT_UNKNOWN, detail, field="conversation_id")
            add_template(draft, content, context.files)
        case OutInteractive():
            add_interactive(draft, _with_files(content, context.files))
        case OutLocation():
            add_location(draft, content)
        case OutContacts():
            add_contacts(draft, content)
        case _:
            detail = f"WhatsApp carries no content of kind {content.kind}."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.kind")
    if command.category:
        _within_a_template(draft.calls)
    return draft.calls


def _sent_directly(content: OutboundContent) -> bool:
    buttons = (InteractiveKind.BUTTONS, InteractiveKind.CTA_URL)
    return isinstance(content, OutText) or (isinstance(content, OutInteractive) and content.interactive in buttons)


def _within_a_template(calls: Sequence[Call]) -> None:
    """Meta makes a template of what is sent without one: also a text is no longer than a template's body."""
    for call in calls:
        length = len(call.params.get("text", {}).get("body", ""))
        if length > BODY:
            raise Refused(ErrorCode.TEXT_TOO_LONG, field="content.text", limit=BODY, actual=length)


def _with_files(content: OutInteractive, files: Sequence[File]) -> OutInteractive:
    """The message with its files as they were prepared: the header's first, then the cards' in order."""
    given = [file for file in (content.header_file, *(card.file for card in content.cards)) if file is not None]
    if len(files) != len(given):
        return content
    prepared = iter(files)
    header = next(prepared) if content.header_file else None
    cards = tuple(card.model_copy(update={"file": next(prepared)}) if card.file else card for card in content.cards)
    return content.model_copy(update={"header_file": header, "cards": cards})


def _react(command: ReactionSet, context: PlanContext) -> Call:
    if context.target is None:
        raise Refused(ErrorCode.MESSAGE_UNKNOWN, field="message_id")
    emoji = (command.emoji or "").strip()
    if command.emoji and emoji.isascii():  # a word, a smiley in letters, a blank
        raise Refused(ErrorCode.INVALID_COMMAND, "A reaction is an emoji.", field="emoji")
    reaction = {"message_id": context.target.provider_message_id, "emoji": emoji}
    return Call("messages", message(recipient_of(command, context), "reaction", reaction))


def _typing(command: Command, context: PlanContext) -> Call:
    """The indicator hangs on a received message, marks it read and goes out by itself."""
    _not_in_groups(command, context)
    if context.last_inbound is None:
        raise Refused(ErrorCode.CANNOT_INITIATE, "Typing needs a message received from the contact.")
    return _receipt(context.last_inbound, typing_indicator={"type": "text"})


def _read(command: Command, context: PlanContext) -> Call:
    _not_in_groups(command, context)
    last = context.target.provider_message_id if context.target else context.last_inbound
    if last is None:
        raise Refused(ErrorCode.MESSAGE_UNKNOWN, "There is no received message to mark.", field="message_id")
    return _receipt(last)


def _receipt(message_id: str, **more: Any) -> Call:
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": message_id, **more}
    return Call("messages", body, parts=0)


def _not_in_groups(command: Command, context: PlanContext) -> None:
    if in_group(command, context):
        detail = "WhatsApp groups know neither read marks nor typing."
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="conversation_id")


def _block(method: str, command: Command, context: PlanContext) -> Call:
    recipient = recipient_of(command, context)
    if recipient.group:
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "A group cannot be blocked.", field="conversation_id")
    user = {"user": recipient.phone} if recipient.phone else {"user_id": recipient.bsuid}
    return Call(method, {"messaging_product": "whatsapp", "block_users": [user]}, parts=0)


# ----------------------------------------------------------------------------------------------------- adjust

_NOT_AS_IT_IS = frozenset({"131053"})
_WRONG_VALUE = frozenset({"100", "131009"})


def adjust(call: Call, failure: Failure) -> Call | None:
    """Another way to say the same after a certain refusal: without the reply, with an upload, as a document."""
    if not failure.certain or call.method != "messages":
        return None
    if (
        failure.provider_code in _WRONG_VALUE
        and "context" in call.params
        and "context" in (failure.detail or "").lower()
    ):
        body = {name: value for name, value in call.params.items() if name != "context"}
        return _changed(call, body, WarningCode.REPLY_TO_DROPPED, "WhatsApp does not know the message replied to.")
    if failure.provider_code in _NOT_AS_IT_IS:
        return _otherwise(call)
    return None


def _otherwise(call: Call) -> Call | None:
    """The file uploaded where Meta could not fetch it; as a document where it is not what its kind needs."""
    kind = str(call.params.get("type"))
    media = call.params.get(kind)
    if not isinstance(media, dict):
        return None
    if "link" in media:
        uploaded = {name: value for name, value in media.items() if name != "link"}
        return replace(call, params={**call.params, kind: uploaded}, files={f"{kind}.id": File(url=media["link"])})
    if kind not in ("image", "video", "audio") or f"{kind}.id" not in call.files:
        return None
    file = call.files[f"{kind}.id"]
    document = {name: value for name, value in media.items() if name == "caption"}
    if file.filename:
        document["filename"] = file.filename
    body = {name: value for name, value in call.params.items() if name != kind}
    changed = replace(call, files={"document.id": file})
    return _changed(
        changed,
        {**body, "type": "document", "document": document},
        WarningCode.SENT_AS_DOCUMENT,
        f"The {kind} goes out as a document: WhatsApp does not take it as it is.",
    )


def _changed(call: Call, body: dict[str, Any], code: WarningCode, detail: str) -> Call:
    return replace(call, params=body, warnings=(*call.warnings, Warning(code=code, detail=detail)))
