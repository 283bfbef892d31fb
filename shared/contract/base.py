"""The base of every contract model, and the types that all of them share."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds, the one time format of the contract: `2026-11-22T10:00:00.412Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


_TIMES = TypeAdapter(datetime)
_NO_TIME = "It must be a time as RFC 3339 has it, with an offset from UTC."


def _as_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(_NO_TIME)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time outside the calendar") from None


def _read(value: Any) -> Any:
    """A time from its text; by hand, because what is read strictly takes no text for a time."""
    if isinstance(value, int | float):
        raise ValueError(_NO_TIME)
    try:
        return _TIMES.validate_python(value) if isinstance(value, str) else value
    except ValidationError:
        raise ValueError(_NO_TIME) from None


Timestamp = Annotated[
    datetime, BeforeValidator(_read), AfterValidator(_as_utc), PlainSerializer(rfc3339, return_type=str)
]


def _blank_is_absent(value: Any) -> Any:
    return None if value == "" else value


_INT64 = 2**63
_DEEPEST = 100  # levels of what a command hands through; writers of JSON give up at 254


def flaw_of(value: Any, deepest: int = _DEEPEST) -> tuple[str, str] | None:
    """Where in a document something stands that cannot be written as JSON, and what: (path, sentence); None if nowhere.

    A number that is none or has more than 64 bits, half a surrogate pair, too many levels.
    """
    left: list[tuple[Any, tuple[str, ...]]] = [(value, ())]
    while left:
        found, path = left.pop()
        members: list[tuple[Any, Any]] = []
        wrong = ""
        match found:
            case dict():
                members = list(found.items())
            case list() | tuple():
                members = list(enumerate(found))
            case float() if not math.isfinite(found):
                wrong = "It is not a finite number."
            case int() if not -_INT64 <= found < _INT64:
                wrong = "The number has more than 64 bits."
            case str() if not is_text(found):
                wrong = "It has half of a character."
        if any(isinstance(name, str) and not is_text(name) for name, _ in members):
            members, wrong = [], "A name in it has half of a character."
        elif members and len(path) == deepest:
            members, wrong = [], f"It is nested more than {deepest} levels deep."
        if wrong:
            return ".".join(path[:4]), wrong
        left.extend((inner, (*path, str(name)[:40])) for name, inner in reversed(members))
    return None


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: lone surrogates cannot."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_64_bits(value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise ValueError("a number of more than 64 bits")
    return value


def _writable(value: dict[str, Any]) -> dict[str, Any]:
    if found := flaw_of(value):
        raise ValueError(found[1])
    return value


Count = Annotated[int, Field(ge=0), AfterValidator(_in_64_bits)]
Integer = Annotated[int, AfterValidator(_in_64_bits)]
# What is handed to the provider as it is.
JsonObject = Annotated[dict[str, Any], AfterValidator(_writable)]

OptionalText = Annotated[str | None, BeforeValidator(_blank_is_absent)]

# Ids travel in record keys, headers and log lines: printable, bounded, no blanks.
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\s\x00-\x1f]+$")]
# Account and workspace ids are parts of conversation ids, webhook paths and object keys: no separators, no "..".
AccountId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
WorkspaceId = AccountId


class Model(BaseModel):
    """A contract model: immutable, tolerant of fields it does not know (additions are not a break)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    def to_json(self) -> bytes:
        """The record value: UTF-8 JSON without absent fields."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()


class Origin(StrEnum):
    """Who wrote a message."""

    CONTACT = "contact"
    HUMAN = "human"
    AI_AGENT = "ai_agent"
    WORKFLOW = "workflow"
    SYSTEM = "system"
    NATIVE_APP = "native_app"
    """One of ours, written in the channel's own app."""


class AliasKind(StrEnum):
    """What kind of name a contact goes by on a channel."""

    PROVIDER_ID = "provider_id"
    """The provider's own id."""
    PHONE = "phone"
    """E.164 with the plus sign, or the alias is absent."""
    EMAIL = "email"
    """In lower case."""
    USERNAME = "username"
    """Without the at sign."""
    BSUID = "bsuid"
    """WhatsApp's business-scoped user id."""
    PARENT_BSUID = "parent_bsuid"
    """The same, of the business's parent."""
    GROUP = "group"
    """The id of a group."""


class Alias(Model):
    """One name of a contact."""

    kind: AliasKind
    """What kind of name it is."""
    value: str
    """The name itself."""


class Contact(Model):
    """The other side of a conversation as the provider describes it: no alias is ever guessed."""

    aliases: tuple[Alias, ...] = ()
    """All names the provider gives; two contacts that share one are the same."""
    display_name: OptionalText = None
    """The name to show, as the contact or the provider writes it."""
    given_name: OptionalText = None
    """First name, where the provider has it apart."""
    family_name: OptionalText = None
    """Last name, where the provider has it apart."""
    language: OptionalText = None
    """Language of the contact's app (BCP 47), a hint."""
    avatar_url: OptionalText = None
    """Address of the contact's picture at the provider, where it may die."""
    avatar: OptionalText = None
    """Key of that picture in the blob store."""
    is_bot: bool | None = None
    """True: the contact is a program."""
    identity_key: OptionalText = None
    """The provider's mark of who is behind the contact now, where the account asks for it: another one says that it may
    be somebody else."""
