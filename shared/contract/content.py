"""What a message holds, as the inbox reads it: a union tagged by `kind`; every kind has a readable `text`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contract.base import Contact, Integer, Model, OptionalText, Timestamp
from shared.contract.errors import Error
from shared.contract.vocabularies import MissingContent, OptionalForwardedFrom, ReferralSource, SystemEvent


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
    LINK = "link"
    """With `url`, where the text is not the address itself."""
    MENTION = "mention"
    HASHTAG = "hashtag"
    COMMAND = "command"
    EMAIL = "email"
    PHONE = "phone"
    CUSTOM_EMOJI = "custom_emoji"
    OTHER = "other"


class Span(Model):
    """A stretch of `text` that is shown in another way or means something."""

    kind: SpanKind
    """What the stretch is."""
    offset: Integer = Field(ge=0)
    """Where it begins, in Unicode code points from 0."""
    length: Integer = Field(ge=1)
    """How long it is, in Unicode code points."""
    url: str | None = None
    """Of a `link`: where it leads."""
    language: str | None = None
    """Of a `pre` block: its programming language."""
    user_id: str | None = None
    """Of a `mention` of somebody without a username: the provider's id."""
    custom_emoji_id: str | None = None
    """Of a `custom_emoji`: the provider's id of it."""


class AttachmentKind(StrEnum):
    """How an attachment is meant to be shown."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    """A recording, made in the chat."""
    VIDEO_NOTE = "video_note"
    """A round video, made in the chat."""
    DOCUMENT = "document"
    STICKER = "sticker"


class AttachmentStatus(StrEnum):
    """Where the bytes of an attachment are."""

    PENDING = "pending"
    """Being fetched: `attachment.stored` or `attachment.failed` follows."""
    STORED = "stored"
    """In the blob store, under `blob`."""
    FAILED = "failed"
    """Nowhere; `error` says why."""


class Attachment(Model):
    """A file of a message. `blob` is known from the start, the bytes follow with `attachment.stored`."""

    attachment_id: str
    """Our id of the file, the same on every repeat."""
    kind: AttachmentKind
    """How it is meant to be shown."""
    status: AttachmentStatus = AttachmentStatus.PENDING
    """Where its bytes are."""
    filename: OptionalText = None
    """The name the sender gave it; never a path."""
    mime_type: OptionalText = None
    """What its first bytes say it is."""
    claimed_mime_type: OptionalText = None
    """What the sender or the provider said it is; not to be believed."""
    size: int | None = None
    """Bytes."""
    sha256: OptionalText = None
    """Digest of the bytes, hexadecimal."""
    width: int | None = None
    """Pixels, as it is shown (after rotation)."""
    height: int | None = None
    """Pixels, as it is shown (after rotation)."""
    duration: float | None = None
    """Seconds that it plays."""
    blob: OptionalText = None
    """Key in the blob store; `GET /v1/blobs/{key}` gives an address for it."""
    thumbnail: OptionalText = None
    """Key of a small JPEG of it (512 pixels, 100 KB at most)."""
    waveform: tuple[int, ...] | None = None
    """How loud a recording is in each of its equal parts, 64 at most, from 0 to 100."""
    provider_ref: OptionalText = None
    """What the connector fetches the file by at the provider; opaque."""
    animated: bool | None = None
    """True: a sticker that moves."""
    inline: bool | None = None
    """Of an email: its html shows the file where it says `cid:<attachment_id>`."""
    content_id: OptionalText = None
    """Of an email: the name that the email itself has for the file."""
    error: Error | None = None
    """Of `failed`: why there are no bytes."""


class Place(Model):
    """A point on the map."""

    latitude: float
    """Degrees north (WGS 84)."""
    longitude: float
    """Degrees east (WGS 84)."""
    name: OptionalText = None
    """What the place is called."""
    address: OptionalText = None
    """Its postal address, in one text."""
    url: OptionalText = None
    """A page about it."""
    accuracy_m: float | None = None
    """Metres by which the point may be off."""
    live_until: Timestamp | None = None
    """Until when the point moves along with whoever shares it."""


class ContactCard(Model):
    """A contact that was shared inside a message."""

    name: OptionalText = None
    """The whole name."""
    given_name: OptionalText = None
    """First name."""
    family_name: OptionalText = None
    """Last name."""
    phones: tuple[str, ...] = ()
    """Phone numbers as they stand on the card."""
    emails: tuple[str, ...] = ()
    """Email addresses."""
    urls: tuple[str, ...] = ()
    """Addresses of web pages."""
    addresses: tuple[str, ...] = ()
    """Postal addresses, each in one text."""
    organisation: OptionalText = None
    """Where the person works."""
    birthday: OptionalText = None
    """The day as it stands on the card."""
    vcard: OptionalText = None
    """The card itself (RFC 6350 or older)."""
    provider_id: OptionalText = None
    """The provider's id of the person: they can be written to on this channel."""
    verified: bool | None = None
    """True: the contact has shared its own card."""


class TextContent(Model):
    """A text and nothing else."""

    kind: Literal["text"] = "text"
    """Which kind of content this is."""
    text: str
    """The text as it was written."""
    spans: tuple[Span, ...] = ()
    """Formatting and meaning of stretches of the text."""


class MediaContent(Model):
    """Files with an optional caption, which is the `text`."""

    kind: Literal["media"] = "media"
    """Which kind of content this is."""
    text: str = ""
    """The caption; empty where there is none."""
    spans: tuple[Span, ...] = ()
    """Formatting and meaning of stretches of the caption."""
    attachments: tuple[Attachment, ...]
    """The files, in the order they are shown."""
    group: OptionalText = None
    """The album: messages with the same one belong together."""


class LocationContent(Model):
    """A place on the map."""

    kind: Literal["location"] = "location"
    """Which kind of content this is."""
    text: str
    """The place in words, for lists and search."""
    location: Place
    """The place."""


class ContactsContent(Model):
    """Contacts that were shared."""

    kind: Literal["contacts"] = "contacts"
    """Which kind of content this is."""
    text: str
    """The names in words, for lists and search."""
    contacts: tuple[ContactCard, ...]
    """The cards."""


class StickerContent(Model):
    """A sticker."""

    kind: Literal["sticker"] = "sticker"
    """Which kind of content this is."""
    text: str
    """The sticker in words, for lists and search."""
    attachments: tuple[Attachment, ...]
    """Its picture or animation: one file."""
    emoji: OptionalText = None
    """The emoji it stands for."""
    set_name: OptionalText = None
    """The set of stickers it is from."""


class PostbackSource(StrEnum):
    """What the contact used to answer."""

    BUTTON = "button"
    """A reply button."""
    LIST = "list"
    """A row of a list."""
    CALLBACK = "callback"
    """An inline button."""
    FLOW = "flow"
    """A Flow of WhatsApp."""
    FORM = "form"
    """Another form."""
    CARD = "card"
    """A button of a card."""


class PostbackContent(Model):
    """A tapped button or a filled form."""

    kind: Literal["postback"] = "postback"
    """Which kind of content this is."""
    text: str
    """The answer as one reads it: the button's title, the form's fields."""
    source: PostbackSource
    """What the contact used."""
    payload: OptionalText = None
    """What we attached to the button (its `id`); the contact can forge it."""
    title: OptionalText = None
    """What stood on the button or row."""
    description: OptionalText = None
    """What stood below the row's title."""
    values: dict[str, Any] | None = None
    """The fields of a form, by their names."""


class OrderItem(Model):
    """One product of an order."""

    product_id: str
    """The product's id in the catalog."""
    quantity: float | None = None
    """How many."""
    unit_price: float | None = None
    """Price of one, in units of `currency`."""
    currency: OptionalText = None
    """ISO 4217."""


class OrderContent(Model):
    """An order of products."""

    kind: Literal["order"] = "order"
    """Which kind of content this is."""
    text: str
    """The order in words, for lists and search."""
    catalog_id: OptionalText = None
    """The catalog the products are of."""
    items: tuple[OrderItem, ...] = ()
    """The products."""


class TemplateContent(Model):
    """A template message, seen as an echo or in history."""

    kind: Literal["template"] = "template"
    """Which kind of content this is."""
    text: str
    """The template as the contact reads it, as far as the provider tells."""
    name: OptionalText = None
    """The template's name."""
    language: OptionalText = None
    """The template's language, as the provider writes it."""
    buttons: tuple[str, ...] = ()
    """The titles of its buttons."""


class Authentication(Model):
    """What the mail server that the account trusts has found out about an email's sender."""

    spf: Literal["pass", "fail", "none", "unknown"] = "unknown"
    """Whether the sending server may send for the domain (RFC 7208)."""
    dkim: Literal["pass", "fail", "none", "unknown"] = "unknown"
    """Whether a domain has signed the email (RFC 6376)."""
    dmarc: Literal["pass", "fail", "none", "unknown"] = "unknown"
    """Whether one of both is the domain of `From` (RFC 7489)."""


class EmailContent(Model):
    """An email: `text` is the new part; the quoted part and the signature are apart; all of it is `full_text`."""

    kind: Literal["email"] = "email"
    """Which kind of content this is."""
    text: str
    """The new part, without what is quoted and without the signature."""
    subject: str = ""
    """The subject; empty where there is none."""
    full_text: OptionalText = None
    """All words of the email."""
    html: OptionalText = None
    """The new part, sanitised: it runs nothing and loads nothing; `cid:<attachment_id>` is an inline attachment. Where
    only the text shows what is quoted, all of the html is here."""
    quoted_text: OptionalText = None
    """What is quoted of earlier emails."""
    quoted_html: OptionalText = None
    """The same, sanitised as `html`."""
    signature: OptionalText = None
    """What stands below the new part."""
    to: tuple[str, ...] = ()
    """Addressees, plain addresses in lower case."""
    cc: tuple[str, ...] = ()
    """Those who got a copy, plain addresses in lower case."""
    reply_to_address: OptionalText = None
    """Where the sender wants answers, if not at its own address."""
    authentication: Authentication | None = None
    """What is known of the sender being who it says it is."""
    attachments: tuple[Attachment, ...] = ()
    """The files."""


class SystemContent(Model):
    """A notice of the channel in the conversation: somebody joined, a call was missed, a number changed."""

    kind: Literal["system"] = "system"
    """Which kind of content this is."""
    text: str
    """The notice as a sentence."""
    event: SystemEvent
    """What has happened."""


class UnsupportedContent(Model):
    """The provider says there is a message but gives no content we could show."""

    kind: Literal["unsupported"] = "unsupported"
    """Which kind of content this is."""
    text: str
    """A sentence to show instead."""
    reason: MissingContent
    """Why there is nothing to show; also the provider's own word for the kind of message."""
    error: Error | None = None
    """What the provider says of it."""


class CustomPayloadContent(Model):
    """Content that is not modelled."""

    kind: Literal["custom_payload"] = "custom_payload"
    """Which kind of content this is."""
    text: str
    """A sentence to show instead."""
    raw: dict[str, Any]
    """The provider's own content."""


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
    Field(discriminator="kind", title="Content"),
]


class Quote(Model):
    """The part of another message that this one quotes, as far as the provider gave it."""

    text: OptionalText = None
    """The quoted words."""
    kind: OptionalText = None
    """The kind of content the quoted message has."""
    author: Contact | None = None
    """Who wrote the quoted message."""


class ReplyTo(Model):
    """The message this one answers."""

    message_id: str | None = None
    """Our id of it."""
    provider_message_id: str | None = None
    """The provider's id of it."""
    resolved: bool = False
    """True: `message_id` is one that passed through the connector."""
    quote: Quote | None = None
    """What is quoted of it."""


class Forwarded(Model):
    """Where a forwarded message comes from, as far as the provider says."""

    author: OptionalText = None
    """Name of who wrote it first."""
    author_id: OptionalText = None
    """The provider's id of who wrote it first."""
    source: OptionalForwardedFrom = None
    """What kind of sender that was."""
    occurred_at: Timestamp | None = None
    """When it was written first."""
    often: bool | None = None
    """True: it has been forwarded many times."""


class Referral(Model):
    """How the contact got here: an ad, a link, a deep link, a product."""

    source: ReferralSource
    """What brought the contact."""
    id: OptionalText = None
    """The provider's id of the ad or post."""
    url: OptionalText = None
    """Address of the ad or post."""
    headline: OptionalText = None
    """Headline or name of the ad."""
    body: OptionalText = None
    """Text of the ad, or the text that a link has filled in."""
    welcome_message: OptionalText = None
    """What the contact was greeted with."""
    media_url: OptionalText = None
    """Picture or video of the ad; the address expires."""
    click_id: OptionalText = None
    """The provider's id of the click, for conversion reports."""
    payload: OptionalText = None
    """What was attached to the link; the contact can forge it."""
    product_id: OptionalText = None
    """The product the contact asks about."""
    catalog_id: OptionalText = None
    """The catalog that product is of."""
    advertiser_id: OptionalText = None
    """The provider's id of whose ad it was."""


class Thread(Model):
    """A thread inside a conversation: a topic, a business connection, an email thread."""

    id: OptionalText = None
    """Of an email thread: our id, made of its root."""
    subject: OptionalText = None
    """The subject of the email thread, or the topic's name."""
    subject_changed: bool | None = None
    """True: this email belongs to the thread and is about something else."""
    topic_id: OptionalText = None
    """Telegram's id of the topic of a group."""
    business_connection_id: OptionalText = None
    """Telegram's id of the business connection."""
    group_id: OptionalText = None
    """The provider's id of the group."""
