"""Delivery statuses: what Meta reports about a message of ours."""

from __future__ import annotations

from collections.abc import Sequence

from services.whatsapp import wire
from services.whatsapp.api.errors import About, failure_of
from services.whatsapp.identity import RECIPIENT, Identity, identity
from services.whatsapp.receive import notices
from services.whatsapp.receive.received import Received
from shared.channel import Failure, HealthChange, LeftOut, Outcome, ReceivedItem, StatusUpdate
from shared.contract.errors import ErrorCode
from shared.contract.events import ConsentChanged, EventType
from shared.contract.statuses import State, Warning, WarningCode
from shared.kit import loose
from shared.kit.loose import Json

_STATES = {
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "read": State.READ,
    "played": State.PLAYED,
    "failed": State.FAILED,
    "warning": State.SENT,  # it is out, and shows an item of a catalogue that is not there
}
_NOT_THERE = "Something that the message shows, such as an item of a catalogue, is not there."


def status(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A member of `statuses[]`. Of one about no delivery (`deleted`, a payment) only a notice is made."""
    wamid = loose.text(member, "id")
    if wamid is None:
        raise ValueError("a status without a message id")
    name = (loose.text(member, "status") or "unknown").lower()
    about = loose.text(member, "type")
    field = loose.text(raw, "field")
    if about == "call" or field in notices.IGNORED:
        return [LeftOut("call_status" if about == "call" else str(field))]
    if about == "payment":
        return [notices.payment_notice(item, raw, member, name)]
    state = _STATES.get(name)
    if state is None:
        return [notices.status_notice(item, member, name, wamid)]
    group = loose.text(member, "recipient_id" if member.get("recipient_type") == "group" else "group_id")
    person = Identity() if group else identity(member, loose.obj(raw, "contact"), *RECIPIENT)
    peers = [group] if group else person.peers
    failure = _failure(member) if state is State.FAILED else None
    warnings = (_warning(member),) if name == "warning" else ()
    # Aggregated statuses of groups have it a level deeper.
    pricing = loose.obj(member, "pricing") or loose.obj(loose.obj(member, "conversation"), "pricing")
    update = StatusUpdate(
        provider_message_id=wamid,
        state=state,
        occurred_at=wire.moment(member, "timestamp", item.received_at),
        peer=peers[0] if peers else None,
        peer_aliases=tuple(peers[1:]),
        correlation=loose.text(member, "biz_opaque_callback_data"),
        failure=failure,
        pricing=pricing or None,
        participant=_participant(member) if group and not warnings else None,
        warnings=warnings,
    )
    return [update, *_consequences(item, update, person)] if failure else [update]


def _participant(member: Json) -> str | None:
    """Which member of the group a status is about."""
    return loose.text(member, "recipient_participant_id") or loose.text(member, "recipient_participant_user_id")


def _failure(member: Json) -> Failure:
    errors = loose.objects(member, "errors")
    if not errors:
        return Failure(ErrorCode.UNDELIVERED, detail="WhatsApp reports a failure and gives no reason.")
    return failure_of(errors[0], about=About.STATUS)


def _warning(member: Json) -> Warning:
    errors = loose.objects(member, "errors")
    said = failure_of(errors[0], about=About.STATUS).detail if errors else None
    return Warning(code=WarningCode.CONTENT_UNAVAILABLE, detail=said or _NOT_THERE)


def _consequences(item: ReceivedItem, update: StatusUpdate, person: Identity) -> list[Outcome]:
    """What a failed message says about the account, and about the contact's consent."""
    failure = update.failure
    assert failure is not None
    found: list[Outcome] = []
    if failure.health is not None:
        found.append(HealthChange(failure.health, failure.code, failure.detail))
    if failure.code is ErrorCode.OPTED_OUT and person.peers:
        received = Received(item, person, update.occurred_at)
        data = ConsentChanged(**received.facts(), consent="opted_out", contact=person.contact())
        provider_id = f"{update.provider_message_id}:{failure.provider_code}"
        found.append(received.event(EventType.CONTACT_CONSENT_CHANGED, data, provider_id))
    return found
