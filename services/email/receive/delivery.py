"""What reports of mail systems mean: statuses of our messages, and a contact who wants no more mail."""

from __future__ import annotations

from collections.abc import Iterator

from services.email.peers import normal_address, peer_of_address
from services.email.receive.addresses import Address
from services.email.receive.arrived import Arrived, contact_of
from services.email.receive.parsed import Report
from services.email.tokens import report_name
from shared.channel import Event, Failure, Outcome, StatusUpdate
from shared.contract import ids
from shared.contract.errors import ErrorCode
from shared.contract.events import ConsentChanged, EventType
from shared.contract.statuses import State

# By the enhanced code (RFC 3463): what its second and third numbers are about.
_TOO_LARGE = frozenset(("5.2.3", "5.3.4"))
_UNKNOWN = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4"))


def outcomes_of(arrived: Arrived) -> Iterator[Outcome]:
    """The statuses and facts of all reports in a mail."""
    for report in arrived.mail.reports:
        if report.state == "complaint":
            yield _complaint(arrived, report)
        elif (status := _status(arrived, report)) is not None:
            yield status


def _status(arrived: Arrived, report: Report) -> StatusUpdate | None:
    """The status of the message that a report is about; None where it does not say which."""
    names = _names(arrived, report)
    if not names:
        return None
    failed = report.state == "failed"
    return StatusUpdate(
        names[0],
        State.FAILED if failed else State.DELIVERED if report.state == "delivered" else State.SENT,
        arrived.occurred_at,
        failure=_failure(report) if failed else None,
        bounce=("hard" if report.hard else "soft") if failed else None,
        candidates=names[1:],
    )


def _names(arrived: Arrived, report: Report) -> tuple[str, ...]:
    """What the message that a report is about may go by, surest first."""
    tokens = [report.envelope_id, arrived.token("bounce")]
    ours = [one for one in tokens if one and arrived.tokens.accepts("bounce", arrived.account.account_id, one)]
    return tuple(dict.fromkeys([*map(report_name, ours), *report.names]))


def _failure(report: Report) -> Failure:
    if report.status in _TOO_LARGE:
        code = ErrorCode.FILE_TOO_LARGE
    elif report.hard or report.status in _UNKNOWN:
        code = ErrorCode.RECIPIENT_UNKNOWN
    elif report.status and report.status.startswith(("5.7.", "5.6.")):
        code = ErrorCode.CONTENT_REJECTED
    else:
        code = ErrorCode.UNDELIVERED
    told = " ".join(filter(None, (report.reply, report.status)))
    return Failure(code, provider_code=told or None)


def _complaint(arrived: Arrived, report: Report) -> Event:
    """The contact whom the mail went to wants no more of them. Anybody can write a complaint, about anybody."""
    address = next(filter(None, map(normal_address, report.recipients)), None)
    facts = arrived.facts()
    if address is not None:
        peer = peer_of_address(address)
        facts["conversation_id"] = ids.conversation_id("email", arrived.account.account_id, peer)
    return Event(
        EventType.CONTACT_CONSENT_CHANGED,
        ConsentChanged(
            **facts,
            consent="opted_out",
            detail="The contact has marked a message as spam.",
            contact=contact_of(Address(address)) if address else None,
        ),
        provider_id=arrived.provider_id,
        of_message=_names(arrived, report),
    )
