"""The calls of one command while they are being made: recipient, reply and warnings are put where they belong.

A call is `POST /{phone_number_id}/messages` with `params` as its JSON body, exactly as sent. A file that has to be
uploaded first stands in `files` under the path of the id that the upload will give (`image.id`,
`interactive.header.video.id`, `interactive.action.cards.0.header.image.id`; numbers count list members from 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.whatsapp.capabilities import CAPABILITIES, room_of
from services.whatsapp.send.files import Fitted, filename_of
from services.whatsapp.send.recipient import Recipient, recipient_of
from shared.channel import Call, PlanContext, Refused
from shared.contract.accounts import AccountRecord
from shared.contract.commands import File, MessageSend
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit import drafts
from shared.kit.loose import Json
from shared.policy.choices import Arranged, Placed, arranged, longer

_TO_GROUPS = frozenset({"text", "image", "video", "audio", "document", "sticker", "template"})


def links_allowed(account: AccountRecord) -> bool:
    """Whether Meta is to fetch the account's files itself."""
    return account.settings.get("media_by_link") is True


def takes_link(file: File) -> bool:
    """Whether Meta may be given the file's own address: one that nobody on the way can change what is behind."""
    return file.url is not None and file.url.lower().startswith("https://")


class Draft(drafts.Draft):
    """Collects the calls of a send command. Raises Refused when nobody, or a group, can get them."""

    def __init__(self, command: MessageSend, context: PlanContext) -> None:
        super().__init__(command, context)
        self.calls: list[Call] = []
        self.by_link = links_allowed(context.account)
        self.recipient = recipient_of(command, context)
        self.room = room_of(group=bool(self.recipient.group), direct=command.category is not None)
        self._conditions = _conditions(command, self.recipient)
        self._reply = self._reply_of(command, context)

    def arrange(self, placed: Placed) -> Arranged:
        """How buttons go out. Raises Refused for one that nobody could use, or where the command is strict."""
        drafts.check_usable(placed)
        way = arranged(placed, self.room)
        for misfit in way.misfits[:1]:
            if way.shape == "list" and not way.lines:
                self.degrade(misfit, WarningCode.BUTTONS_AS_LIST, "They go out as a list.")
            elif way.shape == "list":
                self.degrade(misfit, WarningCode.BUTTONS_AS_LIST, "They go out as a list, the others as lines of text.")
            else:
                which = "Some" if way.tappable else "The buttons"
                self.degrade(misfit, WarningCode.BUTTONS_DROPPED, f"{which} go out as lines of text.")
        return way

    def add(
        self,
        kind: str,
        content: Any,
        files: dict[str, Fitted] | None = None,
        warnings: Sequence[Warning] = (),
    ) -> None:
        """One message of a type, with the warnings so far. The first one carries the reply reference."""
        body = message(self.recipient, kind, content) | self._conditions
        if self._reply and not self.calls:
            body["context"] = {"message_id": self._reply}
        uploads = {path: fitted.file for path, fitted in (files or {}).items()}
        self.calls.append(Call("messages", body, files=uploads, warnings=(*self.warnings, *warnings)))
        self.warnings = []

    def media(self, fitted: Fitted, path: str) -> tuple[Json, dict[str, Fitted]]:
        """The object that names a file, and what has to be uploaded for it; `path` is where the object will stand."""
        file = fitted.file
        if file.provider_ref:
            return {"id": file.provider_ref}, {}
        if self.by_link and takes_link(file):
            return {"link": file.url}, {}
        return {}, {f"{path}.id": fitted}

    def named(self, fitted: Fitted, path: str) -> tuple[Json, dict[str, Fitted]]:
        """As `media`, with the name that a document shows."""
        found, uploads = self.media(fitted, path)
        name = filename_of(fitted.file)
        if fitted.message_type == "document" and name:
            found["filename"] = name
        return found, uploads

    def check_length(self, text: str, parts: int = 0) -> None:
        """Refuse a text that would take more messages than one command may make of it; `parts` once it is split."""
        drafts.check_parts("WhatsApp", CAPABILITIES.text, self.most_parts, text, parts)

    def _reply_of(self, command: MessageSend, context: PlanContext) -> str | None:
        if command.reply_to is None:
            return None
        strict = command.reply_policy == "strict"
        if command.content.kind not in CAPABILITIES.reply_to_on:
            detail = f"WhatsApp shows no reply on a {command.content.kind} message."
            if strict:
                raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="reply_to")
            self.warn(WarningCode.REPLY_TO_UNSUPPORTED, detail)
            return None
        if context.target is None:
            if strict:
                raise Refused(ErrorCode.REPLY_TARGET_UNKNOWN, field="reply_to")
            self.warn(WarningCode.REPLY_TO_DROPPED, "The message replied to is not known on this channel.")
            return None
        return context.target.provider_message_id


def _conditions(command: MessageSend, recipient: Recipient) -> Json:
    """On which conditions Meta takes the message: whom it is for, what for. Raises Refused: a group has neither."""
    category = (command.category or "").lower()
    given = {"recipient_identity_key_hash": command.identity_key, "category": category}
    for name, field in (("recipient_identity_key_hash", "identity_key"), ("category", "category")):
        if recipient.group and given[name]:
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "A message to a group has none.", field=field)
    return {name: value for name, value in given.items() if value}


def message(recipient: Recipient, kind: str, content: Any) -> Json:
    """The body of one message. Raises Refused for what a group cannot get."""
    if recipient.group and kind not in _TO_GROUPS:
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"WhatsApp groups take no {kind} messages.", field="content")
    return {"messaging_product": "whatsapp", **recipient.envelope(), "type": kind, kind: content}


def placed(value: Any, path: str, new: Any) -> Any:
    """A copy of a body with `new` at a dotted path; what lies off the path is shared."""
    step, _, rest = path.partition(".")
    if isinstance(value, list):
        index = int(step)
        return [*value[:index], placed(value[index], rest, new), *value[index + 1 :]]
    return {**value, step: placed(value.get(step, {}), rest, new) if rest else new}


def _named(field: str) -> str:
    """A field in words: `content.buttons.1.title` is a button title."""
    *parents, last = [step for step in field.split(".")[1:] if not step.isdigit()]
    return " ".join([*(step.removesuffix("s") for step in parents), last.replace("_", " ")])


def required(text: str | None, field: str) -> str:
    """The text, which must be there."""
    if text is None or not text.strip():
        raise Refused(ErrorCode.INVALID_COMMAND, f"The {_named(field)} is missing.", field=field)
    return text


def checked(value: str | None, limit: int, field: str) -> str:
    """The text, which must be there and within `limit` code points: it is refused, never cut."""
    text = required(value, field)
    if misfit := longer({field: text}, limit, f"{_named(field)}s", "WhatsApp", "code_points"):
        raise drafts.refusal(misfit)
    return text


def counted(count: int, field: str, *, most: int, least: int = 1) -> None:
    """Refuse too many or too few of something."""
    if count > most:
        detail = f"WhatsApp takes at most {most} {_named(field)} in such a message; this one has {count}."
        raise Refused(ErrorCode.CONTENT_REJECTED, detail, field=field, limit=most, actual=count)
    if count < least:
        detail = f"Such a message needs {_named(field)}, at least {least}; this one has {count}."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field=field, limit=least, actual=count)


def distinct(values: Mapping[str, str]) -> None:
    """Refuse the same value twice; the values by their fields."""
    known: set[str] = set()
    for field, value in values.items():
        if value in known:
            raise Refused(ErrorCode.INVALID_COMMAND, f"WhatsApp takes no {_named(field)} twice.", field=field)
        known.add(value)
