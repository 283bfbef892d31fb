"""Events: what connectors publish on `channels.<ch>.inbound` and `channels.account-health`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from shared.contract.base import Alias, Contact, Model, OptionalText, Origin, Timestamp
from shared.contract.content import Attachment, Content, Forwarded, Referral, ReplyTo, Thread
from shared.contract.errors import Error
from shared.contract.vocabularies import ContactChange, Notice, OptionalAutomatic


class EventType(StrEnum):
    """The name of an event; `envelope.type_name` makes the versioned CloudEvents type of it."""

    MESSAGE_RECEIVED = "message.received"
    """A message from the contact."""
    MESSAGE_ECHOED = "message.echoed"
    """A message of ours that was sent elsewhere: in the channel's own app, or by another program."""
    MESSAGE_EDITED = "message.edited"
    """A message that was published has other content now."""
    MESSAGE_DELETED = "message.deleted"
    """A message that was published is gone."""
    REACTION_CHANGED = "reaction.changed"
    """A reaction was put on a message or taken off it."""
    POSTBACK_RECEIVED = "postback.received"
    """The contact tapped a button, chose a row of a list or filled a form."""
    ATTACHMENT_STORED = "attachment.stored"
    """The file of an earlier message is in the blob store."""
    ATTACHMENT_FAILED = "attachment.failed"
    """The file of an earlier message cannot be had; its `error` says why."""
    CONTACT_UPDATED = "contact.updated"
    """The contact has other names, or is somebody else."""
    CONTACT_BLOCKED = "contact.blocked"
    """The contact has blocked us. Whom we block is said by `conversation.state`."""
    CONTACT_UNBLOCKED = "contact.unblocked"
    """A block has ended."""
    CONTACT_CONSENT_CHANGED = "contact.consent_changed"
    """The contact opted out of marketing, or into it."""
    CONVERSATION_REFERRED = "conversation.referred"
    """An ad, a link or a product brought the contact here."""
    CONVERSATION_READ = "conversation.read"
    """The contact has read what we wrote, up to a point."""
    ACCOUNT_NOTICE = "account.notice"
    """A fact about the account itself: a template, its quality, a limit, an alert."""


class ProviderFact(Model):
    """What the provider called it."""

    message_id: str | None = None
    """The provider's id of the message."""
    type: str
    """The provider's word for the kind of message or event."""
    trace_id: OptionalText = None
    """The provider's id of the delivery, for its support."""


class EventData(Model):
    """What every event carries."""

    channel: str
    """The channel: the name of its folder in `services/`."""
    workspace_id: str
    """The workspace the account belongs to."""
    account_id: str
    """The account it happened to."""
    conversation_id: str
    """The conversation it happened in, which is the record's key; opaque."""
    occurred_at: Timestamp
    """When it happened, by the provider's clock (of an email: by its `Date`, within what is possible)."""
    received_at: Timestamp
    """When the connector received it, by its own clock."""
    sequence: int | None = None
    """Rises within a conversation, with gaps: the order of what has the same time."""
    backfill: bool = False
    """True: of the past, fetched afterwards; it opens no window and is nothing to answer."""
    observed: bool = False
    """True: another app of the business holds the conversation, and the connector only watches."""
    shortened: bool | None = None
    """True: too large for the topic, so words are cut or facts left out."""


class Message(EventData):
    """A message: of a contact (`message.received`, `postback.received`), or of ours, from elsewhere (`…echoed`)."""

    message_id: str
    """Our id of the message, the same for ever."""
    direction: Literal["inbound", "outbound"] = "inbound"
    """`outbound`: one of ours."""
    origin: Origin = Origin.CONTACT
    """Who wrote it."""
    sender: Contact
    """Who wrote it, as the provider describes them."""
    recipient: Contact | None = None
    """Of an echo: whom it was sent to."""
    content: Content
    """What the message holds."""
    reply_to: ReplyTo | None = None
    """The message it answers."""
    forwarded: Forwarded | None = None
    """Where it was forwarded from."""
    referral: Referral | None = None
    """What brought the contact to write it."""
    thread: Thread | None = None
    """The thread it belongs to."""
    contact_blocked: bool = False
    """True: we block the contact, and the account keeps what blocked contacts write."""
    automatic: bool | None = None
    """True: no person has written it."""
    automatic_kind: OptionalAutomatic = None
    """Of what is automatic: what it is."""
    provider: ProviderFact
    """What the provider called it."""


class MessageEdited(EventData):
    """A message that was published has other content now."""

    message_id: str
    """Our id of the message."""
    direction: Literal["inbound", "outbound"] = "inbound"
    """`outbound`: one of ours."""
    origin: Origin = Origin.CONTACT
    """Who wrote it."""
    content: Content
    """What the message holds now, whole."""
    provider: ProviderFact
    """What the provider called it."""


class MessageDeleted(EventData):
    """A message that was published is gone."""

    message_id: str
    """Our id of the message."""
    direction: Literal["inbound", "outbound"] | None = None
    """`outbound`: one of ours; absent where the provider does not say."""
    provider: ProviderFact
    """What the provider called it."""


class ReactionChanged(EventData):
    """A reaction was put on a message or taken off it."""

    message_id: str
    """Our id of the message reacted to."""
    resolved: bool = False
    """True: `message_id` is one that passed through the connector."""
    action: Literal["added", "removed"]
    """Whether the reaction came or went."""
    emoji: OptionalText = None
    """The reaction; absent for a removal that does not name it."""
    custom_emoji_id: OptionalText = None
    """The provider's id of a reaction that is no emoji of Unicode."""
    direction: Literal["inbound", "outbound"] = "inbound"
    """`outbound`: a reaction of ours."""
    origin: Origin = Origin.CONTACT
    """Who reacted."""
    sender: Contact
    """Who reacted, as the provider describes them."""
    provider: ProviderFact
    """What the provider called it."""


class AttachmentChanged(EventData):
    """The file of an earlier message is in the blob store (`attachment.stored`), or never will be (`….failed`)."""

    message_id: str
    """Our id of the message that has the file."""
    attachment: Attachment
    """The attachment as it is now, whole: it takes the place of the one with the same `attachment_id`."""


class ContactUpdated(EventData):
    """What has become known of the contact's aliases and names, and which aliases came and went."""

    contact: Contact
    """What is told of the contact: what is absent here is as it was, but for the aliases in `removed`."""
    added: tuple[Alias, ...] = ()
    """Aliases that are new."""
    removed: tuple[Alias, ...] = ()
    """Aliases that are not the contact's any more."""
    reason: ContactChange
    """What has changed, or how it became known."""
    merged_from: OptionalText = None
    """A conversation that turns out to be this contact's, too: it has become part of this one, where all that follows
    is told. A command that names it is carried out here."""


class ContactReachability(EventData):
    """A block begins (`contact.blocked`) or ends (`contact.unblocked`)."""

    by: Literal["contact", "us"]
    """Who blocked whom: `contact` means that we cannot write to them. `us` is not told by an event so far."""
    contact: Contact | None = None
    """The contact, as the provider describes them."""


class ConsentChanged(EventData):
    """The contact opted out of a kind of messages, or into it."""

    purpose: Literal["marketing"] = "marketing"
    """Which kind of messages."""
    consent: Literal["opted_in", "opted_out"]
    """What the contact wants."""
    detail: OptionalText = None
    """What the contact or the provider says of it."""
    contact: Contact | None = None
    """The contact, as the provider describes them."""


class ConversationReferred(EventData):
    """An ad, a link or a product brought the contact here."""

    referral: Referral
    """What brought the contact; the next message repeats it."""
    contact: Contact | None = None
    """The contact, as the provider describes them."""


class ConversationRead(EventData):
    """The contact has read what we wrote, up to a point."""

    read_until: Timestamp
    """Everything that was sent up to here is read."""
    message_id: str | None = None
    """Our id of the last message read, where the provider names it."""


class AccountNotice(EventData):
    """A fact about the account itself (template, quality, limit); `conversation_id` is `<channel>:<account_id>`."""

    notice: Notice
    """What it is about."""
    severity: Literal["info", "warning", "critical"] = "info"
    """`warning`: somebody should look; `critical`: nothing goes until somebody does."""
    text: str
    """The fact as a sentence."""
    health: OptionalText = None
    """What it means for sending, a value of `account.health`; absent where it means nothing."""
    values: dict[str, Any] = Field(default_factory=dict)
    """The provider's own fields."""


class Health(StrEnum):
    """State of an account."""

    CONNECTED = "connected"
    """It sends and receives."""
    DEGRADED = "degraded"
    """It works, with restrictions or interruptions."""
    REAUTH_REQUIRED = "reauth_required"
    """The provider refuses its credentials: commands wait until it is connected again."""
    BILLING_BLOCKED = "billing_blocked"
    """The provider wants to be paid: commands wait."""
    DISCONNECTED = "disconnected"
    """It is not connected: commands wait."""
    REMOVED = "removed"
    """Its record is gone, or the provider has removed it."""


HEALTH_TYPE = "account.health"


class AccountHealth(Model):
    """The record of an account on `channels.account-health`."""

    channel: str
    """The channel: the name of its folder in `services/`."""
    workspace_id: str
    """The workspace the account belongs to."""
    account_id: str
    """The account, which is the record's key."""
    health: Health
    """How the account is."""
    occurred_at: Timestamp
    """Since when, by the connector's clock."""
    error: Error | None = None
    """What is wrong, where an error says it."""
    detail: OptionalText = None
    """What is wrong, as a sentence."""
    shortened: bool | None = None
    """True: too large for the topic, so words are cut or facts left out."""


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
