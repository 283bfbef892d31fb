"""What `GET /v1/<channel>/oauth/start` answers: where an account's owner consents."""

from __future__ import annotations

from typing import Literal

from shared.contract.base import Model, Timestamp


class ConsentBegun(Model):
    """Where to send the owner's browser."""

    authorize_url: str
    """The provider's consent page, with a state that names workspace and account."""
    redirect_uri: str
    """Where the provider sends the owner back: register it with the app, just so."""
    expires_at: Timestamp
    """Until when the owner has to be back. The address is good once."""


class ConsentRefused(Model):
    """Nobody can be sent anywhere."""

    code: Literal["invalid_account", "invalid_return_url", "account_taken", "not_set_up"]
    """What is wrong: the ids; the address to return to; that the account is another workspace's or channel's, or is
    switched off; that a setting is missing."""
    detail: str
    """A sentence about it."""
