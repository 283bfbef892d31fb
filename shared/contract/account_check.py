"""What `POST /v1/accounts/check` takes and answers: what the provider says of credentials, before they are written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.contract.accounts import AccountRecord
from shared.contract.base import Model, OptionalText
from shared.contract.errors import Error


class AccountToCheck(AccountRecord):
    """An account as its record has it, and its credentials in the clear: they are kept nowhere."""

    credentials: dict[str, str] = Field(min_length=1, max_length=32)
    """The credentials to try, as an accounts file has them; which there are, the channel's guide says."""
    seal: bool = False
    """Whether the answer shall have the account's record, sealed, to be written onto `channels.accounts`."""


class AccountChecked(Model):
    """What the provider says of the credentials."""

    ok: bool
    """Whether the account can be connected: the credentials are taken, and nothing is missing."""
    missing: tuple[str, ...]
    """A sentence about each right that the credentials lack, and about what will end soon."""
    webhook: tuple[str, ...] = ()
    """A sentence about each thing for which webhooks do not come."""
    name: OptionalText = None
    """What the provider calls the account, where it tells."""
    external_id: OptionalText = None
    """The provider's own id of the account."""
    webhook_subscribed: bool | None = None
    """Whether the provider calls this service for the account; absent where it calls nobody, or nobody knows."""
    error: Error | None = None
    """Why the credentials are not taken, or why nobody can say."""
    record: AccountRecord | None = None
    """The account's record with its credentials sealed, where that was asked for and the account can be connected."""


class AccountRefused(Model):
    """The account cannot be one, whatever the provider says."""

    code: Literal["invalid_account", "account_taken", "no_sealing_key"]
    """What is wrong: the account itself; that another one has its `external_id`; that the service has no key to seal
    to."""
    detail: str
    """A sentence about it that names the field, never a value."""
