"""Messages, echoes and reactions: what `im_receive_msg`, `im_send_msg` and the rows of the history become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from services.tiktok.receive.fingerprint import content_fingerprint
from services.tiktok.receive.notices import referrals_beside
from services.tiktok.receive.received import Received
from services.tiktok.receive.wire import CardElement, Content, Reaction, moment, post_id
from shared.channel import Event, Outcome, StatusUpdate
from shared.contract.base import Alias, AliasKind, Contact, Origin
from shared.contract.content import (
    Attachment,
    AttachmentKind,
    CustomPayloadContent,
    MediaContent,
    PostbackContent,
    PostbackSource,
    StickerContent,
    TemplateContent,
    TextContent,
    UnsupportedContent,
)
from shared.contract.content import Content as ContractContent
from shared.contract.events import EventType, ReactionChanged
from shared.contract.statuses import State
from shared.kit.facts import attachment_names
from shared.kit.words import nfc


def message_outcomes(received: Received) -> Sequence[Outcome]:
    """A message of the contact, an echo of ours, or reactions to either."""
    content = received.content
    reactions = _reactions(received)
    if content.type == "reaction":
        # One that does not say what it is about is shown as it came.
        whole = reactions and len(reactions) == len(content.reactions)
        return reactions if whole else [*reactions, _plain(received, _custom(received))]
    if received.outbound:
        # A history row of ours may be older than this connector: it is no report about a command.
        if _source(content) == "api" and not content.auto_message_type and not received.envelope.backfill:
            return [_sent_by_us(received), *reactions]
        return [_echo(received, _content(received)), *reactions]
    referred = referrals_beside(received)
    source = content.reply_source_payload
    if source is not None and source.reply_source_unique_id and content.type in ("text", None):
        tapped = _postback(received, source.reply_source_unique_id, source.reply_source_msg_id)
        return [*referred, tapped, *reactions]
    return [*referred, _plain(received, _content(received)), *reactions]


def unknown_event(received: Received) -> Sequence[Outcome]:
    """An event this connector has never heard of, in a conversation: shown, with all it holds. Opens no window."""
    kind = received.envelope.event or "unknown"
    body = _body(received)
    text = f"An event of type {kind}: {body}" if body else f"An event of type {kind}."
    content = CustomPayloadContent(text=text, raw=dict(received.raw))
    # It may be about a message that has been published under its id: this is another.
    ref = f"{kind}:{received.digest}"
    if received.outbound:
        event_type, origin = EventType.MESSAGE_ECHOED, Origin.NATIVE_APP
    else:
        event_type, origin = EventType.MESSAGE_RECEIVED, Origin.CONTACT
    return [received.message(event_type, content, ref=ref, origin=origin, provider_type=kind)]


def _plain(received: Received, content: ContractContent) -> Event:
    if received.outbound:
        return _echo(received, content)
    return received.message(
        EventType.MESSAGE_RECEIVED,
        content,
        reply=_referenced(received.content),
        # TikTok counts from a message of the user; a reaction is none.
        opens_window=received.content.type != "reaction",
    )


def _postback(received: Received, payload: str, card: str | None) -> Event:
    text = _body(received)
    content = PostbackContent(text=text or payload, source=PostbackSource.CARD, payload=payload, title=text or None)
    reply = card or _referenced(received.content)
    return received.message(EventType.POSTBACK_RECEIVED, content, reply=reply, opens_window=True)


def _referenced(content: Content) -> str | None:
    return content.referenced_message_info.referenced_message_id if content.referenced_message_info else None


# ----------------------------------------------------------------------------------------------- echoes


def _source(content: Content) -> str:
    return (content.message_tag.source if content.message_tag else None) or ""


def _sent_by_us(received: Received) -> StatusUpdate:
    """The echo of an API call. It may come before the call's own answer, and instead of it."""
    return StatusUpdate(
        received.content.message_id,
        State.SENT,
        received.occurred_at,
        peer=received.peer,
        correlation=content_fingerprint(received.content, received.peer),
    )


def _echo(received: Received, content: ContractContent) -> Event:
    """A message of ours that did not go through here: written in the app, or by TikTok's own automatics."""
    automatic = bool(received.content.auto_message_type) or _source(received.content) == "others"
    by_program = automatic or _source(received.content) == "api"
    return received.message(
        EventType.MESSAGE_ECHOED,
        content,
        origin=Origin.SYSTEM if by_program else Origin.NATIVE_APP,
        reply=_referenced(received.content),
        automatic=True if automatic else None,
    )


# ---------------------------------------------------------------------------------------------- reactions


def _reactions(received: Received) -> list[Outcome]:
    """Every reaction with a target; one webhook may bring several, a history row has them beside its message."""
    events: list[Outcome] = []
    for reaction in received.content.reactions:
        target = reaction.original_msg_id or (
            received.content.message_id if received.content.type != "reaction" else None
        )
        if target:
            events.append(_reaction(received, reaction, target))
    return events


def _reaction(received: Received, reaction: Reaction, target: str) -> Event:
    author = reaction.unique_identifier
    by_us = author == received.business_id if author else received.outbound
    removed = reaction.operation == "remove"
    at = moment(reaction.timestamp)
    direction: Literal["inbound", "outbound"] = "outbound" if by_us else "inbound"
    data = ReactionChanged(
        **{**received.facts(), "occurred_at": at or received.occurred_at},
        message_id=received.message_id(target),
        action="removed" if removed else "added",
        emoji=nfc(reaction.emoji),
        custom_emoji_id=reaction.ai_emoji_url,
        direction=direction,
        origin=Origin.NATIVE_APP if by_us else Origin.CONTACT,
        sender=received.business if by_us else _reacting_contact(received, author),
        provider=received.provider_fact("reaction"),
    )
    when = str(round(at.timestamp() * 1000)) if at else received.ref
    identity = (target, author or "", reaction.emoji or reaction.ai_emoji_url or "", data.action, when)
    return Event(
        EventType.REACTION_CHANGED,
        data,
        provider_id="\0".join(identity),
        address=received.address,
    )


def _reacting_contact(received: Received, author: str | None) -> Contact:
    if received.outbound and author and author != received.contact_id:
        return Contact(aliases=(Alias(kind=AliasKind.PROVIDER_ID, value=author),))
    return received.contact


# ------------------------------------------------------------------------------------------------ content


def _content(received: Received) -> ContractContent:
    kind = received.content.type or next((kind for kind in _BUILDERS if received.raw.get(kind)), None)
    build = _BUILDERS.get(kind or "")
    return (build(received) if build else None) or _unmodelled(received, kind)


def _unmodelled(received: Received, kind: str | None) -> ContractContent:
    """What no builder could read. `other` is TikTok's word for content it does not hand out."""
    held = received.raw.get(kind or "")
    if any(held.values()) if isinstance(held, dict) else held:
        return _custom(received)
    if (kind is None or kind in _BUILDERS) and any(
        received.raw[name] for name in received.raw.keys() - _FRAME - {kind}
    ):
        return _custom(received)  # what was said may stand in a field that is not known
    if kind in _BUILDERS:
        return UnsupportedContent(text=f"A message of type {kind} without content.", reason="no_content")
    if kind in (None, "other", "others", "unknown"):
        return UnsupportedContent(text="A message that TikTok shows only in its own app.", reason=kind or "no_type")
    return _custom(received)


def _custom(received: Received) -> CustomPayloadContent:
    kind = received.content.type
    described = f"A message of type {kind}." if kind else "A message without a type."
    return CustomPayloadContent(text=_body(received) or described, raw=dict(received.raw))


def _body(received: Received) -> str:
    """The text that came along, whatever the type; empty where there is none."""
    return nfc(received.content.text.body if received.content.text else None)


def _text(received: Received) -> ContractContent | None:
    """A file beside the text is not TikTok's way, and not lost should it come."""
    body = _body(received)
    return _media(received) or (TextContent(text=body) if body else None)


def _media(received: Received) -> ContractContent | None:
    content = received.content
    for kind, part in ((AttachmentKind.IMAGE, content.image), (AttachmentKind.VIDEO, content.video)):
        ref = (part.media_id or part.url) if part else None
        if ref is None and content.type == kind:
            ref = content.media_url
        if ref:
            return MediaContent(text=_body(received), attachments=(_attachment(received, kind, ref),))
    return None


def _sticker(received: Received) -> ContractContent | None:
    sticker, emoji = received.content.sticker, received.content.emoji
    for name, part in (("Sticker", sticker), ("Emoji", emoji)):
        if part is not None and part.url:
            shown = _attachment(received, AttachmentKind.STICKER, part.url)
            return StickerContent(text=_body(received) or name, attachments=(shown,))
    return None


def _attachment(received: Received, kind: AttachmentKind, ref: str) -> Attachment:
    names = attachment_names(received.item.account, received.message_id(received.ref))
    return Attachment(**names, kind=kind, provider_ref=ref)


def _shared_post(received: Received) -> ContractContent | None:
    post = received.content.share_post
    if post is None or not (post.embed_url or post.video_id):
        return None
    told = {**received.raw["share_post"], "video_id": post_id(post), "embed_url": post.embed_url}
    lines = (_body(received), f"Shared post: {post.embed_url or post.video_id}")
    return CustomPayloadContent(text="\n".join(filter(None, lines)), raw={"type": "share_post", "share_post": told})


def _template(received: Received) -> ContractContent | None:
    card = received.content.template
    elements: Sequence[CardElement] = [*card.elements, card] if card else ()
    titles = [nfc(element.title) for element in elements if element.title]
    buttons = [nfc(button.title) for element in elements for button in element.buttons if button.title]
    if not titles and not buttons:
        return None
    return TemplateContent(text="\n".join(titles or buttons), buttons=tuple(buttons))


# What says who wrote, when and in answer to what, and nothing of what was written.
_FRAME = frozenset(
    {"from", "from_user", "sender", "to", "to_user", "recipient", "unique_identifier", "conversation_id", "message_id",
     "timestamp", "type", "message_type", "scene_type", "is_follower", "message_tag", "auto_message_type",
     "referenced_message_info"}
)  # fmt: skip

_BUILDERS: Mapping[str, Callable[[Received], ContractContent | None]] = {
    "text": _text,
    "image": _media,
    "video": _media,
    "sticker": _sticker,
    "emoji": _sticker,
    "share_post": _shared_post,
    "template": _template,
}
