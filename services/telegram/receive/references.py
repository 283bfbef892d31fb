"""What a message says about itself: its conversation, its names, its author, what it answers, where it comes from."""

from __future__ import annotations

from services.telegram.peers import Peer, kind_of_chat
from services.telegram.receive import wire
from services.telegram.receive.attachments import Attachments
from services.telegram.receive.content import content_of, kind_of, story_text
from services.telegram.receive.people import contact_of_chat, contact_of_user, name_of_chat, name_of_user
from services.telegram.receive.received import Received
from services.telegram.receive.service import text_of_item
from shared.contract.base import Contact, Origin
from shared.contract.content import Forwarded, MediaContent, Quote, ReplyTo, Thread

# Fields of an external reply that name no content.
_HOW_IT_LOOKS = ("link_preview_options", "has_media_spoiler")


def peer_of(message: wire.Message) -> Peer | None:
    """The conversation of a message, or None when it does not say."""
    chat = message.chat
    if chat is None or chat.id is None:
        sender = message.from_
        return Peer(str(sender.id), kind="private") if sender and sender.id is not None else None
    topic = message.message_thread_id if message.is_topic_message else None
    direct = message.direct_messages_topic
    return Peer(
        str(chat.id),
        message.business_connection_id,
        None if topic is None else str(topic),
        str(direct.topic_id) if direct and direct.topic_id is not None else None,
        kind_of_chat(chat.type, message.business_connection_id),
    )


def ref_of(message: wire.Message, peer: Peer, received: Received) -> tuple[str, str]:
    """The reference and the provider's id of a message. An ephemeral message has 0 for an id, and another one."""
    return known_ref(message, peer) or (peer.message_ref(f"update:{received.update_ref}"), received.update_ref)


def known_ref(message: wire.Message, peer: Peer) -> tuple[str, str] | None:
    """As `ref_of`, of a message in another one; None where it has no id."""
    if message.ephemeral_message_id:
        return peer.message_ref(f"ephemeral:{message.ephemeral_message_id}"), str(message.ephemeral_message_id)
    if message.message_id:
        return peer.message_ref(message.message_id), str(message.message_id)
    return None


def sender_of(message: wire.Message) -> Contact:
    """Who wrote it. `from` is a stand-in when a chat writes as itself; channel posts have none."""
    if message.sender_chat is not None:
        return contact_of_chat(message.sender_chat)
    if message.from_ is not None:
        return contact_of_user(message.from_)
    return contact_of_chat(message.chat) if message.chat else Contact()


def is_echo(message: wire.Message) -> bool:
    """Whether our own side wrote it.

    In a business chat the chat's id is the customer's, in a channel's direct messages the topic names the customer:
    whoever else writes there is the owner or the channel.
    """
    sender = message.from_
    if message.business_connection_id:
        chat = message.chat
        if chat is None:
            return False
        return message.sender_business_bot is not None or (sender is not None and sender.id != chat.id)
    customer = message.direct_messages_topic.user if message.direct_messages_topic else None
    if customer is None or customer.id is None:
        return False
    return sender.id != customer.id if sender else message.sender_chat is not None


def origin_of(message: wire.Message) -> Origin:
    """Who wrote it: the contact, one of us by hand, or a program in our name."""
    if not is_echo(message):
        return Origin.CONTACT
    # `from` is a stand-in, and a bot, where somebody writes as the channel.
    bot = message.from_ is not None and message.from_.is_bot and message.sender_chat is None
    return Origin.SYSTEM if message.sender_business_bot or bot else Origin.NATIVE_APP


def recipient_of(message: wire.Message) -> Contact | None:
    """To whom an echo went."""
    topic = message.direct_messages_topic
    if topic is not None and topic.user is not None:
        return contact_of_user(topic.user)
    return contact_of_chat(message.chat) if message.chat else None


def reply_of(message: wire.Message, peer: Peer, received: Received) -> ReplyTo | None:
    """What a message answers."""
    target = message.reply_to_message
    if target is not None and not _opens_topic(message, target):
        ref, number = known_ref(target, peer) or (None, None)
        quote = _quote(message, target, received)
        return _reply_to(number, ref, quote, received) if ref or quote else None
    if message.external_reply is not None:
        return _external_reply(message, message.external_reply, received)
    if message.reply_to_story is not None:
        story = message.reply_to_story
        author = contact_of_chat(story.chat) if story.chat else None
        return ReplyTo(quote=Quote(text=story_text(story), kind="story", author=author))
    if message.quote and message.quote.text:
        return ReplyTo(quote=Quote(text=message.quote.text))
    return None


def _opens_topic(message: wire.Message, target: wire.Message) -> bool:
    # In a topic, what answers nothing points at the message that created the topic.
    if target.forum_topic_created is not None:
        return True
    return bool(message.is_topic_message and target.message_id == message.message_thread_id)


def _reply_to(number: str | None, ref: str | None, quote: Quote | None, received: Received) -> ReplyTo:
    return ReplyTo(
        message_id=received.message_id(ref) if ref else None,
        provider_message_id=number,
        quote=quote,
    )


def _quote(message: wire.Message, target: wire.Message, received: Received) -> Quote | None:
    text = _picked(message, target) or target.text or target.caption or _said(target, received)
    known = target.from_ or target.sender_chat
    kind = kind_of(target)
    if not (text or known or kind):
        return None
    return Quote(text=text, kind=kind, author=sender_of(target) if known else None)


def _picked(message: wire.Message, target: wire.Message) -> str | None:
    """The part of the target that is answered: a quoted stretch, a task of a checklist, an option of a poll."""
    if message.quote and message.quote.text:
        return message.quote.text
    content = target.model_extra or {}
    task = text_of_item(content.get("checklist"), "tasks", "id", message.reply_to_checklist_task_id)
    return task or text_of_item(content.get("poll"), "options", "persistent_id", message.reply_to_poll_option_id)


def _said(target: wire.Message, received: Received) -> str | None:
    """What a message without text or caption says in words: a poll, a place, a contact card, a file by its name."""
    if kind_of(target) is None:
        return None
    content = content_of(target, Attachments(), received.item.received_at).content
    if isinstance(content, MediaContent) and not content.text:
        return content.attachments[0].filename
    return content.text or None


def _external_reply(message: wire.Message, reply: wire.ExternalReply, received: Received) -> ReplyTo:
    ref = number = None
    # Without its chat, the number has been seen to be that of the topic.
    if reply.chat and reply.chat.id is not None and reply.message_id:
        number = str(reply.message_id)
        ref = Peer(str(reply.chat.id)).message_ref(number)
    origin = reply.origin or wire.Origin()
    given = reply.model_extra or {}
    content = wire.Message.model_validate(given)
    unknown = (name for name, value in given.items() if value is not None and name not in _HOW_IT_LOOKS)
    kind = kind_of(content) or next(unknown, None)
    quote = Quote(
        text=_picked(message, content) or _said(content, received),
        kind=kind,
        author=_author(origin),
    )
    return _reply_to(number, ref, quote, received)


def _author(origin: wire.Origin) -> Contact | None:
    if origin.sender_user:
        return contact_of_user(origin.sender_user)
    chat = origin.sender_chat or origin.chat
    if chat:
        return contact_of_chat(chat)
    return Contact(display_name=origin.sender_user_name) if origin.sender_user_name else None


def forwarded_of(message: wire.Message, received: Received) -> Forwarded | None:
    """Where a forwarded message comes from. An origin of an unknown kind still says that it was forwarded."""
    origin = message.forward_origin or _old_origin(message)
    if origin is None:
        return None
    chat = origin.sender_chat or origin.chat
    name = name_of_user(origin.sender_user) if origin.sender_user else origin.sender_user_name
    known = origin.sender_user or chat
    return Forwarded(
        author=name or (name_of_chat(chat) if chat else None) or origin.author_signature,
        author_id=str(known.id) if known and known.id is not None else None,
        source=origin.type or _kind_of_origin(origin),
        occurred_at=None if origin.date is None else received.moment(origin.date),
    )


def _kind_of_origin(origin: wire.Origin) -> str | None:
    # Telegram has been seen to send origins without their type.
    if origin.sender_user:
        return "user"
    if origin.sender_chat:
        return "chat"
    if origin.chat:
        return "channel"
    return "hidden_user" if origin.sender_user_name else None


def _old_origin(message: wire.Message) -> wire.Origin | None:
    # Before Bot API 7.0 the origin was spread over fields of the message.
    if message.forward_from is not None:
        return wire.Origin(type="user", date=message.forward_date, sender_user=message.forward_from)
    if message.forward_from_chat is not None:
        chat = message.forward_from_chat
        return wire.Origin(type=chat.type or "chat", date=message.forward_date, chat=chat)
    if message.forward_sender_name or message.forward_date:
        return wire.Origin(type="hidden_user", date=message.forward_date, sender_user_name=message.forward_sender_name)
    return None


def thread_of(message: wire.Message, peer: Peer) -> Thread | None:
    """The topic, group or business connection of a message; the subject is a topic's name, else the chat's title."""
    topic = peer.topic_id or peer.direct_topic_id
    group = peer.chat_id if peer.is_group else None
    if not (topic or group or peer.business_connection_id):
        return None
    title = message.chat.title if message.chat else None
    return Thread(
        topic_id=topic,
        business_connection_id=peer.business_connection_id,
        group_id=group,
        subject=_topic_name(message) if peer.topic_id else title,
    )


def _topic_name(message: wire.Message) -> str | None:
    """The name of a topic, which only its creation and its renaming tell; every message that answers none has those."""
    opened_by = message.reply_to_message.forum_topic_created if message.reply_to_message else None
    told = message.forum_topic_created or opened_by
    edited = (message.model_extra or {}).get("forum_topic_edited")
    renamed = edited.get("name") if isinstance(edited, dict) else None
    return renamed if isinstance(renamed, str) and renamed else told.name if told else None
