"""What a message holds, as the inbox reads it: a union tagged by `kind`; every kind has a readable `text`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contract.base import Contact, Integer, Model, OptionalText, Timestamp
from shared.contract.errors import Error


class SpanKind(StrEnum):
    """Formatting and meaning that a channel attaches to a stretch of text."""

    BOLD = "bold"
    ITALIC = "italic"
    UNDERLINE = "underline"
    STRIKETHROUGH = "strikethrough"
    SPOILER = "spoiler"
    CODE = "code"
    PRE = "pre"
    QUOTE = "quote"
    LINK = "link"  # `url` where the text is not the address itself
    MENTION = "mention"
    HASHTAG = "hashtag"
    COMMAND = "command"
    EMAIL = "email"
    PHONE = "phone"
    CUSTOM_EMOJI = "custom_emoji"
    OTHER = "other"


class Span(Model):
    """A stretch of `text`: offset and length in Unicode code points."""

    kind: SpanKind
    offset: Integer = Field(ge=0)
    length: Integer = Field(ge=1)
    url: str | None = None
    language: str | None = None  # of a `pre` block
    user_id: str | None = None  # of a `mention` without a username
    custom_emoji_id: str | None = None


class AttachmentKind(StrEnum):
    """How an attachment is meant to be shown."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    VIDEO_NOTE = "video_note"
    DOCUMENT = "document"
    STICKER = "sticker"


class AttachmentStatus(StrEnum):
    """Where the bytes of an attachment are."""

    PENDING = "pending"
    STORED = "stored"
    FAILED = "failed"


class Attachment(Model):
    """A file of a message. `blob` is known from the start, the bytes follow with `attachment.stored`.

    `size` in bytes, `width` and `height` in pixels as it is shown, `duration` in seconds. `mime_type` is what sniffing
    found, `claimed_mime_type` what the sender said. `thumbnail` is the key of a JPEG (512 pixels, 100 KB at most),
    `waveform` how loud a recording is in each of its equal parts, 64 at most, from 0 to 100.
    """

    attachment_id: str
    kind: AttachmentKind
    status: AttachmentStatus = AttachmentStatus.PENDING
    filename: OptionalText = None
    mime_type: OptionalText = None
    claimed_mime_type: OptionalText = None
    size: int | None = None
    sha256: OptionalText = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    blob: OptionalText = None
    thumbnail: OptionalText = None
    waveform: tuple[int, ...] | None = None
    provider_ref: OptionalText = None  # what the channel fetches the file by
    animated: bool | None = None
    inline: bool | None = None  # of an email: shown where its html says `cid:<attachment_id>`
    content_id: OptionalText = None  # the name that its own email has for it
    error: Error | None = None


class Place(Model):
    """A point on the map; degrees, WGS 84."""

    latitude: float
    longitude: float
    name: OptionalText = None
    address: OptionalText = None
    url: OptionalText = None
    accuracy_m: float | None = None
    live_until: Timestamp | None = None


class ContactCard(Model):
    """A contact that was shared inside a message."""

    name: OptionalText = None
    given_name: OptionalText = None
    family_name: OptionalText = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    organisation: OptionalText = None
    birthday: OptionalText = None
    vcard: OptionalText = None
    provider_id: OptionalText = None
    verified: bool | None = None  # the contact shared its own card


class TextContent(Model):
    kind: Literal["text"] = "text"
    text: str
    spans: tuple[Span, ...] = ()


class MediaContent(Model):
    """Files with an optional caption, which is the `text`. `group` is the album they came in."""

    kind: Literal["media"] = "media"
    text: str = ""
    spans: tuple[Span, ...] = ()
    attachments: tuple[Attachment, ...]
    group: OptionalText = None


class LocationContent(Model):
    kind: Literal["location"] = "location"
    text: str
    location: Place


class ContactsContent(Model):
    kind: Literal["contacts"] = "contacts"
    text: str
    contacts: tuple[ContactCard, ...]


class StickerContent(Model):
    kind: Literal["sticker"] = "sticker"
    text: str
    attachments: tuple[Attachment, ...]
    emoji: OptionalText = None
    set_name: OptionalText = None


class PostbackSource(StrEnum):
    """What the contact used to answer."""

    BUTTON = "button"
    LIST = "list"
    CALLBACK = "callback"
    FLOW = "flow"
    FORM = "form"
    CARD = "card"


class PostbackContent(Model):
    """A tapped button or a filled form. `payload` is what we attached; the contact can forge it."""

    kind: Literal["postback"] = "postback"
    text: str
    source: PostbackSource
    payload: OptionalText = None
    title: OptionalText = None
    description: OptionalText = None
    values: dict[str, Any] | None = None  # the fields of a form


class OrderItem(Model):
    product_id: str
    quantity: float | None = None
    unit_price: float | None = None
    currency: OptionalText = None


class OrderContent(Model):
    kind: Literal["order"] = "order"
    text: str
    catalog_id: OptionalText = None
    items: tuple[OrderItem, ...] = ()


class TemplateContent(Model):
    """A template message, seen as an echo or in history."""

    kind: Literal["template"] = "template"
    text: str
    name: OptionalText = None
    language: OptionalText = None
    buttons: tuple[str, ...] = ()


class Authentication(Model):
    """What the mail server that the account trusts has found out about an email's sender."""

    spf: Literal["pass", "fail", "none", "unknown"] = "unknown"
    dkim: Literal["pass", "fail", "none", "unknown"] = "unknown"
    dmarc: Literal["pass", "fail", "none", "unknown"] = "unknown"


class EmailContent(Model):
    """An email: `text` is the new part; the quoted part and the signature are apart; all of it is `full_text`.

    `html` and `quoted_html` are sanitised: they run nothing and load nothing; `cid:<attachment_id>` in them is an
    inline attachment. Where only the text shows what is quoted, all of the html is in `html`. `to` and `cc` are plain
    addresses in lower case; `reply_to_address` is where the sender wants answers, if not there.
    """

    kind: Literal["email"] = "email"
    text: str
    subject: str = ""
    full_text: OptionalText = None
    html: OptionalText = None
    quoted_text: OptionalText = None
    quoted_html: OptionalText = None
    signature: OptionalText = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    reply_to_address: OptionalText = None
    authentication: Authentication | None = None
    attachments: tuple[Attachment, ...] = ()


class SystemContent(Model):
    """A notice of the channel in the conversation: somebody joined, a call was missed, a number changed."""

    kind: Literal["system"] = "system"
    text: str
    event: str


class UnsupportedContent(Model):
    """The provider says there is a message but gives no content we could show."""

    kind: Literal["unsupported"] = "unsupported"
    text: str
    reason: str
    error: Error | None = None


class CustomPayloadContent(Model):
    """Content that is not modelled; `raw` is the provider's own."""

    kind: Literal["custom_payload"] = "custom_payload"
    text: str
    raw: dict[str, Any]


Content = Annotated[
    TextContent
    | MediaContent
    | LocationContent
    | ContactsContent
    | StickerContent
    | PostbackContent
    | OrderContent
    | TemplateContent
    | EmailContent
    | SystemContent
    | UnsupportedContent
    | CustomPayloadContent,
    Field(discriminator="kind"),
]


class Quote(Model):
    """The part of another message that this one quotes, as far as the provider gave it."""

    text: OptionalText = None
    kind: OptionalText = None
    author: Contact | None = None


class ReplyTo(Model):
    """The message this one answers. `resolved` is true when `message_id` is one that passed through us."""

    message_id: str | None = None
    provider_message_id: str | None = None
    resolved: bool = False
    quote: Quote | None = None


class Forwarded(Model):
    """Where a forwarded message comes from, as far as the provider says."""

    author: OptionalText = None
    author_id: OptionalText = None
    source: OptionalText = None  # user, hidden_user, chat, channel …
    occurred_at: Timestamp | None = None
    often: bool | None = None


class Referral(Model):
    """How the contact got here: an ad, a link, a deep link, a product."""

    source: str
    id: OptionalText = None
    url: OptionalText = None
    headline: OptionalText = None
    body: OptionalText = None
    welcome_message: OptionalText = None  # what the contact was greeted with
    media_url: OptionalText = None
    click_id: OptionalText = None
    payload: OptionalText = None  # what was attached to the link
    product_id: OptionalText = None
    catalog_id: OptionalText = None
    advertiser_id: OptionalText = None  # whose ad it was


class Thread(Model):
    """A thread inside a conversation: a topic, a business connection, an email thread.

    `id` of an email thread is made of its root. `subject_changed`: this email belongs to the thread and is about
    something else.
    """

    id: OptionalText = None
    subject: OptionalText = None
    subject_changed: bool | None = None
    topic_id: OptionalText = None
    business_connection_id: OptionalText = None
    group_id: OptionalText = None
