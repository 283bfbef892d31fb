"""Accounts: one connected number, bot, business or mailbox of one workspace, as `channels.accounts` holds it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shared.contract.base import AccountId, Identifier, Model, OptionalText, WorkspaceId


class AccountRecord(Model):
    """An account as it stands on the topic; an empty record value removes it."""

    account_id: AccountId
    """The account, which is the record's key; unique among all workspaces."""
    workspace_id: WorkspaceId
    """The workspace it belongs to."""
    channel: Identifier
    """The channel: the name of its folder in `services/`."""
    external_id: OptionalText = None
    """The provider's own id of the account, by which batches are routed (phone number id, business id, bot id). The
    first account that has it keeps it; another one is refused until the first is removed."""
    parent_id: OptionalText = None
    """The provider's id of what several accounts belong to (a WhatsApp Business Account): what is told of it is told of
    each of them."""
    display_name: OptionalText = None
    """What people call the account."""
    mode: Literal["webhook", "pull"] = "webhook"
    """Whether the provider calls us, or we fetch."""
    enabled: bool = True
    """False: kept, and neither served nor written to."""
    blocked_policy: Literal["flag", "drop"] = "flag"
    """What becomes of messages of contacts we block: published with `contact_blocked`, or dropped."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of this account; which there are, the channel's guide says."""
    sealed: OptionalText = None
    """The credentials, sealed to the connectors' public key: `v2:` and base64 of a sealed box (libsodium) over a JSON
    object with `channel`, `workspace_id`, `account_id` and `credentials` (an object of texts). It opens in this record
    only. Base64 of a sealed box over the bare `credentials` is read as well, until it is written anew."""
