"""Whom a command is for: a phone number, a business-scoped user id or a group, never one taken for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.whatsapp.capabilities import CHANNEL
from services.whatsapp.identity import is_bsuid, is_personal_peer, phone_alias, phone_digits
from services.whatsapp.shapes import SHAPES
from shared.channel import PlanContext, Refused
from shared.contract import ids
from shared.contract.base import Alias, AliasKind
from shared.contract.commands import Command
from shared.contract.errors import ErrorCode
from shared.kit import drafts


@dataclass(frozen=True, slots=True)
class Recipient:
    """One of the three. A phone number is sent as Meta gave it to us."""

    phone: str | None = None
    bsuid: str | None = None
    group: str | None = None

    def envelope(self) -> dict[str, str]:
        """The keys of a send that name the recipient."""
        if self.group:
            return {"recipient_type": "group", "to": self.group}
        if self.phone:
            return {"recipient_type": "individual", "to": self.phone}
        assert self.bsuid
        return {"recipient_type": "individual", "recipient": self.bsuid}


def recipient_of(command: Command, context: PlanContext) -> Recipient:
    """The recipient of a command: what the conversation has taught us, else what the command names.

    The phone number goes before the user id: every message kind reaches it, authentication templates only it.
    Raises Refused(recipient_unknown).
    """
    address = context.address
    if address.get("group"):
        return Recipient(group=address["group"])
    phone, bsuid, group = _named(command.to)
    known = phone_digits(address.get("phone", ""))
    if known:
        return Recipient(phone=known)
    if is_bsuid(address.get("bsuid", "")):
        return Recipient(phone=phone, bsuid=address["bsuid"])
    if phone or bsuid:
        return Recipient(phone=phone, bsuid=bsuid)
    if group:
        return Recipient(group=group)
    if (peer := drafts.peer_of(command, CHANNEL, "This is no WhatsApp conversation.")) is None:
        raise _nobody()
    return _of_peer(peer)


def in_group(command: Command, context: PlanContext) -> bool:
    """Whether the conversation is a group's, also for a command that needs no recipient.

    Raises Refused(invalid_command) for a conversation that is not WhatsApp's.
    """
    try:
        return recipient_of(command, context).group is not None
    except Refused as refused:
        if refused.code is ErrorCode.INVALID_COMMAND:
            raise
        return False


def peer_of(to: Sequence[Alias]) -> tuple[str, dict[str, str]]:
    """The peer and the address of a contact known by its aliases only. Raises Refused(recipient_unknown)."""
    phone, bsuid, group = _named(to)
    peer = bsuid or (ids.personal_peer(phone) if phone else group)
    if peer is None:
        raise _nobody()
    address = {"phone": phone, "bsuid": bsuid, "group": group}
    return peer, {name: value for name, value in address.items() if value}


def _named(to: Sequence[Alias]) -> tuple[str | None, str | None, str | None]:
    """The phone number, the user id and the group among aliases."""
    phone = bsuid = parent = group = None
    for index, alias in enumerate(to):
        if is_bsuid(alias.value):
            if alias.kind is AliasKind.PARENT_BSUID:
                parent = alias.value
            else:
                bsuid = alias.value
        elif alias.kind in (AliasKind.PHONE, AliasKind.PROVIDER_ID):
            phone = phone or _international(alias.value)
        elif alias.kind is AliasKind.GROUP:
            if not SHAPES.peer.fits(alias.value):
                detail = "This is no id of a WhatsApp group."
                raise Refused(ErrorCode.INVALID_COMMAND, detail, field=f"to.{index}.value")
            group = alias.value
    return phone, bsuid or parent, group


def _international(value: str) -> str | None:
    """The digits of a number as people write them for callers from abroad; None for one without its country code.

    `+49 (0)151 …` and `0049 151 …` are `49151…`: a country code never begins with 0.
    """
    digits = phone_digits(value.replace("(0)", "").replace("/", " "))
    digits = digits.removeprefix("00") if digits else None
    return digits if digits and not digits.startswith("0") and phone_alias(digits) else None


def _nobody() -> Refused:
    detail = "WhatsApp needs a phone number with its country code, a user id or a group."
    return Refused(ErrorCode.RECIPIENT_UNKNOWN, detail, field="to")


def _of_peer(peer: str) -> Recipient:
    if is_bsuid(peer):
        return Recipient(bsuid=peer)
    if digits := phone_digits(peer):
        return Recipient(phone=digits)
    if is_personal_peer(peer):
        detail = "The phone number of this conversation is not known here."
        raise Refused(ErrorCode.RECIPIENT_UNKNOWN, detail, field="conversation_id")
    return Recipient(group=peer)
