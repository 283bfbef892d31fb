"""Updates that are no message: buttons, reactions, blocks, votes; and what is left out.

Every function raises Unreadable for a payload without a chat or whatever else its events need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.telegram.peers import Peer, kind_of_chat
from services.telegram.receive import wire
from services.telegram.receive.content import Found
from services.telegram.receive.notices import notice
from services.telegram.receive.people import contact_of_chat, contact_of_user, is_private, name_of_chat
from services.telegram.receive.postbacks import callback_answer, poll_vote
from services.telegram.receive.received import Received, Unreadable
from services.telegram.receive.references import is_echo, known_ref, peer_of, thread_of
from services.telegram.receive.service import money
from shared.channel import Call, Event
from shared.contract.base import Contact, Origin, Timestamp
from shared.contract.content import CustomPayloadContent, ReplyTo, SystemContent, Thread
from shared.contract.events import (
    ContactReachability,
    EventType,
    Message,
    ProviderFact,
    ReactionChanged,
)

# Updates that are no matter of an inbox, and why.
LEFT_OUT: dict[str, str] = {
    "chat_member": "who joins or leaves a group is seen in its service messages",
    "message_reaction_count": "anonymous counts, minutes late: no contact reacted",
    "inline_query": "a query typed in another chat: no message to the bot",
    "chosen_inline_result": "as inline_query",
    "poll": "the new state of a poll; each vote comes as poll_answer",
    "chat_boost": "boosts concern the chat's level",
    "removed_chat_boost": "as chat_boost",
    "managed_bot": "concerns another bot",
    "subscription": "a payment matter, without a message",
    "stopped_message_generation": "answers a draft, which the connector does not send",
}
_GROUP_STATUS = {
    "member": "The bot was added to the chat",
    "administrator": "The bot is an administrator of the chat",
    "restricted": "The bot was restricted in the chat",
    "left": "The bot left the chat",
    "kicked": "The bot was removed from the chat",
}


def callback_query(query: wire.CallbackQuery, received: Received) -> Iterator[Event]:
    """A tapped button. Its `answer` stops the spinner on the contact's screen; it is good for 150 s."""
    sender = query.from_ or wire.User()
    peer = peer_of(query.message) if query.message else None
    if peer is None:
        # A button of an inline message: Telegram does not say in which chat it is.
        if sender.id is None:
            raise Unreadable
        peer = Peer(str(sender.id), kind="private")
    named = query.id or received.update_ref
    tapped = (
        query.message.model_copy(update={"from_": query.from_, "sender_business_bot": None}) if query.message else None
    )
    ref, number = (known_ref(query.message, peer) if query.message else None) or (None, None)
    reply = ReplyTo(message_id=received.message_id(ref), provider_message_id=number) if ref else None
    yield _postback(
        callback_answer(query),
        contact_of_user(sender),
        peer,
        received,
        ("callback", named),
        reply=reply,
        thread=thread_of(query.message, peer) if query.message else None,
        # The owner of a business chat sees the buttons too.
        own=tapped is not None and query.from_ is not None and is_echo(tapped),
        answer=Call("answerCallbackQuery", {"callback_query_id": query.id}, parts=0) if query.id else None,
    )


def poll_answer(answer: wire.PollAnswer, received: Received) -> Iterator[Event]:
    """A vote. The poll's chat is not told: it goes to the voter's own conversation."""
    # Where a channel or an anonymous administrator votes, `user` is a stand-in that all of them share.
    voter = answer.voter_chat or answer.user
    if voter is None or voter.id is None:
        raise Unreadable
    contact = contact_of_user(voter) if isinstance(voter, wire.User) else contact_of_chat(voter)
    yield _postback(
        poll_vote(answer),
        contact,
        Peer(str(voter.id)),
        received,
        (f"poll:{received.update_ref}", answer.poll_id or "unknown"),
    )


def _postback(
    found: Found,
    sender: Contact,
    peer: Peer,
    received: Received,
    named: tuple[str, str],
    *,
    reply: ReplyTo | None = None,
    thread: Thread | None = None,
    answer: Call | None = None,
    own: bool = False,
) -> Event:
    ref = ":".join(named)
    data = Message(
        **received.facts(peer, received.item.received_at),
        message_id=received.message_id(ref),
        direction="outbound" if own else "inbound",
        origin=Origin.NATIVE_APP if own else Origin.CONTACT,
        sender=sender,
        content=found.content,
        reply_to=reply,
        thread=thread,
        provider=ProviderFact(message_id=named[1], type=found.kind),
    )
    return Event(
        EventType.POSTBACK_RECEIVED,
        data,
        ref,
        peer_aliases=peer.aliases,
        address=peer.address(),
        opens_window=not own,
        answer=answer,
    )


def message_reaction(update: wire.ReactionUpdate, received: Received) -> Iterator[Event]:
    """What changed between the old and the new reactions: what went first, then what came."""
    chat = update.chat
    if chat is None or chat.id is None or not update.message_id:
        raise Unreadable
    peer = Peer(str(chat.id), kind=kind_of_chat(chat.type))
    old, new = (
        {(r.type, r.emoji, r.custom_emoji_id): r for r in reactions or ()}
        for reactions in (update.old_reaction, update.new_reaction)
    )
    gone = [("removed", old[key]) for key in old if key not in new]
    come = [("added", new[key]) for key in new if key not in old]
    ref = peer.message_ref(update.message_id)
    if update.user is not None:
        sender = contact_of_user(update.user)
    else:
        sender = contact_of_chat(update.actor_chat) if update.actor_chat else Contact()
    for index, (action, reaction) in enumerate(gone + come):
        data = ReactionChanged.model_validate(
            {
                **received.facts(peer, received.moment(update.date)),
                "message_id": received.message_id(ref),
                "action": action,
                "emoji": "⭐" if reaction.type == "paid" else reaction.emoji,
                "custom_emoji_id": reaction.custom_emoji_id,
                "sender": sender,
                "provider": ProviderFact(message_id=str(update.message_id), type="message_reaction"),
            }
        )
        yield Event(
            EventType.REACTION_CHANGED,
            data,
            f"{ref}:{received.update_ref}:{index}",
            peer_aliases=peer.aliases,
            address=peer.address(),
        )


def my_chat_member(update: wire.MemberUpdate, received: Received) -> Iterator[Event]:
    """In a private chat: the contact blocked the bot or came back. Elsewhere: what became of the bot in the chat."""
    chat = update.chat
    before, status = _status(update.old_chat_member), _status(update.new_chat_member)
    if chat is None or chat.id is None or status is None:
        raise Unreadable
    peer = Peer(str(chat.id), kind=kind_of_chat(chat.type))
    at = received.moment(update.date)
    sender = contact_of_user(update.from_) if update.from_ else contact_of_chat(chat)
    if is_private(chat):
        blocked = status in ("kicked", "left")
        kind = EventType.CONTACT_BLOCKED if blocked else EventType.CONTACT_UNBLOCKED
        data = ContactReachability(**received.facts(peer, at), by="contact", contact=sender)
        yield Event(kind, data, f"{peer}:{received.update_ref}", address=peer.address())
        return
    text = _GROUP_STATUS.get(status, f"The bot is now {status}")
    if status == "member" and before in ("administrator", "restricted"):
        text = "The bot is an ordinary member of the chat"
    content = SystemContent(text=text, event=f"bot_{status}")
    thread = thread_of(wire.Message(chat=chat), peer)
    yield _note(Found("my_chat_member", content), sender, peer, received, at, thread)


def _status(member: wire.Member | None) -> str | None:
    """What somebody is in a chat; who is restricted may have left it."""
    if member is None:
        return None
    return "left" if member.status == "restricted" and member.is_member is False else member.status


def chat_join_request(request: wire.JoinRequest, received: Received) -> Iterator[Event]:
    """Somebody asks to join a chat; the bot may write to them for five minutes."""
    sender = request.from_
    number = request.user_chat_id or (sender.id if sender else None)
    if number is None:
        raise Unreadable
    where = name_of_chat(request.chat) if request.chat else None
    link = request.invite_link.name if request.invite_link else None
    asked = f"Asked to join {where or 'a chat'}" + (f" by the link “{link}”" if link else "")
    content = SystemContent(text=f"{asked}: {request.bio}" if request.bio else asked, event="chat_join_request")
    peer = Peer(str(number), kind="private")
    contact = contact_of_user(sender) if sender else Contact()
    yield _note(Found("chat_join_request", content), contact, peer, received, received.moment(request.date))


def purchased_paid_media(purchase: wire.PaidMediaPurchase, received: Received) -> Iterator[Event]:
    """The contact bought paid media."""
    buyer = purchase.from_
    if buyer is None or buyer.id is None:
        raise Unreadable
    which = purchase.paid_media_payload
    text = f"Bought paid media: {which}" if which else "Bought paid media"
    content = SystemContent(text=text, event="purchased_paid_media")
    peer = Peer(str(buyer.id), kind="private")
    found = Found("purchased_paid_media", content)
    yield _note(found, contact_of_user(buyer), peer, received, received.item.received_at)


def _note(
    found: Found, sender: Contact, peer: Peer, received: Received, at: Timestamp, thread: Thread | None = None
) -> Event:
    ref = peer.message_ref(f"update:{received.update_ref}")
    data = Message(
        **received.facts(peer, at),
        message_id=received.message_id(ref),
        sender=sender,
        content=found.content,
        thread=thread,
        provider=ProviderFact(type=found.kind),
    )
    return Event(EventType.MESSAGE_RECEIVED, data, ref, peer_aliases=peer.aliases, address=peer.address())


def payment_query(query: dict[str, Any], received: Received) -> Iterator[Event]:
    """A customer at the checkout waits for a confirmation that this connector does not give."""
    amount = f" of {price}" if (price := money(query)) else ""
    text = f"A payment{amount} waits for a confirmation that only the shop's own bot program can give"
    payload = query.get("invoice_payload")
    values = {"invoice_payload": payload} if isinstance(payload, str) else {}
    yield notice(received, "payment_unanswered", text, severity="warning", values=values)


def unknown(name: str, payload: Any, received: Received) -> Iterator[Event]:
    """An update of a kind we do not know: a message where it names a chat, else a notice. It is never lost."""
    fields = payload if isinstance(payload, dict) else {}
    message = wire.Message.model_validate(fields)
    peer = peer_of(message)
    if peer is None or message.chat is None:
        known = name[:64].replace("_", " ") if name.isidentifier() else "no known kind"
        yield notice(received, "unknown_update", f"Telegram sent an update that cannot be read ({known})")
        return
    text = f"Unsupported update ({name.replace('_', ' ')[:64]})"
    sender = contact_of_user(message.from_) if message.from_ else contact_of_chat(message.chat)
    found = Found(name[:64], CustomPayloadContent(text=text, raw={name: payload}))
    yield _note(found, sender, peer, received, received.moment(message.date), thread_of(message, peer))
