"""Placeholder until mail can be read: nothing comes in."""

from __future__ import annotations

from collections.abc import Sequence

from services.email.tokens import Tokens
from shared.channel import Accounts, Outcome, RawItem, ReceivedItem, UnknownRoute, WebhookRequest


def authenticate(request: WebhookRequest, accounts: Accounts) -> None:
    raise UnknownRoute


def unbatch(request: WebhookRequest) -> Sequence[RawItem]:
    raise ValueError("mail cannot be read yet")


def normalise(item: ReceivedItem, tokens: Tokens) -> Sequence[Outcome]:
    raise ValueError("mail cannot be read yet")
