"""Messages of every lane (chat, business, channel) as events: who, where, answering what, with which content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.telegram.peers import GUEST, Peer
from services.telegram.receive import wire
from services.telegram.receive.attachments import Attachments
from services.telegram.receive.content import Found, content_of, is_own_contact
from services.telegram.receive.postbacks import web_app_answer
from services.telegram.receive.received import Received, Unreadable
from services.telegram.receive.references import (
    forwarded_of,
    is_echo,
    origin_of,
    peer_of,
    recipient_of,
    ref_of,
    reply_of,
    sender_of,
    thread_of,
)
from services.telegram.receive.service import suggested_post
from shared.channel import Event
from shared.contract.base import Alias, AliasKind, Contact, Timestamp
from shared.contract.content import Referral, SystemContent
from shared.contract.events import (
    ContactUpdated,
    ConversationReferred,
    EventType,
    Message,
    MessageEdited,
    ProviderFact,
)

# A deep link's payload: core.telegram.org/bots/features#deep-linking.
_START = re.compile(r"/start(?:@\w+)?\s+(\S{1,64})\s*")
_PHONE = re.compile(r"\+?([1-9][0-9]{7,14})")


def new(message: wire.Message, received: Received) -> Iterator[Event]:
    """The events of a new message. Raises Unreadable for one that names neither chat nor sender."""
    yield from _events(message, peer_of(message), received)


def guest(message: wire.Message, received: Received) -> Iterator[Event]:
    """The events of a message that called the bot into a chat it is no member of: a conversation of its own, which
    nothing can be sent to. Raises Unreadable."""
    peer = peer_of(message)
    for event in _events(message, peer and Peer(peer.chat_id, kind=GUEST), received):
        data = event.data
        if isinstance(data, Message):
            data = data.model_copy(update={"provider": data.provider.model_copy(update={"type": "guest_message"})})
        yield replace(event, data=data)


def _events(message: wire.Message, peer: Peer | None, received: Received) -> Iterator[Event]:
    if peer is None:
        raise Unreadable
    if message.migrate_to_chat_id or message.migrate_from_chat_id:
        yield _migrated(message, peer, received)
        return
    ref, number = ref_of(message, peer, received)
    message_id = received.message_id(ref)
    sent_at = received.moment(message.date)
    if message.web_app_data is not None:
        found = web_app_answer(message.web_app_data)
    else:
        attachments = Attachments(received.item.account, message_id)
        found = content_of(message, attachments, sent_at)
    facts = received.facts(peer, sent_at)
    facts |= {"message_id": message_id, "provider": {"message_id": number, "type": found.kind}}
    if referral := _referral(message):
        yield _referred(referral, sender_of(message), peer, received, ref, sent_at)
        facts["referral"] = referral
    yield _message(message, found, peer, received, ref, facts)
    info = (message.model_extra or {}).get("suggested_post_info")
    if isinstance(info, dict) and info.get("state") == "pending" and not is_echo(message):
        yield _suggested(info, message, peer, received, ref, sent_at)
    alone = peer.kind in ("private", "business") or peer.direct_topic_id is not None  # with one contact
    if message.contact and alone and is_own_contact(message) and not is_echo(message):
        yield from _phone_shared(message, peer, received, ref, sent_at)


def _message(
    message: wire.Message, found: Found, peer: Peer, received: Received, ref: str, facts: dict[str, Any]
) -> Event:
    echo = is_echo(message)
    reply = reply_of(message, peer, received)
    kind = EventType.MESSAGE_ECHOED if echo else EventType.MESSAGE_RECEIVED
    if message.web_app_data is not None:
        kind = EventType.POSTBACK_RECEIVED
    sender = sender_of(message)
    facts |= {"sender": sender, "content": found.content}
    if echo:
        facts |= {"direction": "outbound", "origin": origin_of(message), "recipient": recipient_of(message)}
    if message.is_from_offline or (sender.is_bot and not echo):
        facts["automatic"] = True
    facts |= {"reply_to": reply, "forwarded": forwarded_of(message, received), "thread": thread_of(message, peer)}
    told = not isinstance(found.content, SystemContent) or found.content.event == "write_access_allowed"
    return Event(
        type=kind,
        data=Message.model_validate(facts),
        provider_id=ref,
        peer_aliases=peer.aliases,
        address=peer.address(),
        opens_window=not echo and told and peer.kind != GUEST,
        provider_ref=ref,
    )


def _suggested(
    info: dict[str, Any], message: wire.Message, peer: Peer, received: Received, ref: str, sent_at: Timestamp
) -> Event:
    # The text is the post; price and time are what the sender asks for beside it.
    named = f"{ref}:suggested_post"
    data = Message(
        **received.facts(peer, sent_at),
        message_id=received.message_id(named),
        sender=sender_of(message),
        content=SystemContent(text=suggested_post(info), event="suggested_post"),
        thread=thread_of(message, peer),
        provider=ProviderFact(type="suggested_post_info"),
    )
    return Event(EventType.MESSAGE_RECEIVED, data, named, peer_aliases=peer.aliases, address=peer.address())


def edited(message: wire.Message, received: Received) -> Iterator[Event]:
    """The event of an edit: the message as it is now. Raises Unreadable."""
    peer = peer_of(message)
    if peer is None:
        raise Unreadable
    ref, number = ref_of(message, peer, received)
    message_id = received.message_id(ref)
    attachments = Attachments(received.item.account, message_id)
    found = content_of(message, attachments, received.moment(message.date))
    data = MessageEdited(
        **received.facts(peer, received.moment(message.edit_date or message.date)),
        message_id=message_id,
        direction="outbound" if is_echo(message) else "inbound",
        origin=origin_of(message),
        content=found.content,
        provider=ProviderFact(message_id=number, type=found.kind),
    )
    # A message can be edited twice within a second; a repeated delivery has the same update id.
    yield Event(
        EventType.MESSAGE_EDITED,
        data,
        f"{ref}:{received.update_ref}",
        peer_aliases=peer.aliases,
        address=peer.address(),
        provider_ref=ref,
    )


def _referral(message: wire.Message) -> Referral | None:
    match = _START.fullmatch(message.text) if message.text else None
    return Referral(source="deep_link", payload=match[1]) if match and not is_echo(message) else None


def _referred(
    referral: Referral, contact: Contact, peer: Peer, received: Received, ref: str, sent_at: Timestamp
) -> Event:
    data = ConversationReferred(**received.facts(peer, sent_at), referral=referral, contact=contact)
    return Event(EventType.CONVERSATION_REFERRED, data, ref, peer_aliases=peer.aliases, address=peer.address())


def _phone_shared(
    message: wire.Message, peer: Peer, received: Received, ref: str, sent_at: Timestamp
) -> Iterator[Event]:
    given = re.sub(r"[\s().-]", "", (message.contact.phone_number if message.contact else None) or "")
    number = _PHONE.fullmatch(given)
    if number is None:
        return
    phone = Alias(kind=AliasKind.PHONE, value=f"+{number[1]}")
    sender = sender_of(message)
    data = ContactUpdated(
        **received.facts(peer, sent_at),
        contact=sender.model_copy(update={"aliases": (*sender.aliases, phone)}),
        added=(phone,),
        reason="phone_shared",
    )
    yield Event(EventType.CONTACT_UPDATED, data, f"{ref}:phone", address=peer.address())


def _migrated(message: wire.Message, peer: Peer, received: Received) -> Event:
    # Told twice, once in each chat; both tellings make the same event.
    old = message.migrate_from_chat_id or peer.chat_id
    new = message.migrate_to_chat_id or peer.chat_id
    moved = Peer(str(new), kind="group")
    title = message.chat.title if message.chat else None
    now = Alias(kind=AliasKind.GROUP, value=str(new))
    data = ContactUpdated(
        **received.facts(moved, received.moment(message.date)),
        contact=Contact(aliases=(now,), display_name=title),
        added=(now,),
        removed=(Alias(kind=AliasKind.GROUP, value=str(old)),),
        reason="chat_migrated",
    )
    return Event(
        EventType.CONTACT_UPDATED,
        data,
        f"migrated:{old}:{new}",
        address=moved.address(),
        supersedes_peer=str(old),
    )
