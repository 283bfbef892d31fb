"""How each webhook field about an account, a number, a template or a group reads: its sentence, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.contract.events import Health
from shared.kit import loose
from shared.kit.facts import Severity
from shared.kit.loose import Json

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
    return (loose.text(value, name) or "").upper()


def _template_severity(value: Json) -> Severity:
    return "warning" if _word(value, "event") in _BAD_TEMPLATE else "info"


def _quality_severity(value: Json) -> Severity:
    return "warning" if _word(value, "new_quality_score") in ("RED", "YELLOW") else "info"


def _account_severity(value: Json) -> Severity:
    health = health_of("account_update", value)
    if health in (Health.DISCONNECTED, Health.REMOVED):
        return "critical"
    return "warning" if health is Health.DEGRADED or _violation(value).endswith("_WARN") else "info"


def _alert_severity(value: Json) -> Severity:
    given = loose.text(loose.obj(value, "alert_info"), "alert_severity") or loose.text(value, "alert_severity")
    return _SEVERITIES.get((given or "").upper(), "info")


def _group_severity(value: Json) -> Severity:
    return "warning" if loose.items(value, "errors") or loose.text(value, "type") == "group_suspend" else "info"


_TEMPLATE_NAME = ("message_template_name", "message_template_language")
FIELDS = {
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
_BANS = {
    "DISABLE": Health.DISCONNECTED,
    "DISABLED": Health.DISCONNECTED,
    "SCHEDULE_FOR_DISABLE": Health.DEGRADED,
    "REINSTATE": Health.CONNECTED,
}


def _violation(value: Json) -> str:
    return _word(loose.obj(value, "violation_info"), "violation_type")


def _account_health(value: Json) -> Health | None:
    event = _word(value, "event")
    if event == "DISABLED_UPDATE":
        return _BANS.get(_word(loose.obj(value, "ban_info"), "waba_ban_state"), Health.DISCONNECTED)
    restricted = {_word(entry, "restriction_type") for entry in loose.objects(value, "restriction_info")}
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


def health_of(field: str, value: Json) -> Health | None:
    """What a value of a field says about the account's health; None where it says nothing."""
    event = _word(value, "event")
    if field == "account_update":
        return _account_health(value)
    if field == "phone_number_quality_update":
        return {"FLAGGED": Health.DEGRADED, "RESTRICTED": Health.DEGRADED, "UNFLAGGED": Health.CONNECTED}.get(event)
    if field == "account_review_update" and _word(value, "decision") == "REJECTED":
        return Health.DEGRADED
    return None
