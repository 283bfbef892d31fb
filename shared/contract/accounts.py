"""Accounts: one connected number, bot, business or mailbox of one workspace, as `channels.accounts` holds it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from shared.contract.base import AccountId, Identifier, Model, OptionalText, WorkspaceId


class AccountRecord(Model):
    """An account as it stands on the topic; an empty record value removes it.

    `external_id` is the provider's own id of the account, by which batches are routed (phone number id, business id,
    bot id); `parent_id` that of what several accounts belong to (a WhatsApp Business Account): what is told of it is
    told of each of them. The first account of an `external_id` has it; another is refused until the first is removed.
    `sealed` holds the credentials, sealed to the connectors' public key: `v2:` and base64 of a sealed box over a JSON
    object with `channel`, `workspace_id`, `account_id` and `credentials` (an object of texts). It opens in this record
    only. Base64 of a sealed box over the bare `credentials` is read as well, until it is written anew.
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
