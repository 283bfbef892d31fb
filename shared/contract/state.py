"""The conversation-state feed on `channels.<ch>.state`: enough to predict what the connector will accept."""

from __future__ import annotations

from shared.contract.base import Model, OptionalText, Timestamp
from shared.contract.content import Thread
from shared.contract.errors import ErrorCode


class WindowState(Model):
    """The messaging window. `unknown` is not closed: the provider decides, and its refusal corrects us."""

    kind: str
    open: bool
    unknown: bool = False
    opened_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    quota_limit: int | None = None
    quota_used: int | None = None
    closed_by_provider: bool = False


class Allowed(Model):
    """What the connector would accept for this conversation now."""

    text: bool
    media: bool
    template: bool
    reply_to: bool
    typing: bool
    edit: bool
    delete: bool
    reaction: bool


class ConversationState(Model):
    """One compacted record per conversation."""

    channel: str
    workspace_id: str
    account_id: str
    conversation_id: str
    updated_at: Timestamp
    window: WindowState | None = None
    allowed: Allowed
    reasons: tuple[ErrorCode, ...] = ()
    last_inbound_at: Timestamp | None = None
    reachable: bool = True
    blocked: bool = False  # we block the contact
    opted_out: bool = False
    thread: Thread | None = None
    display_name: OptionalText = None


STATE_TYPE = "conversation.state"
