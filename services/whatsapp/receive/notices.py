"""Facts about the account: every webhook field that is about no single message and no contact."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import orjson

from services.whatsapp import wire
from services.whatsapp.api.errors import failure_of
from services.whatsapp.identity import phone_digits
from services.whatsapp.receive.fields import FIELDS, Field, health_of
from services.whatsapp.throughput import rate_of_notice
from shared.channel import Event, HealthChange, LeftOut, Outcome, ReceivedItem, TemplateChange
from shared.contract.base import rfc3339
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit import loose
from shared.kit.facts import Severity, account_notice
from shared.kit.loose import Json
from shared.kit.words import nfc

# Fields that are no matter of an inbox, with the reason.
IGNORED = {
    "calls": "calling is not part of the inbox",
    "flows": "management of Flows: endpoint health and publication",
    "payment_configuration_update": "payments are not part of the inbox",
    "partner_solutions": "contracts between the business and its partners",
    "automatic_events": "conversion events for advertising",
}

_CODES = {Health.DISCONNECTED: ErrorCode.ACCOUNT_DISCONNECTED}

# Fields whose values are split into items: what is left of one has none.
_ITEMISED = frozenset(
    {"messages", "smb_message_echoes", "smb_app_state_sync", "history", "user_preferences", "user_id_update"}
)


def notice(item: ReceivedItem, raw: Json) -> Sequence[Outcome]:
    """Whatever is not about one message: an error of the account, a field of its own, a field nobody knows yet.

    Raises ValueError for a change whose value is no object.
    """
    field = loose.text(raw, "field") or "unknown"
    for name, kind, subject in (
        ("history", "history.progress", "History"),
        ("conversation_context", "conversation.context", "What was said before, as Meta sums it up"),
    ):
        if isinstance(raw.get(name), dict):
            return [_progress(item, raw, raw[name], kind, subject)]
    if isinstance(raw.get("user_action"), dict):
        return [_user_action(item, raw, raw["user_action"])]
    if isinstance(raw.get("error"), dict):
        return _account_error(item, raw, raw["error"])
    value = raw.get("group", raw.get("value", raw))
    if not isinstance(value, dict):
        raise ValueError("the value is not an object")
    own_number = _is_own_number(item, value)
    if field in IGNORED:
        return [LeftOut(field)]
    if own_number is False:
        return [LeftOut("another_number")]
    if field == "standby":
        return [_standby(item, raw)]
    unknown = "Webhook with nothing known in it" if field in _ITEMISED else "Webhook field nobody knows"
    known = FIELDS.get(field) or Field("webhook.unknown", f"{unknown}: {field}", ())
    health = health_of(field, value)
    told = (loose.obj(value, inside) for inside in ("alert_info", "violation_info", "ban_info"))
    shown = {name: content for part in (*told, value) for name, content in part.items()}
    parts = [found for key in known.keys if (found := loose.text(shown, key))]
    restrictions = loose.objects(value, "restriction_info")
    parts += [found for entry in restrictions if (found := loose.text(entry, "restriction_type"))]
    parts += [f"failed: {failure_of(error).detail or 'no reason given'}" for error in loose.objects(value, "errors")]
    text = _sentence(known.subject, parts)
    outcomes: list[Outcome] = [
        account_notice(
            item,
            known.notice,
            text,
            named(raw, value),
            severity=known.severity(value),
            values=value,
            at=when_of(item, raw, value),
            health=health,
        )
    ]
    if known.notice.startswith("template."):
        outcomes.append(TemplateChange(loose.text(value, "message_template_name")))
    rate = rate_of_notice(field, value) if own_number else None
    if health is not None or rate is not None:
        outcomes.append(HealthChange(health, _CODES.get(health) if health else None, text, rate))
    return outcomes


def _is_own_number(item: ReceivedItem, value: Json) -> bool | None:
    """Whether a fact about one number of a WhatsApp Business Account is about the account's; None where nobody knows.

    Such a webhook names the number as it is shown, never by its id, and reaches every account of the business account:
    `settings.phone_number` says which one is whose.
    """
    named = loose.text(value, "display_phone_number", "phone_number")
    own = loose.text(item.account.settings, "phone_number")
    if named is None or own is None:
        return None
    return phone_digits(named) == phone_digits(own)


def status_notice(item: ReceivedItem, member: Json, name: str, wamid: str) -> Event:
    """A status that says nothing about delivery, kept as it came."""
    when = wire.moment(member, "timestamp", item.received_at)
    kind = "status.deleted" if name == "deleted" else "status.unknown"
    return account_notice(item, kind, f"Message status: {name}", f"{wamid}:{name}", values=member, at=when)


def payment_notice(item: ReceivedItem, raw: Json, member: Json, name: str) -> Event:
    """What became of a payment: its message was delivered, also when the payment failed."""
    text = _sentence("Payment", [name, *filter(None, [loose.text(loose.obj(member, "payment"), "reference_id")])])
    when = wire.moment(member, "timestamp", item.received_at)
    severity: Severity = "warning" if name == "failed" else "info"
    return account_notice(item, "payment.status", text, named(raw, member), severity=severity, values=member, at=when)


def _sentence(subject: str, parts: Sequence[str]) -> str:
    return nfc(f"{subject}: {', '.join(parts)}" if parts else subject)


def named(raw: Json, value: Json) -> str:
    """An id for a fact that has none: the same for a redelivered webhook."""
    known = [raw.get("field"), raw.get("waba"), raw.get("time"), raw.get("metadata"), value]
    return hashlib.blake2s(orjson.dumps(known, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def when_of(item: ReceivedItem, raw: Json, value: Json) -> datetime:
    holder = value if loose.number(value, "timestamp") is not None else {"timestamp": raw.get("time")}
    return wire.moment(holder, "timestamp", item.received_at)


def _account_error(item: ReceivedItem, raw: Json, error: Json) -> list[Outcome]:
    failure = failure_of(error)
    text = _sentence("Error", [part for part in (failure.provider_code, failure.detail) if part])
    when = when_of(item, raw, error)
    found: list[Outcome] = [
        account_notice(
            item,
            "channel.alert",
            text,
            named(raw, error),
            severity="warning",
            values=error,
            at=when,
            health=failure.health,
        )
    ]
    if failure.health is not None:
        found.append(HealthChange(failure.health, failure.code, failure.detail))
    return found


def _progress(item: ReceivedItem, raw: Json, value: Json, kind: str, subject: str) -> Event:
    errors = loose.objects(value, "errors")
    metadata = loose.obj(value, "metadata")
    if errors:
        kind, parts = "history.refused", [failure_of(errors[0]).detail or "refused"]
    else:
        parts = [f"{key} {found}" for key in ("phase", "progress") if (found := loose.text(metadata, key))]
    when = when_of(item, raw, value)
    severity: Severity = "warning" if errors else "info"
    text = _sentence(subject, parts)
    return account_notice(item, kind, text, named(raw, value), severity=severity, values=value, at=when)


def _user_action(item: ReceivedItem, raw: Json, value: Json) -> Event:
    """What a contact did with a message; a click is all that Meta documents, and not all that it sends."""
    action = loose.text(value, "action_type") or "marketing_messages_link_click"
    clicked = action == "marketing_messages_link_click"
    kind, text = ("marketing.link_clicked", "Marketing link") if clicked else ("contact.action", f"Action: {action}")
    return account_notice(item, kind, text, named(raw, value), values=value, at=when_of(item, raw, value))


def _standby(item: ReceivedItem, raw: Json) -> Event:
    """Once a day while Meta's own agent answers: our app only watches, and looks dead to whoever does not know."""
    when = wire.moment({"timestamp": raw.get("time")}, "timestamp", item.received_at)
    text = "Meta's own agent holds conversations of this number: messages are observed, a send takes them back."
    day = rfc3339(when)[:10]
    return account_notice(item, "channel.standby", text, f"standby:{day}", severity="warning", at=when)
