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

MAX_FILES = 50
MAX_SPANS = 1000


class CommandType(StrEnum):
    """The name of a command."""

    MESSAGE_SEND = "message.send"
    MESSAGE_EDIT = "message.edit"
    MESSAGE_DELETE = "message.delete"
    REACTION_SET = "reaction.set"
    TYPING_START = "typing.start"
    TYPING_STOP = "typing.stop"
    MARK_READ = "conversation.mark_read"
    MESSAGE_CANCEL = "message.cancel"
    MESSAGE_RESEND = "message.resend"
    CONTACT_BLOCK = "contact.block"
    CONTACT_UNBLOCK = "contact.unblock"


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
    kind: ActorKind
    id: OptionalText = None
    display_name: OptionalText = None


class File(Model):
    """A file to send: where it is (one of `blob`, `url`, `attachment_id`, `provider_ref`) and how it is meant.

    `size` in bytes and `mime_type` are what the core knows; the connector sniffs before it believes.

    `attachment_id` is one of the command's account. `blob` is a key of the blob store and begins with the command's
    `workspace_id` and a slash: segments between slashes, each of 1 to 240 bytes of UTF-8 and none of them `.` or `..`,
    900 bytes in all, without control characters and backslashes, and without `#` and digits at its end. Any other is
    that of a file that is not there (`file_unavailable`).
    """

    blob: OptionalText = None
    url: OptionalText = None
    attachment_id: OptionalText = None
    provider_ref: OptionalText = None
    kind: AttachmentKind | None = None
    filename: OptionalText = None
    mime_type: OptionalText = None
    size: Count | None = None
    sha256: OptionalText = None
    width: Integer | None = None
    height: Integer | None = None
    duration: float | None = None
    animated: bool | None = None  # of a sticker; the connector looks before it believes
    spoiler: bool = False
    content_id: OptionalText = None  # of an email: its html shows the file as `cid:<content_id>`

    @model_validator(mode="after")
    def _has_one_source(self) -> File:
        if sum(place is not None for place in (self.blob, self.url, self.attachment_id, self.provider_ref)) != 1:
            raise ValueError("It needs exactly one of blob, url, attachment_id, provider_ref.")
        return self


class Button(Model):
    """A button under a message: `reply` brings `id` back as a postback, the others open something."""

    kind: Literal["reply", "url", "copy_code", "phone", "web_app"] = "reply"
    title: str
    id: OptionalText = None
    url: OptionalText = None
    value: OptionalText = None  # the code to copy, the number to call


class Row(Model):
    """A row of a list, or a product of a product list."""

    id: str
    title: str = ""
    description: OptionalText = None


class Section(Model):
    title: OptionalText = None
    rows: tuple[Row, ...] = Field(min_length=1)


class Card(Model):
    """A card of a carousel."""

    file: File | None = None
    text: str = ""
    product_id: OptionalText = None
    buttons: tuple[Button, ...] = ()


def _not_too_many(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    if len(spans) > MAX_SPANS:
        raise ValueError(f"a text has at most {MAX_SPANS} spans")
    return spans


Spans = Annotated[tuple[Span, ...], AfterValidator(_not_too_many)]


class OutText(Model):
    kind: Literal["text"] = "text"
    text: str = Field(min_length=1)
    spans: Spans = ()
    preview_url: bool | None = None
    buttons: tuple[tuple[Button, ...], ...] = ()  # rows of inline buttons


class OutMedia(Model):
    """Files in order, with an optional caption."""

    kind: Literal["media"] = "media"
    text: str = ""
    spans: Spans = ()
    attachments: tuple[File, ...] = Field(min_length=1)
    buttons: tuple[tuple[Button, ...], ...] = ()  # rows of inline buttons


class OutTemplate(Model):
    """An approved template. `components` go to the provider as its documentation has them; a file in them may also be
    named as any other is (`{"type": "document", "document": {"blob": …, "filename": …}}`).

    `parameters` is the short form for the body: a list for positional, a mapping for named parameters.
    """

    kind: Literal["template"] = "template"
    text: str = ""
    name: str = Field(min_length=1, max_length=512)
    language: str = Field(min_length=1)
    category: OptionalText = None  # marketing, utility, authentication, where the core knows it
    parameters: tuple[str, ...] | dict[str, str] | None = None
    components: tuple[JsonObject, ...] = ()


class InteractiveKind(StrEnum):
    BUTTONS = "buttons"
    LIST = "list"
    CTA_URL = "cta_url"
    LOCATION_REQUEST = "location_request"
    CONTACT_REQUEST = "contact_request"
    FLOW = "flow"
    CAROUSEL = "carousel"
    PRODUCT = "product"
    PRODUCT_LIST = "product_list"
    CATALOG = "catalog"
    CARD = "card"


class OutInteractive(Model):
    """A message the contact can answer by tapping; which fields count depends on `interactive`."""

    kind: Literal["interactive"] = "interactive"
    interactive: InteractiveKind = InteractiveKind.BUTTONS
    text: str = ""
    header: OptionalText = None
    header_file: File | None = None
    footer: OptionalText = None
    buttons: tuple[Button, ...] = ()
    button: OptionalText = None  # the label that opens a list (absent, the channel chooses one) or a flow
    sections: tuple[Section, ...] = ()
    cards: tuple[Card, ...] = ()
    flow: JsonObject | None = None
    catalog_id: OptionalText = None
    product_id: OptionalText = None


class OutLocation(Model):
    kind: Literal["location"] = "location"
    text: str = ""
    location: Place


class OutContacts(Model):
    kind: Literal["contacts"] = "contacts"
    text: str = ""
    contacts: tuple[ContactCard, ...] = Field(min_length=1)


class OutSharedPost(Model):
    """A post of our own account on the channel."""

    kind: Literal["shared_post"] = "shared_post"
    text: str = ""
    post_id: str = Field(min_length=1)


class OutEmail(Model):
    kind: Literal["email"] = "email"
    text: str = ""
    subject: OptionalText = None
    html: OptionalText = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    thread: Literal["reply", "new"] = "reply"
    attachments: tuple[File, ...] = ()


OutboundContent = Annotated[
    OutText | OutMedia | OutTemplate | OutInteractive | OutLocation | OutContacts | OutSharedPost | OutEmail,
    Field(discriminator="kind"),
]


class ReplyTarget(Model):
    """The message to answer: by our id, or by the provider's where the core has only that."""

    message_id: OptionalText = None
    provider_message_id: OptionalText = None
    quote: OptionalText = None


class Command(Model):
    """What every command carries. `command_id` is the idempotency key."""

    command_id: Identifier
    workspace_id: WorkspaceId
    account_id: AccountId
    conversation_id: Identifier | None = None
    to: tuple[Alias, ...] = ()
    actor: Actor = Actor(kind=ActorKind.SYSTEM)
    workflow_run_id: OptionalText = None
    not_before: Timestamp | None = None
    not_after: Timestamp | None = None
    visibility: Literal["contact", "internal"] = "contact"

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
    """`identity_key` is that of the contact (`Contact.identity_key`) whom somebody has confirmed: to another one the
    message is refused (`identity_changed`). `category` sends a message that is no template as what it says it is
    (`utility`), also while no window is open, where the account may (`Capabilities.direct_send`).
    `degrade_policy` says what becomes of what a channel cannot show as it is meant (too many buttons, titles too long,
    links beside replies, lists, headers, requests): `degrade` sends it another way, with a warning, `strict` refuses.
    Absent, it is as `reply_policy`.
    """

    content: OutboundContent
    reply_to: ReplyTarget | None = None
    reply_policy: Literal["degrade", "strict"] = "degrade"
    degrade_policy: Literal["degrade", "strict"] | None = None
    on_uncertain: Literal["report", "resend"] = "report"
    silent: bool = False  # deliver without a notification, where the channel can
    identity_key: OptionalText = None
    category: OptionalText = None

    @property
    def strict(self) -> bool:
        """Whether what cannot be shown as it is meant is refused."""
        return (self.degrade_policy or self.reply_policy) == "strict"


class MessageEdit(Command):
    message_id: Identifier
    provider_message_id: OptionalText = None
    content: OutboundContent


class MessageDelete(Command):
    message_id: Identifier
    provider_message_id: OptionalText = None


class ReactionSet(Command):
    """`emoji` absent takes our reaction off."""

    message_id: Identifier
    provider_message_id: OptionalText = None
    emoji: OptionalText = None


class Typing(Command):
    """Data of `typing.start` and `typing.stop`; `audience: agents` never leaves the connector."""

    audience: Literal["contact", "agents"] = "contact"
    activity: Literal["text", "voice", "file"] = "text"


class MarkRead(Command):
    """`message_id` is the last one read; absent, the last one received."""

    message_id: OptionalText = None
    provider_message_id: OptionalText = None


class MessageCancel(Command):
    """Cancels what has not been handed to the provider: all that match every given field."""

    cancel_command_id: OptionalText = None
    cancel_conversation: bool = False
    cancel_actor_kind: ActorKind | None = None
    cancel_workflow_run_id: OptionalText = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (
            self.cancel_command_id or self.cancel_conversation or self.cancel_actor_kind or self.cancel_workflow_run_id
        ):
            raise ValueError("It has to name what to cancel.")
        return self


class MessageResend(Command):
    """Sends again what is `uncertain` of an earlier message of the conversation, by somebody who knows of the doubt.

    What comes of it is told as statuses of that message, with the warning `may_be_duplicate`; the other parts are left
    alone. The message is known for three days; after that it is `message_unknown`.
    """

    resend_command_id: Identifier


class ContactBlock(Command):
    """Data of `contact.block` and `contact.unblock`."""


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
