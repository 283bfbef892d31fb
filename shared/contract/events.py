"""Events: what connectors publish on `channels.<ch>.inbound` and `channels.account-health`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from shared.contract.base import Alias, Contact, Model, OptionalText, Origin, Timestamp
from shared.contract.content import Attachment, Content, Forwarded, Referral, ReplyTo, Thread
from shared.contract.errors import Error


class EventType(StrEnum):
    """The name of an event; `envelope.type_name` makes the versioned CloudEvents type of it."""

    MESSAGE_RECEIVED = "message.received"
    MESSAGE_ECHOED = "message.echoed"
    MESSAGE_EDITED = "message.edited"
    MESSAGE_DELETED = "message.deleted"
    REACTION_CHANGED = "reaction.changed"
    POSTBACK_RECEIVED = "postback.received"
    ATTACHMENT_STORED = "attachment.stored"
    ATTACHMENT_FAILED = "attachment.failed"
    CONTACT_UPDATED = "contact.updated"
    CONTACT_BLOCKED = "contact.blocked"
    CONTACT_UNBLOCKED = "contact.unblocked"
    CONTACT_CONSENT_CHANGED = "contact.consent_changed"
    CONVERSATION_REFERRED = "conversation.referred"
    CONVERSATION_READ = "conversation.read"
    ACCOUNT_NOTICE = "account.notice"


class ProviderFact(Model):
    """What the provider called it."""

    message_id: str | None = None
    type: str
    trace_id: OptionalText = None


class EventData(Model):
    """What every event carries. `sequence` rises within a conversation, so that ties in time have an order."""

    channel: str
    workspace_id: str
    account_id: str
    conversation_id: str
    occurred_at: Timestamp
    received_at: Timestamp
    sequence: int | None = None
    backfill: bool = False
    observed: bool = False
    shortened: bool | None = None  # true: too large for the topic, so words are cut or facts left out


class Message(EventData):
    """Data of `message.received`, `message.echoed` and `postback.received`."""

    message_id: str
    direction: Literal["inbound", "outbound"] = "inbound"
    origin: Origin = Origin.CONTACT
    sender: Contact
    recipient: Contact | None = None  # of an echo
    content: Content
    reply_to: ReplyTo | None = None
    forwarded: Forwarded | None = None
    referral: Referral | None = None
    thread: Thread | None = None
    contact_blocked: bool = False
    automatic: bool | None = None  # an away or greeting message, an auto-reply
    automatic_kind: OptionalText = None  # of what is automatic: `away`, `auto_reply`, `list`, `bounce`, `feedback`
    provider: ProviderFact


class MessageEdited(EventData):
    message_id: str
    direction: Literal["inbound", "outbound"] = "inbound"
    origin: Origin = Origin.CONTACT
    content: Content
    provider: ProviderFact


class MessageDeleted(EventData):
    message_id: str
    direction: Literal["inbound", "outbound"] | None = None
    provider: ProviderFact


class ReactionChanged(EventData):
    """A reaction put on or taken off a message; `emoji` is absent for a removal that does not name it."""

    message_id: str
    resolved: bool = False
    action: Literal["added", "removed"]
    emoji: OptionalText = None
    custom_emoji_id: OptionalText = None
    direction: Literal["inbound", "outbound"] = "inbound"
    origin: Origin = Origin.CONTACT
    sender: Contact
    provider: ProviderFact


class AttachmentChanged(EventData):
    """Data of `attachment.stored` and `attachment.failed`."""

    message_id: str
    attachment: Attachment


class ContactUpdated(EventData):
    """The contact's aliases and names as they are now, and which aliases came and went.

    `merged_from` is a conversation that turns out to be this contact's, too: it has become part of this one, where
    all that follows is told. A command that names it is carried out here.
    """

    contact: Contact
    added: tuple[Alias, ...] = ()
    removed: tuple[Alias, ...] = ()
    reason: str
    merged_from: OptionalText = None


class ContactReachability(EventData):
    """Data of `contact.blocked` and `contact.unblocked`. `by` says who blocked whom."""

    by: Literal["contact", "us"]
    contact: Contact | None = None


class ConsentChanged(EventData):
    purpose: Literal["marketing"] = "marketing"
    consent: Literal["opted_in", "opted_out"]
    detail: OptionalText = None
    contact: Contact | None = None


class ConversationReferred(EventData):
    referral: Referral
    contact: Contact | None = None


class ConversationRead(EventData):
    """The contact has read everything up to `read_until`."""

    read_until: Timestamp
    message_id: str | None = None


class AccountNotice(EventData):
    """A fact about the account itself (template, quality, limit, alert); keyed by `<channel>:<account_id>`.

    `conversation_id` is that key. `health` says what it means for sending, where it means something.
    """

    notice: str
    severity: Literal["info", "warning", "critical"] = "info"
    text: str
    health: OptionalText = None
    values: dict[str, Any] = Field(default_factory=dict)


class Health(StrEnum):
    """State of an account."""

    CONNECTED = "connected"
    DEGRADED = "degraded"
    REAUTH_REQUIRED = "reauth_required"
    BILLING_BLOCKED = "billing_blocked"
    DISCONNECTED = "disconnected"
    REMOVED = "removed"


HEALTH_TYPE = "account.health"


class AccountHealth(Model):
    """The record of an account on `channels.account-health`."""

    channel: str
    workspace_id: str
    account_id: str
    health: Health
    occurred_at: Timestamp
    error: Error | None = None
    detail: OptionalText = None
    shortened: bool | None = None  # as of events


DATA_OF: dict[EventType, type[EventData]] = {
    EventType.MESSAGE_RECEIVED: Message,
    EventType.MESSAGE_ECHOED: Message,
    EventType.MESSAGE_EDITED: MessageEdited,
    EventType.MESSAGE_DELETED: MessageDeleted,
    EventType.REACTION_CHANGED: ReactionChanged,
    EventType.POSTBACK_RECEIVED: Message,
    EventType.ATTACHMENT_STORED: AttachmentChanged,
    EventType.ATTACHMENT_FAILED: AttachmentChanged,
    EventType.CONTACT_UPDATED: ContactUpdated,
    EventType.CONTACT_BLOCKED: ContactReachability,
    EventType.CONTACT_UNBLOCKED: ContactReachability,
    EventType.CONTACT_CONSENT_CHANGED: ConsentChanged,
    EventType.CONVERSATION_REFERRED: ConversationReferred,
    EventType.CONVERSATION_READ: ConversationRead,
    EventType.ACCOUNT_NOTICE: AccountNotice,
}
