"""From a webhook to outcomes: the signature, the split, and what every event means. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from services.tiktok.receive.history import history_items
from services.tiktok.receive.messages import message_outcomes, unknown_event
from services.tiktok.receive.notices import NOTICES, account_notice, authorization_removed, referrals
from services.tiktok.receive.received import Received, content_of
from services.tiktok.settings import Settings
from services.tiktok.shapes import RESTRICTED_PEER
from shared.channel import (
    Event,
    Forbidden,
    LeftOut,
    Outcome,
    RawItem,
    ReceivedItem,
    StatusUpdate,
    UnknownRoute,
    WebhookRequest,
    bounded,
)
from shared.contract.content import UnsupportedContent
from shared.contract.events import ConversationRead, EventType
from shared.contract.statuses import State
from shared.kit.json import read_shallow
from shared.kit.proof import digests, proven

SIGNATURE_HEADER = "tiktok-signature"
_AS_TIKTOK_WRITES_IT = re.compile("t=([0-9]{1,12}),s=([0-9a-f]{64})")

# Events of other subscriptions of the same app: no inbox matter, so they have no outcome.
OTHER_SUBSCRIPTIONS: Mapping[str, str] = {
    "comment.update": "a public comment, subscription COMMENT",
    "brand.mention.event": "a mention of the brand, subscription BRAND_MENTION",
    "post.publish.failed": "publishing a post, subscription VIDEO",
    "post.publish.complete": "publishing a post, subscription VIDEO",
    "post.publish.publicly_available": "publishing a post, subscription VIDEO",
    "post.publish.no_longer_publicly_available": "publishing a post, subscription VIDEO",
}

# ---------------------------------------------------------------------------------------------- authentic


class StaleSignature(Forbidden):
    """The signature is TikTok's, its time is out of tolerance: a clock is wrong, or somebody replays."""


def authenticate(request: WebhookRequest, settings: Settings, now: float) -> None:
    """Check `TikTok-Signature: t=<unix seconds>,s=<hex>` over `t + "." + raw body`.

    Raises StaleSignature when only the time is wrong, Forbidden for everything else.
    https://developers.tiktok.com/doc/webhooks-verification
    """
    if request.route.strip("/"):
        raise UnknownRoute
    if request.method != "POST":
        raise Forbidden("only POST brings events")
    timestamp, signature = _signature_parts(request.headers.get(SIGNATURE_HEADER, ""))
    message = timestamp.encode() + b"." + request.body
    secrets = (settings.app_secret.get_secret_value(), settings.app_secret_previous.get_secret_value())
    if not proven(signature, [digest.hex().encode() for digest in digests(secrets, message)]):
        raise Forbidden("the signature does not match")
    if abs(now - int(timestamp)) > settings.signature_tolerance:
        raise StaleSignature("the signature is out of tolerance")
    if settings.app_id and not _is_for(settings.app_id, request.body):
        raise Forbidden("the event is for another app")


def _signature_parts(header: str) -> tuple[str, str]:
    if usual := _AS_TIKTOK_WRITES_IT.fullmatch(header):
        return usual[1], usual[2]
    parts: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        parts.setdefault(name.strip().lower(), value.strip())
    timestamp, signature = parts.get("t", ""), parts.get("s", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and signature.isascii()):
        raise Forbidden("the signature is missing or malformed")
    return timestamp, signature.lower()


def _is_for(app_id: str, body: bytes) -> bool:
    """Whether the body names this app, or none: a body that cannot be read is kept as a dead letter later."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return True
    named = document.get("client_key") if isinstance(document, dict) else None
    return named is None or str(named) == app_id


# -------------------------------------------------------------------------------------------------- split


def unbatch(body: bytes) -> Sequence[RawItem]:
    """One item per event. Takes a webhook body, a list of them, and an answer of `content/list`.

    Raises ValueError when there is no event in it.
    """
    document = read_shallow(body)
    if isinstance(document, dict):
        if (answer := _history_answer(document)) is not None:
            return bounded(history_items(answer))
        return bounded(_split_content(document, body)) if document else _none()
    if not isinstance(document, list) or not any(isinstance(entry, dict) and entry for entry in document):
        return _none()
    return bounded(item for entry in document for item in _split_entry(entry))


def _split_entry(entry: Any) -> Iterable[RawItem]:
    if isinstance(entry, dict) and entry:
        return _split_content(entry, orjson.dumps(entry))
    return [RawItem(key="unknown", body=orjson.dumps(entry))]


def _none() -> Sequence[RawItem]:
    raise ValueError("The payload has no event.")


def _history_answer(document: dict[str, Any]) -> dict[str, Any] | None:
    data = document.get("data", document)
    return data if isinstance(data, dict) and isinstance(data.get("messages"), list) else None


def _split_content(envelope: dict[str, Any], body: bytes) -> Iterator[RawItem]:
    try:
        content = content_of(envelope["content"]) if "content" in envelope else envelope
    except ValueError:
        content = None  # `normalise` will say so; the other events of the body go on
    account = envelope.get("user_openid")
    external_id = str(account) if isinstance(account, str | int) and account else None
    if isinstance(content, list) and content:
        for part in content:
            part_body = orjson.dumps({**envelope, "content": part})
            yield RawItem(_key(part, external_id), part_body, external_id=external_id)
    else:
        yield RawItem(_key(content, external_id), body, external_id=external_id)


def _key(content: Any, external_id: str | None) -> str:
    conversation = content.get("conversation_id") if isinstance(content, dict) else None
    return str(conversation) if isinstance(conversation, str | int) and conversation else external_id or "unknown"


# ------------------------------------------------------------------------------------------------ meaning


def normalise(item: ReceivedItem) -> Sequence[Outcome]:
    """The outcomes of one event. Raises ValueError when the event or its content is not JSON."""
    received = Received.of(item)
    kind = received.envelope.event or ""
    if kind in OTHER_SUBSCRIPTIONS:
        return [LeftOut(kind)]
    handle = HANDLERS.get(kind)
    if handle is not None:
        return handle(received)
    return unknown_event(received) if received.content.conversation_id else [account_notice(received)]


def _restricted(received: Received) -> Sequence[Outcome]:
    """Somebody in the EEA, Switzerland or the UK wrote: TikTok says neither who nor what.

    All of them share a conversation of their own that nothing can be sent to; who wrote is not guessed.
    Should it say so after all, the message is one like any other.
    """
    if received.content.conversation_id and received.content.message_id:
        return message_outcomes(received)
    ref = f"eu:{round(received.occurred_at.timestamp() * 1000)}"
    content = UnsupportedContent(
        text="A message from the EEA, Switzerland or the UK. TikTok shows it only in its own app.",
        reason="eu_restricted",
    )
    return [received.message(EventType.MESSAGE_RECEIVED, content, ref=ref, peer=RESTRICTED_PEER)]


def _read(received: Received) -> Sequence[Outcome]:
    """The contact has read up to a point. Our own reading says nothing about the contact."""
    if received.outbound:
        return [LeftOut("own_read")]
    until = received.read_until
    return [
        StatusUpdate(None, State.READ, received.occurred_at, peer=received.peer, until=until),
        Event(
            EventType.CONVERSATION_READ,
            ConversationRead(**received.facts(), read_until=until),
            provider_id=f"{received.peer}:{round(until.timestamp() * 1000)}",
            address=received.address,
        ),
    ]


HANDLERS: Mapping[str, Callable[[Received], Sequence[Outcome]]] = {
    "im_receive_msg": message_outcomes,
    "im_send_msg": message_outcomes,
    "history_message": message_outcomes,
    "im_receive_msg_eu": _restricted,
    "im_mark_read_msg": _read,
    "im_referral_msg": referrals,
    "authorization.removed": authorization_removed,
    **dict.fromkeys(NOTICES, lambda received: [account_notice(received)]),
}
