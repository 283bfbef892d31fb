"""The email channel: joins the pure pieces and the servers, and is what the runtime holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from services.email.capabilities import capabilities
from services.email.peers import peer_of_address
from services.email.receive import inbound
from services.email.receive.parse import parse
from services.email.send import outbound
from services.email.settings import Settings
from services.email.tokens import Tokens
from shared.channel import (
    Accounts,
    Call,
    Outcome,
    PlanContext,
    RawItem,
    ReceivedItem,
    Refused,
    WebhookRequest,
)
from shared.contract.base import Alias
from shared.contract.commands import Command, CommandType
from shared.contract.errors import ErrorCode


class EmailChannel:
    """Mailboxes."""

    whole_files = (".eml",)

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.capabilities = capabilities(settings)
        self._settings = settings
        self._clock = clock
        self._tokens = Tokens(settings.token_key.get_secret_value().encode())

    # -------------------------------------------------------------------------------------------------- inbound

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        inbound.authenticate(request, accounts)

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        return inbound.unbatch(request)

    def parse(self, raw: bytes) -> bytes:
        return parse(raw)

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        return inbound.normalise(item, self._tokens)

    # ------------------------------------------------------------------------------------------------- outbound

    def peer_of(self, to: Sequence[Alias]) -> tuple[str, Mapping[str, str]]:
        address = outbound.recipient_of(to)
        if address is None:
            raise Refused(ErrorCode.RECIPIENT_UNKNOWN, "The contact has no email address.", field="to")
        return peer_of_address(address), {"email": address}

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return outbound.plan(kind, command, context, self._settings, self._tokens)


def build(settings: Settings | None = None) -> EmailChannel:
    """The channel as a service runs it; without settings, as the environment has them."""
    return EmailChannel(settings or Settings())
