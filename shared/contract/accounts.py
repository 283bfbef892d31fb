"""Accounts: one connected number, bot, business or mailbox of one workspace, as `channels.accounts` holds it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shared.contract.base import AccountId, Identifier, Model, OptionalText, WorkspaceId


class AccountRecord(Model):
    """An account as it stands on the topic; an empty record value removes it.

    `external_id` is the provider's own id of the account, by which batches are routed (phone number id, business id,
    bot id); `parent_id` that of what several accounts belong to (a WhatsApp Business Account): what is told of it is
    told of each of them. `sealed` holds the credentials (a JSON object), sealed to the connectors' public key.
    """

    account_id: AccountId
    workspace_id: WorkspaceId
    channel: Identifier
    external_id: OptionalText = None
    parent_id: OptionalText = None
    display_name: OptionalText = None
    mode: Literal["webhook", "pull"] = "webhook"
    enabled: bool = True
    blocked_policy: Literal["flag", "drop"] = "flag"
    settings: dict[str, Any] = Field(default_factory=dict)
    sealed: OptionalText = None
