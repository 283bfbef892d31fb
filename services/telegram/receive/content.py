"""What a Telegram message holds, as content of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from services.telegram.receive import wire
from services.telegram.receive.attachments import Attachments
from services.telegram.receive.entities import spans_of
from services.telegram.receive.people import name_of_chat
from services.telegram.receive.rich import Flattened
from services.telegram.receive.service import CUSTOM_CONTENT, SERVICE_MESSAGES, shared_users
from shared.contract.base import Timestamp
from shared.contract.content import (
    AttachmentKind,
    ContactCard,
    ContactsContent,
    Content,
    CustomPayloadContent,
    LocationContent,
    MediaContent,
    Place,
    StickerContent,
    SystemContent,
    TextContent,
    UnsupportedContent,
)
from shared.policy.vcards import read_vcard

# Fields of a message that say how it came or looks, not what it says; whatever else is left over is content.
_NO_CONTENT = frozenset(
    {
        "author_signature",
        "effect_id",
        "forward_from_message_id",
        "forward_signature",
        "guest_bot_caller_chat",
        "guest_bot_caller_user",
        "guest_query_id",
        "has_media_spoiler",
        "has_protected_content",
        "is_automatic_forward",
        "is_paid_post",
        "link_preview_options",
        "paid_star_count",
        "receiver_user",
        "sender_boost_count",
        "sender_tag",
        "show_caption_above_media",
        "suggested_post_info",
        "via_bot",
    }
)
_SHARED = frozenset({"users_shared", "user_shared"})  # people, chosen by a button of the bot's
_SERVICE_ORDER = {name: index for index, name in enumerate(SERVICE_MESSAGES)}
# Programs that pass updates on write what a message does not have as an empty value; `{}` is how Telegram says yes.
_ABSENT: tuple[Any, ...] = (None, False, "", [])
_INDEFINITE = 0x7FFFFFFF  # live_period of a location shared until it is stopped


class Found(NamedTuple):
    """The content of a message and the name of the field it was in."""

    kind: str
    content: Content


def kind_of(message: wire.Message) -> str | None:
    """The name of the field that holds the content, or None."""
    extra = message.model_extra or {}
    service = [name for name in extra if name in SERVICE_MESSAGES and extra[name] not in _ABSENT]
    if message.forum_topic_created:
        service.append("forum_topic_created")
    if service:
        # Old names of the same fact come beside the new one.
        return min(service, key=_SERVICE_ORDER.__getitem__)
    given = message.model_fields_set
    for name in _READERS:
        if name in given and getattr(message, name) not in _ABSENT:
            return name
    return next((name for name in CUSTOM_CONTENT if isinstance(extra.get(name), dict)), None)


def content_of(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Found:
    """The content of a message; of several fields (a GIF comes as animation and document) the most telling one."""
    kind = kind_of(message)
    extra = message.model_extra or {}
    if kind is None:
        return _unknown(message)
    if reader := _READERS.get(kind):
        content = reader(message, attachments, sent_at)
        return Found(kind, content) if content is not None else _unknown(message)
    if kind in CUSTOM_CONTENT:
        return Found(kind, CustomPayloadContent(text=CUSTOM_CONTENT[kind](extra[kind]), raw={kind: extra[kind]}))
    if kind in _SHARED and (cards := shared_users(extra[kind])):
        return Found(kind, ContactsContent(text=SERVICE_MESSAGES[kind](extra[kind]), contacts=cards))
    topic = message.forum_topic_created
    value = {"name": topic.name} if kind == "forum_topic_created" and topic else extra[kind]
    return Found(kind, SystemContent(text=SERVICE_MESSAGES[kind](value), event=kind))


def _unknown(message: wire.Message) -> Found:
    """What is left of a message without content that we know: its caption, and the fields nobody has described."""
    extra = message.model_extra or {}
    raw = {name: value for name, value in extra.items() if name not in _NO_CONTENT and value not in _ABSENT}
    caption = message.caption or ""
    if not raw and caption:
        return Found("caption", TextContent(text=caption, spans=spans_of(caption, message.caption_entities)))
    if not raw:
        return Found("unsupported", UnsupportedContent(text="Unsupported message", reason="no_content"))
    kind = next(iter(raw))
    named = kind.replace("_", " ") if re.fullmatch(r"[a-z_]{1,40}", kind) else "unknown kind"
    text = _captioned(f"Unsupported message ({named})", message)
    return Found(kind[:64], CustomPayloadContent(text=text, raw={**raw, "caption": caption} if caption else raw))


def _captioned(text: str, message: wire.Message) -> str:
    return f"{text}: {message.caption}" if message.caption else text


def _text(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    text = message.text or ""
    return TextContent(text=text, spans=spans_of(text, message.entities))


def _media(message: wire.Message, attachments: Attachments) -> Content | None:
    if not len(attachments):
        return None
    caption = message.caption or ""
    return MediaContent(
        text=caption,
        spans=spans_of(caption, message.caption_entities),
        attachments=attachments.found,
        group=message.media_group_id or None,
    )


def _photo(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    attachments.add_photo(message.photo)
    return _media(message, attachments)


def _animation(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    if message.animation:
        attachments.add_animation(message.animation)
    return _media(message, attachments)


def _live_photo(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    if message.live_photo:
        attachments.add_live_photo(message.live_photo, message.photo)
    return _media(message, attachments)


def _file(name: str, kind: AttachmentKind, mime_type: str | None) -> Reader:
    def read(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
        file: wire.File = getattr(message, name)
        attachments.add(kind, file, mime_type)
        return _media(message, attachments)

    return read


def _paid_media(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    info = message.paid_media or wire.PaidMediaInfo()
    for item in info.paid_media or ():
        if item.live_photo:
            attachments.add_live_photo(item.live_photo, None)
        elif item.video:
            attachments.add(AttachmentKind.VIDEO, item.video, "video/mp4")
        else:
            attachments.add_photo(item.photo)
    price = f"Paid media for {info.star_count} Stars" if info.star_count else "Paid media"
    if media := _media(message, attachments):
        return media
    return UnsupportedContent(text=_captioned(price, message), reason="paid_media")


def _sticker(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    sticker = message.sticker or wire.File()
    mime_type = "image/webp"
    if sticker.is_animated:
        mime_type = "application/x-tgsticker"
    elif sticker.is_video:
        mime_type = "video/webm"
    attachments.add(AttachmentKind.STICKER, sticker, mime_type, bool(sticker.is_animated or sticker.is_video))
    return StickerContent(
        text=sticker.emoji or "Sticker",
        attachments=attachments.found,
        emoji=sticker.emoji,
        set_name=sticker.set_name,
    )


def _location(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    venue = message.venue or wire.Venue()
    point = venue.location or message.location or wire.Location()
    if point.latitude is None or point.longitude is None:
        return UnsupportedContent(text="Location", reason="no_coordinates")
    live_until = None
    if point.live_period and 0 < point.live_period < _INDEFINITE:
        live_until = sent_at + timedelta(seconds=point.live_period)
    label = "Live location" if point.live_period else "Location"
    where = ", ".join(filter(None, (venue.title, venue.address)))
    coordinates = f"{point.latitude}, {point.longitude}"
    return LocationContent(
        text=f"{label}: {where} ({coordinates})" if where else f"{label}: {coordinates}",
        location=Place(
            latitude=point.latitude,
            longitude=point.longitude,
            name=venue.title,
            address=venue.address,
            accuracy_m=point.horizontal_accuracy,
            live_until=live_until,
        ),
    )


def _contact(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    card = message.contact or wire.SharedContact()
    more = read_vcard(card.vcard)
    name = f"{card.first_name or ''} {card.last_name or ''}".strip() or more.name or ""
    known = ", ".join(filter(None, (name, card.phone_number or next(iter(more.phones), None))))
    return ContactsContent(
        text=f"Contact: {known}" if known else "Contact",
        contacts=(
            ContactCard(
                name=name,
                given_name=card.first_name,
                family_name=card.last_name,
                phones=_phones(card.phone_number, more.phones),
                emails=tuple(more.emails),
                urls=tuple(more.urls),
                addresses=tuple(more.addresses),
                organisation=next(iter(more.organisations), None),
                birthday=next(iter(more.birthdays), None),
                vcard=card.vcard,
                provider_id=None if card.user_id is None else str(card.user_id),
                verified=is_own_contact(message),
            ),
        ),
    )


def _phones(number: str | None, others: Sequence[str]) -> tuple[str, ...]:
    """The number Telegram knows the contact by, and those of its vCard; the same number is written in many ways."""
    by_digits: dict[str, str] = {}
    for phone in filter(None, (number, *others)):
        by_digits.setdefault(re.sub(r"\D", "", phone) or phone, phone)
    return tuple(by_digits.values())


def is_own_contact(message: wire.Message) -> bool:
    """Whether the sender shared its own card: only then does the number belong to it for sure."""
    card, sender = message.contact, message.from_
    return bool(card and sender and sender.id is not None and card.user_id == sender.id)


def _story(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    return UnsupportedContent(text=story_text(message.story or wire.Story()), reason="story")


def story_text(story: wire.Story) -> str:
    """Whose story it is and where it can be seen: bots are given nothing of the story itself."""
    chat = story.chat or wire.Chat()
    name = name_of_chat(chat)
    whose = f"Story of {name}" if name else "Story"
    return f"{whose}: https://t.me/{chat.username}/s/{story.id}" if chat.username and story.id else whose


def _rich(message: wire.Message, attachments: Attachments, sent_at: Timestamp) -> Content | None:
    flattened = Flattened(attachments)
    flattened.blocks((message.rich_message or {}).get("blocks"))
    text, spans = flattened.text, tuple(flattened.spans)
    if len(attachments):
        return MediaContent(text=text, spans=spans, attachments=attachments.found, group=message.media_group_id or None)
    if text:
        return TextContent(text=text, spans=spans)
    if message.text:
        return _text(message, attachments, sent_at)
    return CustomPayloadContent(text="Rich message", raw={"rich_message": message.rich_message})


Reader = Callable[[wire.Message, Attachments, Timestamp], Content | None]

# In this order: an animation comes with a twin document, a live photo with a photo, a venue with a location.
_READERS: dict[str, Reader] = {
    "rich_message": _rich,
    "animation": _animation,
    "live_photo": _live_photo,
    "venue": _location,
    "paid_media": _paid_media,
    "photo": _photo,
    "video": _file("video", AttachmentKind.VIDEO, "video/mp4"),
    "video_note": _file("video_note", AttachmentKind.VIDEO_NOTE, "video/mp4"),
    "voice": _file("voice", AttachmentKind.VOICE, "audio/ogg"),
    "audio": _file("audio", AttachmentKind.AUDIO, None),
    "document": _file("document", AttachmentKind.DOCUMENT, None),
    "sticker": _sticker,
    "location": _location,
    "contact": _contact,
    "story": _story,
    "text": _text,
}
