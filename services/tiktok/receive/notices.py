"""What concerns the account or how a conversation began: referrals, automatic messages, a withdrawn authorization."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from services.tiktok.receive.received import Received
from services.tiktok.receive.wire import Ad, ShortLink, moment
from shared.channel import Event, HealthChange, Outcome
from shared.contract.content import Referral
from shared.contract.errors import ErrorCode
from shared.contract.events import ConversationReferred, EventType, Health
from shared.kit import facts


class Notice(NamedTuple):
    """What an event about the account says, and which fields of its content go along."""

    name: str
    text: str
    fields: tuple[str, ...]


NOTICES: Mapping[str, Notice] = {
    "im_auto_message_config_update": Notice(
        "automatic_message_changed",
        "An automatic message of the account was changed.",
        ("auto_message_id", "auto_message_type", "auto_message_action",
         "welcome_message", "suggested_question", "chat_prompt"),
    ),
    "im_auto_message_audit_update": Notice(
        "automatic_message_audited",
        "TikTok has reviewed an automatic message of the account.",
        ("auto_message_id", "auto_message_type", "audit_status"),
    ),
    # Comments are public and have their own subscription; this one is only told because it can be answered.
    "im_receive_high_intent_comment": Notice(
        "high_intent_comment",
        "A comment on a video of the account shows interest.",
        ("comment_id", "comment_text", "from", "unique_identifier", "is_follower"),
    ),
}  # fmt: skip

# https://developers.tiktok.com/doc/webhooks-events
_REMOVAL_REASONS: Mapping[str, str] = {
    "1": "The owner disconnected the app.",
    "2": "The TikTok account was deleted.",
    "3": "The age of the account's owner changed.",
    "4": "The TikTok account was banned.",
    "5": "The authorization was revoked.",
}

_UNKNOWN = Notice("unknown_event", "TikTok sent an event of a kind that is not known.", ())


def account_notice(received: Received) -> Event:
    """An event that belongs to no conversation, known or not."""
    notice = NOTICES.get(received.envelope.event or "", _UNKNOWN)
    known = notice is not _UNKNOWN
    values = {name: _as_text(name, received.raw[name]) for name in notice.fields if name in received.raw}
    return _notice(received, notice, values if known else {"event": received.envelope.event, "content": received.raw})


def _as_text(name: str, value: Any) -> Any:
    # 19-digit ids come as numbers, which many a reader would round.
    return str(value) if name.endswith("_id") and isinstance(value, int) else value


def authorization_removed(received: Received) -> Sequence[Outcome]:
    """The owner took the app's permission away: nothing can be sent or fetched any more."""
    told = received.raw.get("reason")
    reason = "" if told is None else str(told)
    text = _REMOVAL_REASONS.get(reason, "The authorization of the account was removed.")
    notice = _notice(received, Notice("authorization_removed", text, ()), {"reason": reason}, critical=True)
    return [HealthChange(Health.DISCONNECTED, ErrorCode.ACCOUNT_DISCONNECTED, text), notice]


def _notice(received: Received, notice: Notice, values: Mapping[str, Any], critical: bool = False) -> Event:
    return facts.account_notice(
        received.item,
        notice.name,
        notice.text,
        f"{received.envelope.event}:{received.digest}",
        severity="critical" if critical else "warning" if notice is _UNKNOWN else "info",
        values={name: value for name, value in values.items() if value not in (None, "")},
        at=received.occurred_at,
        health=Health.DISCONNECTED if critical else None,
    )


# ---------------------------------------------------------------------------------------------- referrals


def referrals(received: Received) -> Sequence[Outcome]:
    """Where the contact came from. A webhook names one entry, the history all there ever were."""
    found = _found(received)
    if not found:
        part = received.content.referral
        source = (part.source if part else None) or "unknown"
        told = received.raw.get("referral")
        found = [(Referral(source=source, payload=orjson.dumps(told).decode() if told else None), None)]
    return [_referred(received, referral, at) for referral, at in found]


def referrals_beside(received: Received) -> list[Event]:
    """Of a message that says itself where its author came from, which TikTok does not document."""
    return [_referred(received, referral, at) for referral, at in _found(received)]


def _found(received: Received) -> list[tuple[Referral, Any]]:
    part = received.content.referral
    # What did not bring the contact may stand beside what did, all its fields empty.
    ads = [ad for ad in part.ad if any(ad.model_dump().values())] if part else []
    links = [link for link in part.short_link if any(link.model_dump().values())] if part else []
    return [*map(_from_ad, ads), *map(_from_link, links)]


def _from_ad(ad: Ad) -> tuple[Referral, Any]:
    referral = Referral(
        source="ad",
        id=ad.ad_id,
        url=ad.embed_url,
        headline=ad.ad_name,
        payload=ad.message_material_id,
        advertiser_id=ad.advertiser_id,
    )
    return referral, ad.timestamp


def _from_link(link: ShortLink) -> tuple[Referral, Any]:
    return Referral(source="short_link", payload=link.ref, body=link.prefilled_message), None


def _referred(received: Received, referral: Referral, timestamp: Any) -> Event:
    at = moment(timestamp)
    shared = received.facts()
    if at is not None and received.envelope.backfill:
        shared["occurred_at"] = at
    # Whole seconds: a webhook tells milliseconds, the history seconds, of the same referral.
    when = str(int((at or received.occurred_at).timestamp()))
    named = referral.id or hashlib.sha256((referral.payload or "").encode()).hexdigest()
    contact = received.contact if received.contact.aliases else None
    return Event(
        EventType.CONVERSATION_REFERRED,
        ConversationReferred(**shared, referral=referral, contact=contact),
        provider_id=f"{received.peer}:{referral.source}:{named}:{when}",
        address=received.address,
    )
