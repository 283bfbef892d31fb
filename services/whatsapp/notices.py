"""Facts about the account: every webhook field that is about no single message and no contact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import orjson

from services.whatsapp import wire
from services.whatsapp.capabilities import CHANNEL
from services.whatsapp.errors import failure_of
from services.whatsapp.identity import phone_digits
from services.whatsapp.throughput import rate_of_notice
from services.whatsapp.wire import Json
from shared.channel import Event, HealthChange, Outcome, ReceivedItem
from shared.contract.base import rfc3339
from shared.contract.errors import ErrorCode
from shared.contract.events import AccountNotice, EventType, Health

Severity = Literal["info", "warning", "critical"]

# Fields that are no matter of an inbox, with the reason.
IGNORED = {
    "calls": "calling is not part of the inbox",
    "flows": "management of Flows: endpoint health and publication",
    "payment_configuration_update": "payments are not part of the inbox",
    "partner_solutions": "contracts between the business and its partners",
    "automatic_events": "conversion events for advertising",
}

_SEVERITIES: dict[str, Severity] = {"CRITICAL": "critical", "WARNING": "warning"}
_BAD_TEMPLATE = frozenset(
    {"REJECTED", "PAUSED", "DISABLED", "FLAGGED", "LOCKED", "LIMIT_EXCEEDED", "PENDING_DELETION", "DELETED"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """How a webhook field reads: its notice, what it is about, and the keys whose values make the sentence."""

    notice: str
    subject: str
    keys: tuple[str, ...]
    severity: Callable[[Json], Severity] = lambda value: "info"


def _word(value: Json, name: str) -> str:
    """A word of Meta's, in capitals whatever its page of today writes."""
    return (wire.text(value, name) or "").upper()


def _template_severity(value: Json) -> Severity:
    return "warning" if _word(value, "event") in _BAD_TEMPLATE else "info"


def _quality_severity(value: Json) -> Severity:
    return "warning" if _word(value, "new_quality_score") in ("RED", "YELLOW") else "info"


def _account_severity(value: Json) -> Severity:
    health = _health("account_update", value)
    if health in (Health.DISCONNECTED, Health.REMOVED):
        return "critical"
    return "warning" if health is Health.DEGRADED or _violation(value).endswith("_WARN") else "info"


def _alert_severity(value: Json) -> Severity:
    given = wire.text(wire.obj(value, "alert_info"), "alert_severity") or wire.text(value, "alert_severity")
    return _SEVERITIES.get((given or "").upper(), "info")


def _group_severity(value: Json) -> Severity:
    return "warning" if wire.items(value, "errors") or wire.text(value, "type") == "group_suspend" else "info"


# Fields whose values are split into items: what is left of one has none.
_ITEMISED = frozenset(
    {"messages", "smb_message_echoes", "smb_app_state_sync", "history", "user_preferences", "user_id_update"}
)

_TEMPLATE_NAME = ("message_template_name", "message_template_language")
_FIELDS = {
    "message_template_status_update": Field(
        "template.status", "Template", (*_TEMPLATE_NAME, "event", "reason"), _template_severity
    ),
    "message_template_quality_update": Field(
        "template.quality",
        "Template quality",
        (*_TEMPLATE_NAME, "previous_quality_score", "new_quality_score"),
        _quality_severity,
    ),
    "message_template_components_update": Field("template.changed", "Template changed", _TEMPLATE_NAME),
    "template_category_update": Field(
        "template.category",
        "Template category",
        (*_TEMPLATE_NAME, "previous_category", "new_category", "correct_category"),
        lambda value: "warning",
    ),
    "template_correct_category_detection": Field(
        "template.category",
        "Template category",
        (*_TEMPLATE_NAME, "category", "correct_category"),
        lambda value: "warning",
    ),
    "phone_number_quality_update": Field(
        "channel.limit",
        "Number limit",
        ("event", "current_limit", "old_limit", "max_daily_conversations_per_business"),
        lambda value: "warning" if _word(value, "event") in ("DOWNGRADE", "FLAGGED", "RESTRICTED") else "info",
    ),
    "business_capability_update": Field(
        "channel.limit",
        "Business limit",
        (
            "max_daily_conversations_per_business",
            "max_daily_conversation_per_phone",
            "max_phone_numbers_per_business",
            "max_phone_numbers_per_waba",
        ),
    ),
    "phone_number_name_update": Field(
        "channel.profile",
        "Display name",
        ("requested_verified_name", "decision", "rejection_reason"),
        lambda value: "warning" if _word(value, "decision") == "REJECTED" else "info",
    ),
    "business_username_update": Field("channel.profile", "Username", ("username", "status")),
    "business_username_updates": Field("channel.profile", "Username", ("username", "status")),
    "account_settings_update": Field("channel.profile", "Settings", ("type",)),
    "account_update": Field(
        "channel.health", "Account", ("event", "violation_type", "waba_ban_state", "waba_ban_date"), _account_severity
    ),
    "account_review_update": Field(
        "channel.health",
        "Account review",
        ("decision",),
        lambda value: "warning" if _word(value, "decision") == "REJECTED" else "info",
    ),
    "business_status_update": Field("channel.alert", "Business", ("event",), lambda value: "warning"),
    "account_alerts": Field(
        "channel.alert", "Alert", ("alert_type", "alert_status", "alert_description"), _alert_severity
    ),
    "security": Field("channel.alert", "Security", ("event",), lambda value: "warning"),
    "group_lifecycle_update": Field("group.lifecycle", "Group", ("type", "group_id", "subject"), _group_severity),
    "group_participants_update": Field(
        "group.participants", "Group participants", ("type", "group_id"), _group_severity
    ),
    "group_settings_update": Field("group.settings", "Group settings", ("type", "group_id"), _group_severity),
    "group_status_update": Field("group.status", "Group status", ("type", "group_id"), _group_severity),
    "messaging_handovers": Field("channel.control", "Control of a conversation changed", ("type", "event")),
}


def notice(item: ReceivedItem, raw: Json) -> Sequence[Outcome]:
    """Whatever is not about one message: an error of the account, a field of its own, a field nobody knows yet.

    Raises ValueError for a change whose value is no object.
    """
    field = wire.text(raw, "field") or "unknown"
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
    if field in IGNORED or own_number is False:
        return []
    if field == "standby":
        return [_standby(item, raw)]
    unknown = "Webhook with nothing known in it" if field in _ITEMISED else "Webhook field nobody knows"
    known = _FIELDS.get(field) or Field("webhook.unknown", f"{unknown}: {field}", ())
    health = _health(field, value)
    told = (wire.obj(value, inside) for inside in ("alert_info", "violation_info", "ban_info"))
    shown = {name: content for part in (*told, value) for name, content in part.items()}
    parts = [found for key in known.keys if (found := wire.text(shown, key))]
    restrictions = wire.objects(value, "restriction_info")
    parts += [found for entry in restrictions if (found := wire.text(entry, "restriction_type"))]
    parts += [f"failed: {failure_of(error).detail or 'no reason given'}" for error in wire.objects(value, "errors")]
    text = _sentence(known.subject, parts)
    outcomes: list[Outcome] = [
        account_notice(
            item, known.notice, known.severity(value), text, value, named(raw, value), when_of(item, raw, value), health
        )
    ]
    rate = rate_of_notice(field, value) if own_number else None
    if health is not None or rate is not None:
        outcomes.append(HealthChange(health, _CODES.get(health) if health else None, text, rate))
    return outcomes


def _is_own_number(item: ReceivedItem, value: Json) -> bool | None:
    """Whether a fact about one number of a WhatsApp Business Account is about the account's; None where nobody knows.

    Such a webhook names the number as it is shown, never by its id, and reaches every account of the business account:
    `settings.phone_number` says which one is whose.
    """
    named = wire.text(value, "display_phone_number", "phone_number")
    own = wire.text(item.account.settings, "phone_number")
    if named is None or own is None:
        return None
    return phone_digits(named) == phone_digits(own)


def status_notice(item: ReceivedItem, member: Json, name: str, wamid: str) -> Event:
    """A status that says nothing about delivery, kept as it came."""
    when = wire.moment(member, "timestamp", item.received_at)
    kind = "status.deleted" if name == "deleted" else "status.unknown"
    return account_notice(item, kind, "info", f"Message status: {name}", member, f"{wamid}:{name}", when)


def payment_notice(item: ReceivedItem, raw: Json, member: Json, name: str) -> Event:
    """What became of a payment: its message was delivered, also when the payment failed."""
    text = _sentence("Payment", [name, *filter(None, [wire.text(wire.obj(member, "payment"), "reference_id")])])
    when = wire.moment(member, "timestamp", item.received_at)
    severity: Severity = "warning" if name == "failed" else "info"
    return account_notice(item, "payment.status", severity, text, member, named(raw, member), when)


def _sentence(subject: str, parts: Sequence[str]) -> str:
    return wire.nfc(f"{subject}: {', '.join(parts)}" if parts else subject)


def account_notice(
    item: ReceivedItem,
    kind: str,
    severity: Severity,
    text: str,
    values: Json,
    provider_id: str,
    when: datetime,
    health: Health | None = None,
) -> Event:
    account = item.account
    data = AccountNotice(
        channel=CHANNEL,
        workspace_id=account.workspace_id,
        account_id=account.account_id,
        conversation_id=f"{CHANNEL}:{account.account_id}",
        occurred_at=when,
        received_at=item.received_at,
        sequence=item.sequence,
        notice=kind,
        severity=severity,
        text=text,
        health=health,
        values=values,
    )
    return Event(EventType.ACCOUNT_NOTICE, data, provider_id)


def named(raw: Json, value: Json) -> str:
    """An id for a fact that has none: the same for a redelivered webhook."""
    known = [raw.get("field"), raw.get("waba"), raw.get("time"), raw.get("metadata"), value]
    return hashlib.blake2s(orjson.dumps(known, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def when_of(item: ReceivedItem, raw: Json, value: Json) -> datetime:
    holder = value if wire.number(value, "timestamp") is not None else {"timestamp": raw.get("time")}
    return wire.moment(holder, "timestamp", item.received_at)


def _account_error(item: ReceivedItem, raw: Json, error: Json) -> list[Outcome]:
    failure = failure_of(error)
    text = _sentence("Error", [part for part in (failure.provider_code, failure.detail) if part])
    when = when_of(item, raw, error)
    found: list[Outcome] = [
        account_notice(item, "channel.alert", "warning", text, error, named(raw, error), when, failure.health)
    ]
    if failure.health is not None:
        found.append(HealthChange(failure.health, failure.code, failure.detail))
    return found


def _progress(item: ReceivedItem, raw: Json, value: Json, kind: str, subject: str) -> Event:
    errors = wire.objects(value, "errors")
    metadata = wire.obj(value, "metadata")
    if errors:
        kind, parts = "history.refused", [failure_of(errors[0]).detail or "refused"]
    else:
        parts = [f"{key} {found}" for key in ("phase", "progress") if (found := wire.text(metadata, key))]
    when = when_of(item, raw, value)
    return account_notice(
        item, kind, "warning" if errors else "info", _sentence(subject, parts), value, named(raw, value), when
    )


def _user_action(item: ReceivedItem, raw: Json, value: Json) -> Event:
    """What a contact did with a message; a click is all that Meta documents, and not all that it sends."""
    action = wire.text(value, "action_type") or "marketing_messages_link_click"
    clicked = action == "marketing_messages_link_click"
    kind, text = ("marketing.link_clicked", "Marketing link") if clicked else ("contact.action", f"Action: {action}")
    return account_notice(item, kind, "info", text, value, named(raw, value), when_of(item, raw, value))


def _standby(item: ReceivedItem, raw: Json) -> Event:
    """Once a day while Meta's own agent answers: our app only watches, and looks dead to whoever does not know."""
    when = wire.moment({"timestamp": raw.get("time")}, "timestamp", item.received_at)
    text = "Meta's own agent holds conversations of this number: messages are observed, a send takes them back."
    return account_notice(item, "channel.standby", "warning", text, {}, f"standby:{rfc3339(when)[:10]}", when)


# ----------------------------------------------------------------------------------------------------- health

_ACCOUNT_EVENTS = {
    "ACCOUNT_VIOLATION": Health.DEGRADED,
    "ACCOUNT_RESTRICTION": Health.DEGRADED,
    "ACCOUNT_DELETED": Health.DISCONNECTED,
    "ACCOUNT_OFFBOARDED": Health.DISCONNECTED,
    "PARTNER_REMOVED": Health.DISCONNECTED,
    "PARTNER_APP_UNINSTALLED": Health.DISCONNECTED,
    "ACCOUNT_RECONNECTED": Health.CONNECTED,
}
_CODES = {Health.DISCONNECTED: ErrorCode.ACCOUNT_DISCONNECTED}
_BANS = {
    "DISABLE": Health.DISCONNECTED,
    "DISABLED": Health.DISCONNECTED,
    "SCHEDULE_FOR_DISABLE": Health.DEGRADED,
    "REINSTATE": Health.CONNECTED,
}


def _violation(value: Json) -> str:
    return _word(wire.obj(value, "violation_info"), "violation_type")


def _account_health(value: Json) -> Health | None:
    event = _word(value, "event")
    if event == "DISABLED_UPDATE":
        return _BANS.get(_word(wire.obj(value, "ban_info"), "waba_ban_state"), Health.DISCONNECTED)
    restricted = {_word(entry, "restriction_type") for entry in wire.objects(value, "restriction_info")}
    if "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" in restricted:
        return Health.DISCONNECTED  # not even an answer may be sent
    if all("CALLING" in kind for kind in restricted or {_violation(value)}):
        return None  # calling is not part of the inbox
    if event == "ACCOUNT_RESTRICTION" and not restricted:  # the end of one, or the warning before, has the same event
        if _violation(value).endswith("_UNBAN"):
            return Health.CONNECTED
        if _violation(value).endswith("_WARN"):
            return None
    return _ACCOUNT_EVENTS.get(event)


def _health(field: str, value: Json) -> Health | None:
    event = _word(value, "event")
    if field == "account_update":
        return _account_health(value)
    if field == "phone_number_quality_update":
        return {"FLAGGED": Health.DEGRADED, "RESTRICTED": Health.DEGRADED, "UNFLAGGED": Health.CONNECTED}.get(event)
    if field == "account_review_update" and _word(value, "decision") == "REJECTED":
        return Health.DEGRADED
    return None
