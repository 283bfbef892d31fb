"""The verdict on a command before anything is sent: accept, or refuse with the reason an agent can act on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import LARGEST_FILE, Capabilities, Grade
from shared.contract.commands import (
    MAX_FILES,
    Command,
    CommandType,
    MessageEdit,
    MessageSend,
    OutInteractive,
    OutTemplate,
    named_files,
)
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.state import Allowed, ConversationState
from shared.policy.conversation import Conversation
from shared.policy.windows import rule_for, window_state

# Commands that write something the contact sees need the window; the others do not.
_NEEDS_WINDOW = frozenset(
    {CommandType.MESSAGE_SEND, CommandType.MESSAGE_EDIT, CommandType.REACTION_SET, CommandType.TYPING_START}
)
_GRADE_OF = {
    CommandType.MESSAGE_EDIT: "edit",
    CommandType.MESSAGE_DELETE: "delete",
    CommandType.REACTION_SET: "reaction",
    CommandType.MARK_READ: "mark_read",
}
_GRADE_OF_CONTENT = {"template": "templates", "location": "location", "contacts": "contacts"}
# We can do these whatever the channel can.
_OURS = frozenset(
    {
        CommandType.MESSAGE_CANCEL,
        CommandType.MESSAGE_RESEND,
        CommandType.CONTACT_BLOCK,
        CommandType.CONTACT_UNBLOCK,
    }
)


# What a channel that cannot do it is said of.
CANNOT: dict[str, str] = {
    CommandType.MESSAGE_EDIT: "cannot edit messages",
    CommandType.MESSAGE_DELETE: "cannot delete messages",
    CommandType.REACTION_SET: "has no reactions",
    CommandType.MARK_READ: "has no read marks",
    CommandType.TYPING_START: "has no typing indicator",
    "template": "has no templates",
    "location": "cannot carry locations",
    "contacts": "cannot carry contact cards",
    "category": "takes no such category of messages from this account",
    "identity_key": "does not check who is behind a contact for this account",
}


class Refusal(NamedTuple):
    """Why a command is not carried out; `facts` are fields of the contract's `Error`."""

    code: ErrorCode
    detail: str | None
    facts: dict[str, Any]


def judge(
    capabilities: Capabilities, kind: CommandType, command: Command, conversation: Conversation, now: datetime
) -> Refusal | None:
    """None when the command may go on to `plan`. `now` is UTC.

    Order of the reasons: the command itself, the contact, the window. Quota is judged when it is reserved, because
    only `plan` knows how many messages a command makes.
    """
    return (
        unable(capabilities, kind, command)
        or _unreachable(capabilities, kind, command, conversation)
        or _window_closed(capabilities, kind, command, conversation, now)
    )


def unable(capabilities: Capabilities, kind: CommandType, command: Command) -> Refusal | None:
    """Why the channel cannot carry a command out, whomever it is for."""
    return _unsupported(capabilities, kind, command) or _unfit_files(capabilities, command)


def unknown_to_channel(capabilities: Capabilities, kind: CommandType) -> Refusal | None:
    """Why the channel has no way for commands of this type at all."""
    field = _GRADE_OF.get(kind)
    grade = capabilities.typing.grade if kind is CommandType.TYPING_START else field and getattr(capabilities, field)
    if grade is Grade.REJECTED or (kind not in capabilities.commands and kind not in _OURS):
        return _cannot(capabilities, str(kind), "type")
    return None


def _unsupported(capabilities: Capabilities, kind: CommandType, command: Command) -> Refusal | None:
    if (unknown := unknown_to_channel(capabilities, kind)) is not None:
        return unknown
    if isinstance(command, MessageSend):
        if command.category is not None and command.category not in capabilities.direct_send:
            return _cannot(capabilities, "category", "category")
        if command.identity_key is not None and not capabilities.identity_check:
            return _cannot(capabilities, "identity_key", "identity_key")
        content = command.content
        field = _GRADE_OF_CONTENT.get(content.kind)
        if field is not None and getattr(capabilities, field) is Grade.REJECTED:
            return _cannot(capabilities, content.kind, "content.kind")
        if isinstance(content, OutInteractive) and not any(
            able.kind is content.interactive for able in capabilities.interactive
        ):
            return _cannot(capabilities, str(content.interactive), "content.interactive")
    return None


def _of(capabilities: Capabilities) -> dict[str, Any]:
    """What a refusal says of the channel, for a sentence that names it."""
    return {"params": {"channel": capabilities.label}}


def _cannot(capabilities: Capabilities, what: str, field: str) -> Refusal:
    """The refusal of what a channel cannot do, which it names."""
    cannot = CANNOT.get(what) or f"has no {what.replace('_', ' ')} messages"
    detail = f"{capabilities.label} {cannot}."
    params = {"channel": capabilities.label, "what": what}
    return Refusal(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": field, "params": params})


def _unfit_files(capabilities: Capabilities, command: Command) -> Refusal | None:
    """Why the files of a command cannot go out, as far as the command itself tells: too many, too large, of a kind
    the channel has no way for."""
    files = named_files(command.content) if isinstance(command, MessageSend | MessageEdit) else []
    if len(files) > MAX_FILES:
        facts = {"field": "content.attachments", "limit": MAX_FILES, "actual": len(files)}
        return Refusal(ErrorCode.TOO_MANY_FILES, None, facts)
    for field, file in files:
        if file.size is not None and file.size > LARGEST_FILE:
            facts = {"field": field, "limit": LARGEST_FILE, "actual": file.size}
            return Refusal(ErrorCode.FILE_TOO_LARGE, None, facts)
        if file.kind is None or (rule := capabilities.files.get(file.kind)) is None:
            continue
        if rule.grade is Grade.REJECTED and rule.otherwise is None:
            return _not_taken(capabilities, file.kind, field)
    return None


def unknown_type(capabilities: Capabilities, field: str) -> Refusal | None:
    """The refusal of a file of which nobody can say what it is, where a channel takes only what it names."""
    if any(rule.grade is not Grade.REJECTED and not rule.mime_types for rule in capabilities.files.values()):
        return None
    return _not_taken(capabilities, "unknown", field)


def _not_taken(capabilities: Capabilities, kind: AttachmentKind | str, field: str) -> Refusal:
    """The refusal of a kind of file, with the kinds and types that a channel takes."""
    taken = {other: rule for other, rule in capabilities.files.items() if rule.grade is not Grade.REJECTED}
    said = [f"{other} ({', '.join(rule.mime_types)})" if rule.mime_types else other for other, rule in taken.items()]
    detail = f"{capabilities.label} takes no {kind} files; it takes: {', '.join(said)}."
    params = {"channel": capabilities.label, "what": str(kind), "taken": ", ".join(taken)}
    return Refusal(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, {"field": field, "params": params})


def cannot_initiate(capabilities: Capabilities) -> Refusal:
    """The refusal of a first message, whatever it is."""
    detail = f"{capabilities.label} does not let a business write first."
    return Refusal(ErrorCode.CANNOT_INITIATE, detail, {"allowed": (), **_of(capabilities)})


def _unreachable(
    capabilities: Capabilities, kind: CommandType, command: Command, conversation: Conversation
) -> Refusal | None:
    if kind not in _NEEDS_WINDOW:
        return None
    template = isinstance(command, MessageSend) and isinstance(command.content, OutTemplate)
    direct = isinstance(command, MessageSend) and command.category is not None
    if (
        command.conversation_id is None
        and conversation.last_inbound is None
        and (capabilities.initiates == "never" or (capabilities.initiates == "template" and not (template or direct)))
    ):
        if capabilities.initiates == "never":
            return cannot_initiate(capabilities)
        detail = f"{capabilities.label} lets a business write first with a template only."
        facts = {"allowed": ("template",), "remedy": "Send a template.", **_of(capabilities)}
        return Refusal(ErrorCode.CANNOT_INITIATE, detail, facts)
    if conversation.unreachable:
        return Refusal(ErrorCode.RECIPIENT_BLOCKED, None, _of(capabilities))
    if _blocked_there(capabilities, conversation):
        detail = f"We block the contact, and {capabilities.label} carries no messages to a contact that is blocked."
        facts = {"remedy": "End the block first.", **_of(capabilities)}
        return Refusal(ErrorCode.RECIPIENT_BLOCKED, detail, facts)
    if isinstance(command, MessageSend) and isinstance(command.content, OutTemplate) and conversation.opted_out:
        category = (command.content.category or "").lower()
        if category in ("", "marketing"):
            return Refusal(ErrorCode.OPTED_OUT, None, _of(capabilities))
    return None


def _blocked_there(capabilities: Capabilities, conversation: Conversation) -> bool:
    """Whether we block the contact at the provider, which then refuses what we write."""
    return conversation.blocked and capabilities.block is not Grade.REJECTED


def _window_closed(
    capabilities: Capabilities, kind: CommandType, command: Command, conversation: Conversation, now: datetime
) -> Refusal | None:
    rule = rule_for(capabilities, conversation)
    if rule is None or kind not in _NEEDS_WINDOW:
        return None
    state = window_state(rule, conversation, now)
    if state.open or (isinstance(command, MessageSend) and command.category is not None):
        return None
    if rule.templates_outside and isinstance(command, MessageSend) and isinstance(command.content, OutTemplate):
        return None
    allowed = ("template",) if rule.templates_outside else ()
    facts: dict[str, Any] = {"allowed": allowed, "expires_at": state.expires_at, **_of(capabilities)}
    if not rule.templates_outside:
        facts["remedy"] = "Wait for the contact to write."
    return Refusal(ErrorCode.WINDOW_CLOSED, None, facts)


def conversation_state(
    capabilities: Capabilities,
    account: AccountRecord,
    conversation_id: str,
    conversation: Conversation,
    now: datetime,
) -> ConversationState:
    """The record of the state feed: the same rules as `judge`, so that a reader predicts its verdicts."""
    rule = rule_for(capabilities, conversation)
    window = window_state(rule, conversation, now) if rule else None
    reasons = []
    blocked = conversation.unreachable or _blocked_there(capabilities, conversation)
    if blocked:
        reasons.append(ErrorCode.RECIPIENT_BLOCKED)
    if conversation.undeliverable:
        reasons.append(ErrorCode.UNDELIVERED)  # known, and tried all the same: addresses are mended
    if window is not None and not window.open:
        reasons.append(ErrorCode.WINDOW_CLOSED)
    left = window is None or window.quota_limit is None or (window.quota_used or 0) < window.quota_limit
    if not left:
        reasons.append(ErrorCode.QUOTA_EXHAUSTED)
    if conversation.opted_out:
        reasons.append(ErrorCode.OPTED_OUT)
    free = not blocked and (window is None or window.open)
    templates = capabilities.templates is not Grade.REJECTED and not blocked
    return ConversationState(
        channel=account.channel,
        workspace_id=account.workspace_id,
        account_id=account.account_id,
        conversation_id=conversation_id,
        updated_at=now,
        window=window,
        allowed=Allowed(
            text=free and left,
            media=free and left and any(rule.grade is not Grade.REJECTED for rule in capabilities.files.values()),
            template=templates and left and (free or bool(rule and rule.templates_outside)),
            reply_to=free and capabilities.reply_to is not Grade.REJECTED,
            typing=free and capabilities.typing.grade is not Grade.REJECTED,
            edit=free and capabilities.edit is not Grade.REJECTED,
            delete=capabilities.delete is not Grade.REJECTED,
            reaction=free and capabilities.reaction is not Grade.REJECTED,
        ),
        reasons=tuple(reasons),
        last_inbound_at=conversation.last_inbound,
        reachable=not conversation.unreachable and not conversation.undeliverable,
        blocked=conversation.blocked,
        opted_out=conversation.opted_out,
        display_name=conversation.name,
    )
