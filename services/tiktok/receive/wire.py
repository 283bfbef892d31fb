"""Reads TikTok's JSON without trusting it: tolerant types, times in either unit, ids as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from shared.kit.loose import as_moment, as_text

_EARLIEST = datetime(2016, 1, 1, tzinfo=UTC)  # before the product existed
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def moment(*values: Any) -> datetime | None:
    """The first of `values` that is a plausible time."""
    return next((found for told in values if (found := as_moment(told, _EARLIEST, _LATEST))), None)


def _word(value: Any) -> str | None:
    return value.strip().lower() or None if isinstance(value, str) else None


def _object(value: Any) -> Any:
    return value if isinstance(value, Mapping) else None


def _objects(value: Any) -> list[Any]:
    listed = value if isinstance(value, list) else [value]
    return [entry for entry in listed if isinstance(entry, Mapping)]


def _body(value: Any) -> Any:
    return {"body": value} if isinstance(value, str) else _object(value)


Text = Annotated[str | None, BeforeValidator(as_text)]  # ids too: some come as numbers
Word = Annotated[str | None, BeforeValidator(_word)]  # an enum: webhooks write them in lower case, REST in upper
Flag = Annotated[bool, BeforeValidator(lambda value: value is True)]
Part = Annotated[T | None, BeforeValidator(_object)]
Parts = Annotated[tuple[T, ...], BeforeValidator(_objects)]


class Wire(BaseModel):
    """A wire model: reads what it knows, forgives the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Envelope(Wire):
    """What surrounds every event; `create_time` in seconds. `backfill` marks what we fetched from the history."""

    client_key: Text = None
    event: Word = None
    create_time: Any = None
    user_openid: Text = None
    content: Any = None
    backfill: Flag = False
    participants: Parts[Participant] = ()


class Participant(Wire):
    """One side of a conversation in an answer of `content/list`."""

    id: Text = None
    role: Word = None
    display_name: Text = None
    profile_image: Text = None


class User(Wire):
    id: Text = None
    role: Word = None
    username: Text = None


class TextPart(Wire):
    body: Text = None


class MediaPart(Wire):
    """A file: TikTok documents the id, other receivers read an address as well."""

    media_id: Text = None
    url: Text = Field(default=None, validation_alias=AliasChoices("url", "media_url"))


class LinkPart(Wire):
    url: Text = None


class SharedPost(Wire):
    embed_url: Text = None
    video_id: Text = Field(default=None, validation_alias=AliasChoices("video_id", "item_id"))


class Reaction(Wire):
    """A webhook says what was done and to which message; a history row only what is on it."""

    operation: Word = None
    emoji: Text = None
    ai_emoji_url: Text = None
    unique_identifier: Text = None
    timestamp: Any = None
    original_msg_id: Text = None


class CardButton(Wire):
    title: Text = Field(default=None, validation_alias=AliasChoices("text", "title"))


class CardElement(Wire):
    title: Text = None
    buttons: Parts[CardButton] = ()


class Card(CardElement):
    """Webhooks put title and buttons into `elements`, REST has them flat."""

    elements: Parts[CardElement] = ()


class Reference(Wire):
    referenced_message_id: Text = None


class ReplySource(Wire):
    """Of a text that a tapped card button wrote: the card, and the id we gave the button."""

    reply_source_msg_id: Text = None
    reply_source_unique_id: Text = None


class Tag(Wire):
    source: Word = None


class Read(Wire):
    last_read_timestamp: Any = None


class Ad(Wire):
    advertiser_id: Text = None
    ad_id: Text = None
    ad_name: Text = None
    embed_url: Text = None
    message_material_id: Text = None
    timestamp: Any = None  # milliseconds in webhooks, seconds in REST


class ShortLink(Wire):
    ref: Text = None
    prefilled_message: Text = None


class ReferralPart(Wire):
    """One entry in a webhook, lists of all there ever were in REST."""

    source: Word = None
    ad: Parts[Ad] = ()
    short_link: Parts[ShortLink] = ()


class Content(Wire):
    """`content` of an event, and a row of the history: the same thing under two sets of names."""

    sender: Text = Field(default=None, validation_alias=AliasChoices("from", "sender"))
    recipient: Text = Field(default=None, validation_alias=AliasChoices("to", "recipient"))
    from_user: Part[User] = None
    to_user: Part[User] = None
    unique_identifier: Text = None
    conversation_id: Text = None
    message_id: Text = None
    timestamp: Any = None
    type: Word = Field(default=None, validation_alias=AliasChoices("type", "message_type"))
    text: Annotated[TextPart | None, BeforeValidator(_body)] = None
    image: Part[MediaPart] = None
    video: Part[MediaPart] = None
    media_url: Text = None  # where another receiver of these events reads the address of an image
    share_post: Part[SharedPost] = None
    sticker: Part[LinkPart] = None
    emoji: Part[LinkPart] = None
    reactions: Parts[Reaction] = Field(default=(), validation_alias=AliasChoices("reaction", "reactions"))
    template: Part[Card] = None
    referenced_message_info: Part[Reference] = None
    reply_source_payload: Part[ReplySource] = None
    auto_message_type: Word = None
    message_tag: Part[Tag] = None
    read: Part[Read] = None
    referral: Part[ReferralPart] = None


def post_id(post: SharedPost) -> str | None:
    """The id of a shared post; REST has it only inside the player's address."""
    if post.video_id:
        return post.video_id
    tail = (post.embed_url or "").split("?")[0].rstrip("/").rpartition("/")[2]
    return tail if tail.isdecimal() else None
