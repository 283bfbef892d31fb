"""Reports of mail systems: what became of a mail of ours, by RFC 3464, or by what the text of a bounce says.

Half of all bounces have no report for machines. They are recognised by who sends them, their subject and their first
sentences; the mail they are about by its Message-ID, wherever in them it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from services.email.receive import headers
from services.email.receive.mime import Part, Structure
from services.email.receive.notices import read_notice
from services.email.receive.parsed import Automatic, Report
from services.email.receive.verdicts import is_hard
from services.email.receive.wordings import (
    CERTAIN,
    DAEMON,
    DELAYED,
    LETTER,
    NOT_DELAYED,
    ORIGINAL_BELOW,
    PERHAPS_DAEMON,
    STILL_TRYING,
    SUBJECT,
)
from services.email.tokens import read_recipient

_DELIVERY_STATUS = frozenset(("message/delivery-status", "message/global-delivery-status"))
_ORIGINALS = frozenset((
    "message/rfc822", "message/global", "message/partial", "text/rfc822-headers", "message/rfc822-headers",
    "message/global-headers", "text/rfc822-header",
))  # fmt: skip
_LONGEST = 256 * 1024  # bytes of a part that are looked at
_LONGEST_LETTER = 16 * 1024  # characters
_MOST_RECIPIENTS = 50
_MOST_NAMES = 10

_STATES: dict[str, Literal["failed", "delayed", "delivered", "relayed"]] = {
    "failed": "failed", "failure": "failed", "delayed": "delayed", "deferred": "delayed", "delivered": "delivered",
    "relayed": "relayed", "expanded": "relayed",
}  # fmt: skip

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,2}\.\d{1,3})(?![\d.]*\d)")
_REPLY = re.compile(r"(?<![\d.@-])([45]\d\d)(?=[ -]|$)", re.M)
_NAME = re.compile(
    r"^[ \t>|]*Message-?I[dD][ \t]*:[ \t>]*(?:\r?\n[ \t>]+)?<?([^\s<>()\",;]{1,400}@[^\s<>()\",;]{1,400})>?",
    re.I | re.M,
)
_ID_ALONE = re.compile(r"^[ \t>|]*Message-?ID[ \t]*:[ \t]*(?:\r?\n[ \t>]+)?<([^<>\r\n]{3,400})>", re.I | re.M)
_RECIPIENT = re.compile(r"(?:rfc822|utf-8|smtp|x400)?\s*;?\s*<?\s*([^\s<>;,]{1,250}@[^\s<>;,]{1,250})", re.I)


def reports_of(structure: Structure, letter: str) -> tuple[Automatic | None, tuple[Report, ...]]:
    """What kind of report a mail is, and what it says; (None, ()) for a mail that is none. `letter` is its text."""
    root, parts = structure.root, list(structure.root.walk())
    own = headers.message_id(root.head.first("message-id"))
    letter = letter[:_LONGEST_LETTER]
    if (complaints := _complaint(root, parts)) is not None:
        return "feedback", tuple(replace(one, names=_names(parts, own)) for one in complaints)
    found = [one for part in parts if part.type in _DELIVERY_STATUS for one in _delivery_status(part, letter)]
    if not found and (notice := read_notice(letter)) is not None:
        return ("feedback" if notice.state == "complaint" else "bounce"), (notice,)
    if not found:
        if not _is_bounce(root, parts, letter):
            return None, ()
        found = [_by_letter(root, letter)]
    names = _names(parts, own)
    return "bounce", tuple(replace(one, names=names) for one in _each_state(found))


def _each_state(found: list[Report]) -> list[Report]:
    """One report for each state: a mail has one status, however many addresses it went to; hard if all of them are."""
    states: dict[str, Report] = {}
    for one in found:
        known = states.setdefault(one.state, one)
        if known is not one:
            joined = (*known.recipients, *one.recipients)[:_MOST_RECIPIENTS]
            states[one.state] = replace(known, hard=known.hard and one.hard, recipients=joined)
    return list(states.values())


# -------------------------------------------------------------------------------------------------------- recognised


def _is_bounce(root: Part, parts: list[Part], letter: str) -> bool:
    """Whether a mail without a report for machines is a bounce."""
    head = root.head
    if head.has("x-failed-recipients"):
        return True
    if root.type == "multipart/report" and root.parameters.get("report-type", "delivery-status") == "delivery-status":
        return True
    sender = headers.text(head.first("from")) or headers.text(head.first("return-path"))
    subject = headers.text(head.first("subject"))
    daemon, titled = DAEMON.search(sender) is not None, SUBJECT.search(subject) is not None
    empty = head.has("return-path") and headers.text(head.first("return-path")).strip("<> ") == ""
    submitted = headers.text(head.first("auto-submitted")).lower().startswith("auto-")
    perhaps = empty or submitted or PERHAPS_DAEMON.search(sender) is not None
    if not (daemon or titled or perhaps):
        return False
    begins = letter[:4000]
    says = LETTER.search(begins) is not None
    returns = any(part.type in _ORIGINALS for part in parts) or _NAME.search(letter) is not None
    codes = _REPLY.search(begins) is not None or _STATUS.search(begins) is not None
    if daemon:
        return says or titled or returns
    if titled:
        return says and (perhaps or returns or codes or CERTAIN.search(begins) is not None)
    return says and returns and (codes or CERTAIN.search(begins) is not None) and perhaps


def _complaint(root: Part, parts: list[Part]) -> tuple[Report, ...] | None:
    """The complaint about a mail of ours in feedback: ARF (RFC 5965), or Outlook.com's way of it; None for other mail.

    Many leave out whom the mail was for, or blacken it (RFC 6590): the mail's own names tell.
    """
    for part in parts:
        if part.type == "message/feedback-report":
            fields = headers.read_head(part.data(_LONGEST))
            kind = headers.text(fields.first("feedback-type")).lower()
            recipients = [*fields.all("original-rcpt-to"), *fields.all("removal-recipient")]
            wanted = kind in ("", "abuse", "fraud", "opt-out", "opt-out-list", "complaint", "miscategorized", "other")
            senders = map(headers.text, fields.all("original-mail-from"))
            tokens = (read_recipient(sender.strip("<> ").rpartition("@")[0]) for sender in senders)
            token = next((one[1] for one in tokens if one and one[0] == "bounce"), None)
            return (Report("complaint", envelope_id=token, recipients=_addresses(recipients)),) if wanted else ()
    sender, subject = (headers.text(root.head.first(name)).lower() for name in ("from", "subject"))
    if "staff@hotmail.com" in sender and subject.startswith("complaint about message"):
        found = [value for part in parts for value in _original_head(part).all("x-hmxmroriginalrecipient")]
        return (Report("complaint", recipients=_addresses(found)),)
    if root.type == "multipart/report" and root.parameters.get("report-type", "").lower() == "feedback-report":
        return (Report("complaint"),)
    return None


def _addresses(values: list[bytes]) -> tuple[str, ...]:
    found = (_RECIPIENT.match(headers.text(value)) for value in values[:_MOST_RECIPIENTS])
    return tuple(dict.fromkeys(one[1].strip("<>\"'").lower() for one in found if one))


# ---------------------------------------------------------------------------------------------------------- reports


def _delivery_status(part: Part, letter: str) -> Iterator[Report]:
    """The reports of a message/delivery-status: fields of the mail, then a group of fields for each recipient."""
    data, at = part.data(_LONGEST).replace(b"\r\n", b"\n").lstrip(b"\n"), 0
    envelope_id: str | None = None
    for _ in range(_MOST_RECIPIENTS):
        group = headers.read_head(data, at)
        if not group:
            at = _next_group(data, group.body)
            if at < 0:
                return
            continue
        envelope_id = headers.text(group.first("original-envelope-id"))[:200] or envelope_id
        action = headers.text(group.first("action")).lower().split(" ")[0].strip("();,")
        status = _STATUS.search(headers.text(group.first("status")))
        if action or status or group.has("final-recipient"):
            yield _recipient_report(group, action, status[1] if status else None, envelope_id, letter)
        at = group.body
        if at >= len(data):
            return


def _next_group(data: bytes, at: int) -> int:
    """Where the next line begins that may be a field; negative if there is none."""
    end = data.find(b"\n", at)
    return end + 1 if 0 <= end < len(data) - 1 else -1


def _recipient_report(
    group: headers.Head, action: str, status: str | None, envelope_id: str | None, letter: str
) -> Report:
    diagnostic = headers.text(b" ".join(group.all("diagnostic-code")))
    state = _STATES.get(action) or ("failed" if not status or status[0] == "5" else "delayed")
    said = _STATUS.search(diagnostic)
    # A mail system's own code is often the catch-all; the one the recipient's server gave is what happened.
    if said and (status is None or status.endswith(".0.0") or status in ("5.0.0", "5.1.0")):
        status = said[1]
    reply = _REPLY.search(diagnostic)
    return Report(
        state,
        is_hard(state, status, diagnostic.partition(";")[2] or diagnostic, letter),
        status,
        reply[1] if reply else None,
        envelope_id,
        recipients=_addresses([group.first("original-recipient") or group.first("final-recipient")]),
    )


def _by_letter(root: Part, letter: str) -> Report:
    """What the text of a bounce says."""
    words = _without_original(letter)
    subject = headers.text(root.head.first("subject"))
    status, reply = _STATUS.search(words), _REPLY.search(words)
    begins = f"{subject}\n{words[:2000]}"
    delayed = STILL_TRYING.search(begins) or (DELAYED.search(begins) and not NOT_DELAYED.search(begins))
    state: Literal["delayed", "failed"] = "delayed" if delayed else "failed"
    code = status[1] if status else None
    recipients = _addresses([b",".join(root.head.all("x-failed-recipients")).partition(b",")[0]])
    return Report(
        state,
        is_hard(state, code, f"{words}\n{subject}", letter),
        code,
        reply[1] if reply else None,
        recipients=recipients,
    )


def _without_original(letter: str) -> str:
    """The letter up to where it shows the mail it is about."""
    found = ORIGINAL_BELOW.search(letter)
    return letter[: found.start()] if found and letter[: found.start()].strip() else letter


# ------------------------------------------------------------------------------------------------------------ names


def _names(parts: list[Part], own: str | None) -> tuple[str, ...]:
    """Message-IDs of the mail that a report is about: of a returned header, then of anything that looks like one."""
    found: dict[str, None] = {}
    root = parts[0]
    for part in parts:
        if part.type in _ORIGINALS and (named := headers.message_id(_original_head(part).first("message-id"))):
            found.setdefault(named)
    for part in parts:
        if not part.children and (part.type.startswith(("text/", "message/")) or part is root):
            text = part.text(_LONGEST)
            for pattern in (_NAME, _ID_ALONE):
                for match in pattern.finditer(text):
                    found.setdefault(match[1].strip())
                    if len(found) > _MOST_NAMES:
                        break
    for field in ("in-reply-to", "references", "x-ms-exchange-parent-message-id", "x-original-message-id"):
        for named in headers.message_ids(root.head.first(field)):
            found.setdefault(named)
    found.pop(own or "", None)
    return tuple(found)[:_MOST_NAMES]


def _original_head(part: Part) -> headers.Head:
    if part.type not in _ORIGINALS:
        return headers.Head((), 0)
    return headers.read_head(part.data(_LONGEST), outermost=True)
