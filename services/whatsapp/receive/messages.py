"""Messages, echoes and history as events: what each message type does to the conversation."""

from __future__ import annotations

from collections.abc import Sequence

from services.whatsapp import wire
from services.whatsapp.identity import ADDRESSEE, AUTHOR, Identity, identity, phone_alias, phone_digits
from services.whatsapp.receive.cards import own_card, own_numbers
from services.whatsapp.receive.content import content_of
from services.whatsapp.receive.moves import moved_contact
from services.whatsapp.receive.received import Received, fact
from shared.channel import Event, Outcome, ReceivedItem
from shared.contract.content import Content, Forwarded, PostbackContent, Referral, ReplyTo, SystemContent, Thread
from shared.contract.events import (
    ContactUpdated,
    ConversationReferred,
    EventType,
    Message,
    MessageDeleted,
    MessageEdited,
    ReactionChanged,
)
from shared.kit import loose
from shared.kit.loose import Json


def message(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A member of `messages[]`, also of Meta's own agent's conversations (`standby`)."""
    person = identity(member, loose.obj(raw, "contact"), *AUTHOR)
    return _outcomes(_received(item, raw, member, person), member)


def echo(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A message the business wrote in the phone app, or Meta's agent in a conversation it holds."""
    person = identity(member, loose.obj(raw, "contact"), *ADDRESSEE)
    return _outcomes(_received(item, raw, member, person, ours=True), member)


def history(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A message of the phone app's history, or the file that belongs to one."""
    person = identity({}, loose.obj(raw, "contact"))
    ours = _is_ours(raw, member, person)
    for key in ADDRESSEE if ours else AUTHOR:
        person.add(loose.text(member, key), key)
    received = _received(item, raw, member, person, ours=ours)
    received.backfill = True
    return _outcomes(received, member)


def _is_ours(raw: Json, member: Json, person: Identity) -> bool:
    """Whether a message of the history is ours: by its author, by whom it goes to, by having an addressee at all.

    Meta documents an addressee on our messages only, yet some senders put one on every message.
    """
    author, addressee = (phone_digits(loose.text(member, key) or "") for key in ("from", "to"))
    business = phone_digits(loose.text(loose.obj(raw, "metadata"), "display_phone_number") or "")
    if business and business in (author, addressee):
        return author == business
    return loose.text(member, *ADDRESSEE) is not None and author not in person.phones


def _received(item: ReceivedItem, raw: Json, member: Json, person: Identity, *, ours: bool = False) -> Received:
    wamid = loose.text(member, "id")
    if wamid is None:
        raise ValueError("a message without an id")
    return Received(
        item=item,
        person=person,
        occurred_at=wire.moment(member, "timestamp", item.received_at),
        group=loose.text(member, "group_id"),
        ours=ours,
        observed=loose.text(raw, "field") == "standby",
        errors=loose.objects(raw, "errors"),
        wamid=wamid,
    )


def _outcomes(received: Received, member: Json) -> Sequence[Outcome]:
    kind = loose.text(member, "type")
    if kind == "reaction":
        target = loose.text(loose.obj(member, "reaction"), "message_id")
        if target:
            return [_reaction(received, member, target)]
    elif kind in ("edit", "revoke"):
        target = loose.text(loose.obj(member, kind), "original_message_id")
        if target:
            return [_edited(received, member, target) if kind == "edit" else _revoked(received, member, target)]
    elif kind == "system":
        moved = moved_contact(received, member)
        if moved:
            return [moved]
    elif kind == "request_welcome":
        opened = SystemContent(text="The contact opened the chat for the first time.", event="request_welcome")
        return [_said(received, member, opened, received.message_id(received.wamid), opens_window=False)]
    return _said_and_known(received, member)


# ------------------------------------------------------------------------------------------------ said


def _said_and_known(received: Received, member: Json) -> list[Outcome]:
    """A message, and what it tells beside its content: an ad, a phone number."""
    message_id = received.message_id(received.wamid)
    content = content_of(received, member, message_id)
    said = _said(received, member, content, message_id, opens_window=loose.text(member, "type") != "system")
    outcomes: list[Outcome] = [said]
    assert isinstance(said.data, Message)
    if said.data.referral and not received.backfill and not received.ours:
        data = ConversationReferred(**received.facts(), referral=said.data.referral, contact=received.author)
        outcomes.append(received.event(EventType.CONVERSATION_REFERRED, data, received.wamid))
    if (card := own_card(member)) and (learned := _own_phone(received, card)):
        outcomes.append(learned)
    return outcomes


def _said(received: Received, member: Json, content: Content, message_id: str, *, opens_window: bool) -> Event:
    context = loose.obj(member, "context")
    answered = loose.text(context, "id", "message_id")
    postback = isinstance(content, PostbackContent) and not received.ours
    often = loose.flag(context, "frequently_forwarded")
    data = Message(
        **received.facts(),
        message_id=message_id,
        direction="outbound" if received.ours else "inbound",
        origin=received.origin,
        sender=received.author,
        recipient=received.person.contact() if received.ours else None,
        content=content,
        reply_to=ReplyTo(message_id=received.message_id(answered), provider_message_id=answered) if answered else None,
        forwarded=Forwarded(often=often or None) if often or loose.flag(context, "forwarded") else None,
        referral=_referral(member, context),
        thread=Thread(group_id=received.group) if received.group else None,
        provider=fact(member, loose.text(member, "type") or "unknown"),
    )
    kind = EventType.MESSAGE_RECEIVED
    if received.ours:
        kind = EventType.MESSAGE_ECHOED
    elif postback:
        kind = EventType.POSTBACK_RECEIVED
    return received.event(
        kind,
        data,
        # The file of a placeholder comes later, under the same id, and is no repetition.
        f"{received.wamid}:placeholder" if loose.text(member, "type") == "media_placeholder" else received.wamid,
        opens_window=opens_window,
        provider_ref=received.wamid,
    )


def _referral(member: Json, context: Json) -> Referral | None:
    ad = loose.obj(member, "referral")
    product = loose.obj(context, "referred_product")
    if not ad and not product:
        return None
    return Referral(
        source=(loose.text(ad, "source_type") or "ad") if ad else "product",
        id=loose.text(ad, "source_id"),
        url=loose.text(ad, "source_url"),
        headline=loose.text(ad, "headline"),
        body=loose.text(ad, "body"),
        welcome_message=loose.text(loose.obj(ad, "welcome_message"), "text"),
        media_url=loose.text(ad, "image_url", "video_url", "thumbnail_url"),
        click_id=loose.text(ad, "ctwa_clid"),
        payload=loose.text(ad, "ref"),
        product_id=loose.text(product, "product_retailer_id"),
        catalog_id=loose.text(product, "catalog_id"),
    )


def _own_phone(received: Received, card: Json) -> Event | None:
    """The number in the contact's own card, as a new alias of the conversation."""
    digits = next(filter(None, map(phone_digits, own_numbers(card))), None)
    alias = phone_alias(digits) if digits else None
    if digits is None or alias is None or digits in received.person.phones:
        return None
    received.person.add(digits)
    data = ContactUpdated(
        **received.facts(), contact=received.person.contact(), added=(alias,), reason="contact_shared"
    )
    return received.event(EventType.CONTACT_UPDATED, data, received.wamid)


# --------------------------------------------------------------------------------------- changes of messages


def _reaction(received: Received, member: Json, target: str) -> Event:
    emoji = loose.text(loose.obj(member, "reaction"), "emoji")
    data = ReactionChanged(
        **received.facts(),
        message_id=received.message_id(target),
        action="added" if emoji else "removed",
        emoji=emoji,
        direction="outbound" if received.ours else "inbound",
        origin=received.origin,
        sender=received.author,
        provider=fact(member, "reaction"),
    )
    return received.event(
        EventType.REACTION_CHANGED,
        data,
        received.wamid,
        opens_window=emoji is not None,
    )


def _edited(received: Received, member: Json, target: str) -> Event:
    edit = loose.obj(member, "edit")
    # What an edit says, wherever it stands: a level too high it is still the new text.
    edited = loose.obj(edit, "message") or {
        name: value for name, value in edit.items() if name != "original_message_id"
    }
    data = MessageEdited(
        **received.facts(),
        message_id=received.message_id(target),
        direction="outbound" if received.ours else "inbound",
        origin=received.origin,
        content=content_of(received, edited, received.message_id(target)),
        provider=fact(member, "edit"),
    )
    return received.event(EventType.MESSAGE_EDITED, data, received.wamid)


def _revoked(received: Received, member: Json, target: str) -> Event:
    data = MessageDeleted(
        **received.facts(),
        message_id=received.message_id(target),
        direction="outbound" if received.ours else "inbound",
        provider=fact(member, "revoke"),
    )
    return received.event(EventType.MESSAGE_DELETED, data, received.wamid)
