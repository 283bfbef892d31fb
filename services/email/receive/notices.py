"""Notices of Amazon SES that come as JSON in a mail: bounces, complaints and deliveries by way of SNS."""

from __future__ import annotations

import re
from typing import Any

import orjson

from services.email.receive.parsed import Report
from services.email.receive.verdicts import is_hard

_MARK = re.compile(r'\{\s*"(?:notificationType|eventType)"\s*:\s*"(?:Bounce|Complaint|Delivery)"')
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_STATES: dict[str, Any] = {"Bounce": "failed", "Complaint": "complaint", "Delivery": "delivered"}
_MOST_RECIPIENTS = 50
_MOST_HEADERS = 200


def read_notice(letter: str) -> Report | None:
    """The report in a notice; None where the text holds none."""
    found = _MARK.search(letter)
    if found is None:
        return None
    document = _document(letter[found.start() :])
    if document is None:
        return None
    kind = document.get("notificationType") or document.get("eventType")
    state = _STATES.get(str(kind))
    mail, told = _object(document, "mail"), _object(document, str(kind).lower())
    if state is None:
        return None
    listed = told.get(f"{'complained' if kind == 'Complaint' else 'bounced'}Recipients")
    recipients = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    first = recipients[0] if recipients else {}
    status = _STATUS.search(str(first.get("status", "")))
    listed_headers = mail.get("headers")
    named = [
        one.get("value")
        for one in (listed_headers if isinstance(listed_headers, list) else [])[:_MOST_HEADERS]
        if isinstance(one, dict) and str(one.get("name")).lower() == "message-id"
    ]
    known = (_object(mail, "commonHeaders").get("messageId"), *named, mail.get("messageId"))
    names = dict.fromkeys(one.strip("<> ") for one in known if isinstance(one, str))
    code, diagnostic = (status[0] if status else None), str(first.get("diagnosticCode", ""))
    gone = told.get("bounceSubType") in ("NoEmail", "Suppressed", "OnAccountSuppressionList")
    return Report(
        state,
        told.get("bounceType") != "Transient" and (gone or is_hard(state, code, diagnostic, "")),
        code,
        names=tuple(names),
        recipients=tuple(
            str(one["emailAddress"]).lower() for one in recipients[:_MOST_RECIPIENTS] if "emailAddress" in one
        ),
    )


def _document(text: str) -> dict[str, Any] | None:
    """The object that a text begins with; mail systems may have wrapped it, and a footer may follow."""
    end = text.rfind("}")
    unwrapped = text[: end + 1].replace("!\n ", "")  # sendmail breaks lines of more than 990 characters so
    for candidate in (text[: end + 1], unwrapped, unwrapped.replace("\n", "")):
        for piece in (candidate, candidate.partition("\n\n--")[0]):
            try:
                loaded = orjson.loads(piece)
            except orjson.JSONDecodeError:
                continue
            return loaded if isinstance(loaded, dict) else None
    return None


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}
