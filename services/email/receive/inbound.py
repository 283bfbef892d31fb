"""From a mail to outcomes: which account's it is, whom it is from, and what it means. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from services.email.receive import headers
from services.email.receive.addresses import addresses
from services.email.receive.arrived import Arrived
from services.email.receive.delivery import outcomes_of
from services.email.tokens import Tokens
from shared.channel import Outcome, RawItem, ReceivedItem, WebhookRequest

_KEYED_BY = 64 * 1024  # bytes of a mail in which its sender is looked for
_LONGEST_FROM = 4096  # bytes of that field that are read: it is done on the event loop


def unbatch(request: WebhookRequest) -> Sequence[RawItem]:
    """The one mail that a body is. Raises ValueError for an empty one."""
    if not request.body.strip():
        raise ValueError("The mail is empty.")
    return [RawItem(order_key(request.body), request.body)]


def order_key(raw: bytes) -> str:
    """The key under which mails of one sender stay in their order: a digest, since it is told in the open."""
    head = headers.read_head(raw, 0, min(len(raw), _KEYED_BY), outermost=True)
    sender = next((one.email.lower() for one in addresses(head.first("from")[:_LONGEST_FROM])), "")
    return hashlib.sha256(sender.encode("utf-8", "replace")).hexdigest()[:32]


def normalise(item: ReceivedItem, tokens: Tokens) -> Sequence[Outcome]:
    """The outcomes of one mail; `item.body` is what `parse` has made of it. Raises ValueError for anything else."""
    arrived = Arrived.of(item, tokens)
    if (echo := arrived.echo()) is not None:
        return [echo]
    return [*outcomes_of(arrived), arrived.event()]
