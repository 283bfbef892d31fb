"""The conversation-state feed on `channels.<ch>.state`: enough to predict what the connector will accept."""

from __future__ import annotations

from shared.contract.base import Model, OptionalText, Timestamp
from shared.contract.content import Thread
from shared.contract.errors import ErrorCode
from shared.contract.vocabularies import WindowKind


class WindowState(Model):
    """The messaging window of a conversation."""

    kind: WindowKind
    """Which window of the channel it is."""
    open: bool
    """Whether messages were accepted at `updated_at`. Time passing is not told: compare `expires_at` with the clock."""
    unknown: bool = False
    """True: nobody knows, which is not closed: the provider decides, and its refusal corrects us."""
    opened_at: Timestamp | None = None
    """When the contact opened it."""
    expires_at: Timestamp | None = None
    """When it closes, unless the contact writes again."""
    quota_limit: int | None = None
    """Messages of ours that the window takes; absent where it takes any number."""
    quota_used: int | None = None
    """Messages of ours that it has taken."""
    closed_by_provider: bool = False
    """True: the provider has said that it is closed, before its time."""


class Allowed(Model):
    """What the connector would accept for this conversation now."""

    text: bool
    """A text."""
    media: bool
    """Files."""
    template: bool
    """A template."""
    reply_to: bool
    """An answer to a certain message, shown as one."""
    typing: bool
    """A typing indicator."""
    edit: bool
    """An edit of a message of ours."""
    delete: bool
    """A deletion of a message of ours."""
    reaction: bool
    """A reaction to a message."""


class ConversationState(Model):
    """What a conversation would accept now, and why not: one compacted record per conversation."""

    channel: str
    """The channel: the name of its folder in `services/`."""
    workspace_id: str
    """The workspace the account belongs to."""
    account_id: str
    """The account the conversation is with."""
    conversation_id: str
    """The conversation, which is the record's key; opaque."""
    updated_at: Timestamp
    """When this was found, by the connector's clock."""
    window: WindowState | None = None
    """The messaging window; absent where the channel has none."""
    allowed: Allowed
    """What would be accepted."""
    reasons: tuple[ErrorCode, ...] = ()
    """The errors that a message would get now."""
    last_inbound_at: Timestamp | None = None
    """When the contact wrote last, by the provider's clock."""
    reachable: bool = True
    """False: the contact has blocked us or is gone."""
    blocked: bool = False
    """True: we block the contact."""
    opted_out: bool = False
    """True: the contact wants no marketing."""
    thread: Thread | None = None
    """The thread that a message without one would continue."""
    display_name: OptionalText = None
    """The contact's name, as far as it is known."""


STATE_TYPE = "conversation.state"
