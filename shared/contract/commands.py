"""Commands: what the inbox core puts on `channels.<ch>.outbound`, and how a record becomes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticSerializationError, to_json

from shared.contract import sentences
from shared.contract.base import (
    AccountId,
    Alias,
    Count,
    Identifier,
    Integer,
    JsonObject,
    Model,
    OptionalText,
    Origin,
    Timestamp,
    WorkspaceId,
)
from shared.contract.content import AttachmentKind, ContactCard, Place, Span
from shared.contract.envelope import parse_type
from shared.contract.errors import ErrorCode
from shared.contract.vocabularies import OptionalCategory

MAX_FILES = 50
MAX_SPANS = 1000


class CommandType(StrEnum):
    """The name of a command."""

    MESSAGE_SEND = "message.send"
    """Send a message."""
    MESSAGE_EDIT = "message.edit"
    """Give a message of ours other content."""
    MESSAGE_DELETE = "message.delete"
    """Delete a message of ours, for the contact too."""
    REACTION_SET = "reaction.set"
    """Put our reaction on a message, or take it off."""
    TYPING_START = "typing.start"
    """Show that somebody is typing; dropped when older than 5 seconds."""
    TYPING_STOP = "typing.stop"
    """Stop showing that somebody is typing; dropped when older than 5 seconds."""
    MARK_READ = "conversation.mark_read"
    """Mark as read what the contact wrote."""
    MESSAGE_CANCEL = "message.cancel"
    """Cancel what has not been handed to the provider."""
    MESSAGE_RESEND = "message.resend"
    """Send again what is `uncertain` of an earlier message."""
    CONTACT_BLOCK = "contact.block"
    """Block the contact."""
    CONTACT_UNBLOCK = "contact.unblock"
    """End the block of the contact."""


class ActorKind(StrEnum):
    """Who asks for it."""

    HUMAN = "human"
    AI_AGENT = "ai_agent"
    WORKFLOW = "workflow"
    SYSTEM = "system"

    @property
    def origin(self) -> Origin:
        return Origin(self.value)


class Actor(Model):
    """Who asks for a command."""

    kind: ActorKind
    """A person, a program, or what kind of program."""
    id: OptionalText = None
    """The inbox's own id of who it is."""
    display_name: OptionalText = None
    """Their name; no channel shows it."""


class File(Model):
    """A file to send: where it is (exactly one of `blob`, `url`, `attachment_id`, `provider_ref`) and how it is meant.

    What is said of its type and size is a hint: the connector looks before it believes.
    """

    blob: OptionalText = None
    """A key of the blob store. It begins with the command's `workspace_id` and a slash: segments between slashes, each
    of 1 to 240 bytes of UTF-8 and none of them `.` or `..`, 900 bytes in all, without control characters and
    backslashes, and without `#` and digits at its end. Any other is that of a file that is not there
    (`file_unavailable`)."""
    url: OptionalText = None
    """An address with https, fetched once."""
    attachment_id: OptionalText = None
    """A file of an earlier message of the command's account."""
    provider_ref: OptionalText = None
    """The provider's own id of a file that was uploaded earlier (`file_refs` of a status)."""
    kind: AttachmentKind | None = None
    """How it is meant to be shown; absent, its type decides."""
    filename: OptionalText = None
    """The name that the contact sees, where the channel shows one."""
    mime_type: OptionalText = None
    """What it is said to be."""
    size: Count | None = None
    """Bytes, as far as the inbox knows."""
    sha256: OptionalText = None
    """Digest of the bytes, hexadecimal."""
    width: Integer | None = None
    """Pixels."""
    height: Integer | None = None
    """Pixels."""
    duration: float | None = None
    """Seconds that it plays."""
    animated: bool | None = None
    """Of a sticker: whether it moves."""
    spoiler: bool = False
    """True: hidden until the contact taps it, where the channel can."""
    content_id: OptionalText = None
    """Of an email: its html shows the file where it says `cid:<content_id>`."""

    @model_validator(mode="after")
    def _has_one_source(self) -> File:
        if sum(place is not None for place in (self.blob, self.url, self.attachment_id, self.provider_ref)) != 1:
            raise ValueError("It needs exactly one of blob, url, attachment_id, provider_ref.")
        return self


class Button(Model):
    """A button under a message."""

    kind: Literal["reply", "url", "copy_code", "phone", "web_app"] = "reply"
    """`reply` brings `id` back as a postback, the others open or copy something."""
    title: str
    """What stands on it."""
    id: OptionalText = None
    """Of `reply`: what the postback brings back as `payload`."""
    url: OptionalText = None
    """Of `url` and `web_app`: what it opens."""
    value: OptionalText = None
    """The code to copy, or the number to call."""


class Row(Model):
    """A row of a list, or a product of a product list."""

    id: str
    """What the postback brings back as `payload`; of a product: its id in the catalog."""
    title: str = ""
    """What stands in the row."""
    description: OptionalText = None
    """What stands below the title."""


class Section(Model):
    """Rows of a list under one title."""

    title: OptionalText = None
    """What stands above the rows."""
    rows: tuple[Row, ...] = Field(min_length=1)
    """The rows, in order."""


class Card(Model):
    """A card of a carousel."""

    file: File | None = None
    """Its picture or video."""
    text: str = ""
    """What stands below it."""
    product_id: OptionalText = None
    """Of a product card: the product's id in the catalog."""
    buttons: tuple[Button, ...] = ()
    """Its buttons."""


def _not_too_many(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    if len(spans) > MAX_SPANS:
        raise ValueError(f"a text has at most {MAX_SPANS} spans")
    return spans


Spans = Annotated[tuple[Span, ...], AfterValidator(_not_too_many)]


class OutText(Model):
    """A text to send."""

    kind: Literal["text"] = "text"
    """Which kind of content this is."""
    text: str = Field(min_length=1)
    """The text."""
    spans: Spans = ()
    """Formatting and meaning of stretches of the text."""
    preview_url: bool | None = None
    """Whether a link is shown with a preview; absent, the channel decides."""
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows of inline buttons."""


class OutMedia(Model):
    """Files to send in order, with an optional caption."""

    kind: Literal["media"] = "media"
    """Which kind of content this is."""
    text: str = ""
    """The caption."""
    spans: Spans = ()
    """Formatting and meaning of stretches of the caption."""
    attachments: tuple[File, ...] = Field(min_length=1)
    """The files, 50 at most."""
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows of inline buttons."""


class OutTemplate(Model):
    """An approved template to send."""

    kind: Literal["template"] = "template"
    """Which kind of content this is."""
    text: str = ""
    """The template as the contact will read it, for the inbox's own use; nothing is sent of it."""
    name: str = Field(min_length=1, max_length=512)
    """The template's name."""
    language: str = Field(min_length=1)
    """The template's language, as the provider writes it (`pt_BR`)."""
    category: OptionalCategory = None
    """The template's category, where the inbox knows it."""
    parameters: tuple[str, ...] | dict[str, str] | None = None
    """The short form for the body: a list for positional, a mapping for named parameters."""
    components: tuple[JsonObject, ...] = ()
    """Go to the provider as its documentation has them; a file in them may also be named as any other is
    (`{"type": "document", "document": {"blob": …, "filename": …}}`)."""


class InteractiveKind(StrEnum):
    """What the contact can tap."""

    BUTTONS = "buttons"
    """Buttons that answer."""
    LIST = "list"
    """A list that opens."""
    CTA_URL = "cta_url"
    """A button that opens a page."""
    LOCATION_REQUEST = "location_request"
    """A button that sends the contact's place."""
    CONTACT_REQUEST = "contact_request"
    """A button that sends the contact's number."""
    FLOW = "flow"
    """A Flow of WhatsApp."""
    CAROUSEL = "carousel"
    """Cards side by side."""
    PRODUCT = "product"
    """One product of the catalog."""
    PRODUCT_LIST = "product_list"
    """Several products of the catalog."""
    CATALOG = "catalog"
    """The whole catalog."""
    CARD = "card"
    """One card with buttons."""


class OutInteractive(Model):
    """A message the contact can answer by tapping; which fields count depends on `interactive`."""

    kind: Literal["interactive"] = "interactive"
    """Which kind of content this is."""
    interactive: InteractiveKind = InteractiveKind.BUTTONS
    """What the contact can tap."""
    text: str = ""
    """The text above the buttons."""
    header: OptionalText = None
    """A line above the text."""
    header_file: File | None = None
    """A file above the text."""
    footer: OptionalText = None
    """A line below the text."""
    buttons: tuple[Button, ...] = ()
    """The buttons, in order."""
    button: OptionalText = None
    """The label that opens a list (absent, the channel chooses one) or a flow."""
    sections: tuple[Section, ...] = ()
    """The rows of a list, or the products of a product list."""
    cards: tuple[Card, ...] = ()
    """The cards of a carousel."""
    flow: JsonObject | None = None
    """The Flow, as the provider's documentation has it."""
    catalog_id: OptionalText = None
    """The catalog the products are of."""
    product_id: OptionalText = None
    """The product, by its id in the catalog."""


class OutLocation(Model):
    """A place to send."""

    kind: Literal["location"] = "location"
    """Which kind of content this is."""
    text: str = ""
    """A text to go with it, as a message of its own."""
    location: Place
    """The place."""


class OutContacts(Model):
    """Contact cards to send."""

    kind: Literal["contacts"] = "contacts"
    """Which kind of content this is."""
    text: str = ""
    """A text to go with them, as a message of its own."""
    contacts: tuple[ContactCard, ...] = Field(min_length=1)
    """The cards."""


class OutSharedPost(Model):
    """A post of our own account on the channel, to share."""

    kind: Literal["shared_post"] = "shared_post"
    """Which kind of content this is."""
    text: str = ""
    """A text to go with it, as a message of its own."""
    post_id: str = Field(min_length=1)
    """The provider's id of the post."""


class OutEmail(Model):
    """An email to send."""

    kind: Literal["email"] = "email"
    """Which kind of content this is."""
    text: str = ""
    """The plain text; absent, it is made of `html`."""
    subject: OptionalText = None
    """The subject; absent, the thread's."""
    html: OptionalText = None
    """The same as html."""
    cc: tuple[str, ...] = ()
    """Addresses that get a copy."""
    bcc: tuple[str, ...] = ()
    """Addresses that get a copy and are not shown."""
    thread: Literal["reply", "new"] = "reply"
    """Whether it goes on with the conversation's thread or begins one."""
    attachments: tuple[File, ...] = ()
    """The files."""


OutboundContent = Annotated[
    OutText | OutMedia | OutTemplate | OutInteractive | OutLocation | OutContacts | OutSharedPost | OutEmail,
    Field(discriminator="kind", title="OutboundContent"),
]


class ReplyTarget(Model):
    """The message to answer: by our id, or by the provider's where the inbox has only that."""

    message_id: OptionalText = None
    """Our id of it."""
    provider_message_id: OptionalText = None
    """The provider's id of it."""
    quote: OptionalText = None
    """The words of it to quote, where the channel can."""


class Command(Model):
    """What every command carries."""

    command_id: Identifier
    """The idempotency key: a command seen again is not carried out again."""
    workspace_id: WorkspaceId
    """The workspace the account belongs to."""
    account_id: AccountId
    """The account to send from."""
    conversation_id: Identifier | None = None
    """The conversation, which is also the record's key. It, or `to`, has to be there."""
    to: tuple[Alias, ...] = ()
    """Of a first message: whom to write to."""
    actor: Actor = Actor(kind=ActorKind.SYSTEM)
    """Who asks for it."""
    workflow_run_id: OptionalText = None
    """The run of a workflow it belongs to: a cancel may name that."""
    not_before: Timestamp | None = None
    """When to carry it out; it takes its place in the conversation then and holds nobody before."""
    not_after: Timestamp | None = None
    """When it is too late: it ends as `expired`."""
    visibility: Literal["contact", "internal"] = "contact"
    """`internal` is refused (`not_sendable`), so that no note goes out by mistake."""

    @field_validator("not_after")
    @classmethod
    def _can_be_in_time(cls, not_after: datetime | None, given: ValidationInfo) -> datetime | None:
        not_before = given.data.get("not_before")
        if not_after is not None and not_before is not None and not_after < not_before:
            raise ValueError("It is before not_before: the command could never be carried out.")
        return not_after

    @model_validator(mode="after")
    def _is_for_somebody(self) -> Self:
        if self.conversation_id is None and not self.to:
            raise ValueError("It needs a conversation_id, or to for a first message.")
        return self


class MessageSend(Command):
    """Send a message."""

    content: OutboundContent
    """What to send."""
    reply_to: ReplyTarget | None = None
    """The message to answer."""
    reply_policy: Literal["degrade", "strict"] = "degrade"
    """What becomes of an answer that cannot be shown as one: `degrade` sends it with a warning, `strict` refuses."""
    degrade_policy: Literal["degrade", "strict"] | None = None
    """What becomes of what a channel cannot show as it is meant (too many buttons, titles too long, links beside
    replies, lists, headers, requests): `degrade` sends it another way, with a warning, `strict` refuses. Absent, as
    `reply_policy`."""
    on_uncertain: Literal["report", "resend"] = "report"
    """What becomes of a part of which nobody knows whether it was sent: `resend` risks it arriving twice."""
    silent: bool = False
    """True: deliver without a notification, where the channel can."""
    identity_key: OptionalText = None
    """The contact's `identity_key` that somebody has confirmed: to another one the message is refused
    (`identity_changed`)."""
    category: OptionalCategory = None
    """Sends a message that is no template as what it says it is (`utility`), also while no window is open, where the
    account may (`direct_send` of its capabilities)."""

    @property
    def strict(self) -> bool:
        """Whether what cannot be shown as it is meant is refused."""
        return (self.degrade_policy or self.reply_policy) == "strict"


class MessageEdit(Command):
    """Give a message of ours other content."""

    message_id: Identifier
    """Our id of it."""
    provider_message_id: OptionalText = None
    """The provider's id of it, where the connector may not know it any more."""
    content: OutboundContent
    """What it shall hold, whole."""


class MessageDelete(Command):
    """Delete a message of ours, for the contact too."""

    message_id: Identifier
    """Our id of it."""
    provider_message_id: OptionalText = None
    """The provider's id of it, where the connector may not know it any more."""


class ReactionSet(Command):
    """Put our reaction on a message, or take it off."""

    message_id: Identifier
    """Our id of the message."""
    provider_message_id: OptionalText = None
    """The provider's id of it, where the connector may not know it any more."""
    emoji: OptionalText = None
    """The reaction; absent, ours is taken off."""


class Typing(Command):
    """Show that somebody is typing (`typing.start`), or stop that (`typing.stop`); dropped when 5 seconds old."""

    audience: Literal["contact", "agents"] = "contact"
    """Who shall see it; `agents` never leaves the connector."""
    activity: Literal["text", "voice", "file"] = "text"
    """What is being made."""


class MarkRead(Command):
    """Mark as read what the contact wrote."""

    message_id: OptionalText = None
    """Our id of the last message read; absent, the last one received."""
    provider_message_id: OptionalText = None
    """The provider's id of it, where the connector may not know it any more."""


class MessageCancel(Command):
    """Cancel what has not been handed to the provider: all that match every given field, of which there must be one."""

    cancel_command_id: OptionalText = None
    """That command."""
    cancel_conversation: bool = False
    """All of the conversation."""
    cancel_actor_kind: ActorKind | None = None
    """Those of the conversation that such an actor asked for."""
    cancel_workflow_run_id: OptionalText = None
    """Those of the conversation that belong to that run."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (
            self.cancel_command_id or self.cancel_conversation or self.cancel_actor_kind or self.cancel_workflow_run_id
        ):
            raise ValueError(
                "It has to name what to cancel: cancel_command_id, cancel_conversation, cancel_actor_kind or "
                "cancel_workflow_run_id."
            )
        return self


class MessageResend(Command):
    """Send again what is `uncertain` of an earlier message of the conversation, by somebody who knows of the doubt.

    What comes of it is told as statuses of that message, with the warning `may_be_duplicate`; the other parts are left
    alone. The message is known for three days; after that it is `message_unknown`.
    """

    resend_command_id: Identifier
    """The command of that message."""


class ContactBlock(Command):
    """Block the contact (`contact.block`), or end that (`contact.unblock`)."""


COMMAND_OF: dict[CommandType, type[Command]] = {
    CommandType.MESSAGE_SEND: MessageSend,
    CommandType.MESSAGE_EDIT: MessageEdit,
    CommandType.MESSAGE_DELETE: MessageDelete,
    CommandType.REACTION_SET: ReactionSet,
    CommandType.TYPING_START: Typing,
    CommandType.TYPING_STOP: Typing,
    CommandType.MARK_READ: MarkRead,
    CommandType.MESSAGE_CANCEL: MessageCancel,
    CommandType.MESSAGE_RESEND: MessageResend,
    CommandType.CONTACT_BLOCK: ContactBlock,
    CommandType.CONTACT_UNBLOCK: ContactBlock,
}


_TEMPLATE_KINDS = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "gif": AttachmentKind.VIDEO,
    "document": AttachmentKind.DOCUMENT,
}


def _template_files(component: Mapping[str, Any], path: str) -> list[tuple[str, File]]:
    """The files of a template's component and of its cards that are not the provider's already."""
    found = []
    for place, parameter in enumerate(_mappings(component.get("parameters"))):
        kind = str(parameter.get("type", "")).lower()
        given = parameter.get(kind)
        if kind not in _TEMPLATE_KINDS or not isinstance(given, Mapping) or given.get("id") or given.get("link"):
            continue
        try:
            file = File.model_validate({"kind": _TEMPLATE_KINDS[kind], **given})
        except ValidationError:
            continue  # the channel says what is wrong with it
        found.append((f"{path}.parameters.{place}.{kind}", file))
    for place, card in enumerate(_mappings(component.get("cards"))):
        for inner, part in enumerate(_mappings(card.get("components"))):
            found += _template_files(part, f"{path}.cards.{place}.components.{inner}")
    return found


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none where something else is among them, or it is no list."""
    listed = list(value) if isinstance(value, list | tuple) else []
    return listed if all(isinstance(entry, Mapping) for entry in listed) else []


def named_files(content: OutboundContent) -> list[tuple[str, File]]:
    """Every file of a content in the order they are sent, with the field of the command it stands in."""
    if isinstance(content, OutInteractive):
        cards = [(f"content.cards.{index}.file", card.file) for index, card in enumerate(content.cards)]
        return [(field, file) for field, file in (("content.header_file", content.header_file), *cards) if file]
    if isinstance(content, OutTemplate):
        places = enumerate(content.components)
        return [named for index, part in places for named in _template_files(part, f"content.components.{index}")]
    files: Sequence[File] = getattr(content, "attachments", ())
    return [(f"content.attachments.{index}", file) for index, file in enumerate(files)]


class CommandRefused(Exception):
    """A record that is JSON but no command we can carry out; `code` says why, `field` where, `facts` as `Error` has
    them."""

    def __init__(self, code: ErrorCode, detail: str | None, field: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.facts = facts


def parse_command(ce_type: str, data: Mapping[str, Any]) -> tuple[CommandType, Command]:
    """The command of a record's type and decoded data.

    Raises CommandRefused with `not_sendable` for internal content and `invalid_command` for an unknown type, an
    unknown version or a field that does not fit. The detail names fields, never their contents.
    """
    if data.get("visibility") == "internal":
        raise CommandRefused(ErrorCode.NOT_SENDABLE, "The command is internal.", "visibility")
    try:
        name, version = parse_type(ce_type)
        command_type = CommandType(name)
    except ValueError:
        raise CommandRefused(ErrorCode.INVALID_COMMAND, "The command's type is not known.", "type") from None
    if version != 1:
        raise CommandRefused(ErrorCode.INVALID_COMMAND, "The command's version is not known.", "type")
    try:
        # Read as JSON, strictly: a number in quotes is none, as the published schemas have it.
        return command_type, COMMAND_OF[command_type].model_validate_json(
            to_json(data, inf_nan_mode="null"), strict=True
        )
    except (PydanticSerializationError, UnicodeEncodeError):
        raise CommandRefused(ErrorCode.INVALID_COMMAND, "The command is not JSON.") from None
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        where = [step for step in first["loc"] if "[" not in str(step)]  # the branch of a union is no field
        if where[:1] == ["content"] and len(where) > 1:
            del where[1]  # nor is its tag
        if first["type"].startswith("union_tag"):
            where.append("kind")
        field = ".".join(str(step) for step in where) or None
        message = sentences.invalid(first["type"], first.get("ctx", {}))
        if first["type"] == "tuple_type" and where[-2:-1] == ["buttons"]:
            message = sentences.ROW_OF_BUTTONS
        raise CommandRefused(ErrorCode.INVALID_COMMAND, f"{field or 'command'}: {message}", field) from None
