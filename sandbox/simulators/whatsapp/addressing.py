"""Whom a send request is for: phone number, business-scoped user id or group."""

from __future__ import annotations

from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError, Json
from sandbox.simulators.whatsapp.model import BSUID, Conversation, Customer, Number, digits_of

_GROUP_TYPES = frozenset({"text", "image", "video", "audio", "document", "sticker", "template"})


def address(core: Core, number: Number, body: Json) -> tuple[Conversation, Json]:
    """Whom a request means, and the `contacts[]` item of the answer.

    Somebody who is not on WhatsApp gets a conversation too: Meta accepts and fails the message later (131026).
    Raises GraphError: 131009 malformed, 131021 our own number, 131041 unknown group, 131051 not for groups,
    137000 identity.
    """
    world, to = core.world, body.get("to")
    if body.get("recipient_type") == "group":
        group = world.groups.get(str(to))
        if group is None or group.phone_number_id != number.phone_number_id:
            raise GraphError(131041, f"Unknown group {to}.")
        if body.get("type", "text") not in _GROUP_TYPES:
            raise GraphError(131051, "This message type is not supported in groups.")
        return world.conversation(number, group), {"input": to, "wa_id": to}
    customer: Customer | None
    if to:
        digits = digits_of(to)
        if not 5 <= len(digits) <= 130:
            raise GraphError(131009, "Param to is not a valid phone number.")
        if digits == number.digits:
            raise GraphError(131021, "Sender and recipient phone number is the same.")
        # A BSUID in `to` loses its letters and is taken for a phone number nobody has.
        bsuid = BSUID.fullmatch(to) is not None
        customer = None if bsuid else world.at_address(digits)
        if customer is None and core.behaviour.open_world and not bsuid:
            customer = world.stranger(digits, None)
        contact = {"input": to, "wa_id": (customer.phone if customer else None) or digits}
        nobody = Customer(key=digits, phone=digits, on_whatsapp=False)
    else:
        recipient = body["recipient"]
        if not BSUID.fullmatch(recipient):
            raise GraphError(131009, "Param recipient is not a valid business-scoped user id.")
        customer = world.at_address(recipient)
        if customer is None and core.behaviour.open_world:
            customer = world.stranger(None, recipient)
        contact = {"input": recipient, "user_id": recipient}
        nobody = Customer(key=recipient, user_id=recipient, on_whatsapp=False)
    if customer is None:
        return Conversation(number, nobody), contact
    expected = body.get("recipient_identity_key_hash")
    if expected is not None and expected != customer.identity_key_hash:
        raise GraphError(137000, "The recipient's identity has changed.")
    return world.conversation(number, customer), contact
