"""From a command to provider calls. Pure: what is not in the command or its context is not known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.tiktok.capabilities import CARD_BUTTONS, CHANNEL, QUOTA
from services.tiktok.send.rendering import (
    ROOM,
    card,
    card_title,
    check_image,
    plain,
    post_item,
    too_long_for_a_card,
)
from services.tiktok.shapes import RESTRICTED_PEER, SHAPES, UNKNOWN_PEER, USER_PEER
from shared.channel import Call, PlanContext, Refused
from shared.contract.capabilities import Capabilities, Grade
from shared.contract.commands import (
    Button,
    Command,
    CommandType,
    File,
    InteractiveKind,
    MessageSend,
    OutInteractive,
    OutMedia,
    OutSharedPost,
    OutText,
)
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import Draft, check_references, check_usable, peer_of, placed_rows, split
from shared.policy.choices import (
    Misfit,
    Placed,
    arranged,
    as_lines,
    buttons_of,
    list_misfit,
    listing,
    with_lines,
)

METHOD = "business/message/send"
IMAGE = "image"  # the parameter a file's media id goes into
# What `check_sending` sends: no conversation has this id.
TO_NOBODY = {
    "recipient_type": "CONVERSATION",
    "recipient": "0",
    "message_type": "TEXT",
    "text": {"body": "."},
}


def plan(kind: CommandType, command: Command, context: PlanContext, capabilities: Capabilities) -> Sequence[Call]:
    """The calls of a command, in order. Raises Refused."""
    check_references(SHAPES, command)
    match kind:
        case CommandType.MESSAGE_SEND if isinstance(command, MessageSend):
            return _Plan(command, context, capabilities).calls()
        case CommandType.TYPING_START:
            return (_action("TYPING", _recipient(command, context)),)
        case CommandType.MARK_READ:
            return (_action("MARK_READ", _recipient(command, context)),)
    raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, field="type")


def adjusted(call: Call) -> Call | None:
    """The same call without its quote, or None when it has none."""
    if "referenced_message_info" not in call.params:
        return None
    params = {name: value for name, value in call.params.items() if name != "referenced_message_info"}
    warning = Warning(code=WarningCode.REPLY_TO_DROPPED, detail="TikTok did not take the message replied to.")
    return replace(call, params=params, warnings=(*call.warnings, warning))


def _recipient(command: Command, context: PlanContext) -> str:
    """The conversation id, which is the only address TikTok sends to."""
    if context.address.get("conversation_id"):
        return context.address["conversation_id"]
    if (peer := peer_of(command, CHANNEL, "This is no TikTok conversation.")) is None:
        raise Refused(ErrorCode.CANNOT_INITIATE, field="to")
    if peer in (RESTRICTED_PEER, UNKNOWN_PEER) or peer.startswith(USER_PEER):
        raise Refused(ErrorCode.RECIPIENT_UNKNOWN, "TikTok did not say who this is.", field="conversation_id")
    return peer


_REQUESTS = frozenset({InteractiveKind.LOCATION_REQUEST, InteractiveKind.CONTACT_REQUEST})


def _params(message_type: str, recipient: str, **content: Any) -> dict[str, Any]:
    return {"recipient_type": "CONVERSATION", "recipient": recipient, "message_type": message_type, **content}


def _action(action: str, recipient: str) -> Call:
    return Call(METHOD, _params("SENDER_ACTION", recipient, sender_action=action), parts=0)


class _Plan(Draft):
    """The parts of one `message.send`: text first, then files, then what can be tapped."""

    def __init__(self, command: MessageSend, context: PlanContext, capabilities: Capabilities) -> None:
        super().__init__(command, context)
        self._capabilities = capabilities
        self._recipient = _recipient(command, context)
        self._parts: list[Call] = []

    def calls(self) -> Sequence[Call]:
        content = self.command.content
        match content:
            case OutText():
                self._text_with_buttons(plain(content.text, content.spans), placed_rows(content.buttons))
                self._formatting_dropped(any(span.offset < len(content.text) for span in content.spans))
            case OutMedia():
                self._media(content)
            case OutInteractive():
                self._interactive(content)
            case OutSharedPost():
                item = post_item(content.post_id)
                self._caption(content.text)
                self._parts.append(self._call("SHARE_POST", share_post={"item_id": item}))
            case _:
                raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"TikTok has no {content.kind}.", field="content.kind")
        self._check_quota()
        self._reply()
        first, *others = self._parts
        return (replace(first, warnings=tuple(self.warnings)), *others)

    # ------------------------------------------------------------------------------------------------- contents

    def _call(self, message_type: str, files: dict[str, File] | None = None, **content: Any) -> Call:
        return Call(METHOD, _params(message_type, self._recipient, **content), files=files or {})

    def _text(self, text: str) -> None:
        if not text.strip():
            raise Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
        pieces = split("TikTok", self._capabilities.text, self.most_parts, text)
        self._parts += [self._call("TEXT", text={"body": piece.text}) for piece in pieces]
        if len(pieces) > 1:
            self.warn(WarningCode.TEXT_SPLIT, f"The text went out as {len(pieces)} messages.")

    def _caption(self, text: str) -> None:
        if text.strip():
            self._text(text)
            self.warn(WarningCode.CAPTION_SEPARATED, "The text went out as a message of its own.")

    def _text_with_buttons(
        self, text: str, placed: Placed, kind: InteractiveKind = InteractiveKind.BUTTONS, field: str = "content"
    ) -> None:
        """A card where text and buttons fit one, else a text with the buttons as lines."""
        check_usable(placed)
        misfits = [*arranged(placed, ROOM).misfits, *filter(None, [too_long_for_a_card(text, field)])]
        if placed and not misfits and text.strip():
            self._parts.append(self._call("TEMPLATE", template=card(text, placed.values(), kind)))
            return
        if placed and misfits:
            self.degrade(misfits[0], WarningCode.BUTTONS_DROPPED, "The buttons went out as lines of text.")
        self._text(with_lines(text, as_lines(placed.values())) if placed and text.strip() else text)

    def _media(self, content: OutMedia) -> None:
        files = self.context.files or content.attachments
        limit = self._capabilities.files_per_message
        if len(files) > limit:
            raise Refused(ErrorCode.TOO_MANY_FILES, field="content.attachments", limit=limit, actual=len(files))
        placed = placed_rows(content.buttons)
        check_usable(placed)
        if placed:
            detail = "TikTok has no buttons under files."
            misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.buttons"})
            self.degrade(misfit, WarningCode.BUTTONS_DROPPED, "The buttons went out as lines of text.")
        text = plain(content.text, content.spans)
        self._caption(with_lines(text, as_lines(placed.values())) if placed else text)
        for index, file in enumerate(files):
            self._image(file, f"content.attachments.{index}")
        self._formatting_dropped(any(span.offset < len(content.text) for span in content.spans))

    def _image(self, file: File, field: str) -> None:
        check_image(file, self._capabilities.files, field)
        if file.provider_ref:  # uploaded before: TikTok keeps a media id for 30 days
            self._parts.append(self._call("IMAGE", image={"media_id": file.provider_ref}))
        else:
            self._parts.append(self._call("IMAGE", files={IMAGE: file}))

    def _interactive(self, content: OutInteractive) -> None:
        if content.header_file is not None:
            self._image(content.header_file, "content.header_file")
        kind = content.interactive
        if kind in _REQUESTS:
            detail = f"TikTok has no {kind.value.replace('_', ' ')} messages."
            misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.interactive"})
            self.degrade(misfit, WarningCode.BUTTONS_DROPPED, "The text went out without a button.")
            self._text(card_title(content))
        elif kind is InteractiveKind.LIST:
            self._list(content)
        elif content.buttons or not content.cards:
            self._card(card_title(content), content.buttons, kind, "content")
        for index, entry in enumerate(content.cards):
            field = f"content.cards.{index}"
            if entry.file is not None:
                self._image(entry.file, f"{field}.file")
            self._card(entry.text, entry.buttons, kind, field)

    def _card(self, text: str, buttons: Sequence[Button], kind: InteractiveKind, field: str) -> None:
        if not text.strip():
            raise Refused(ErrorCode.INVALID_COMMAND, "A card needs a text.", field=f"{field}.text")
        if not buttons:
            detail = f"A card has 1 to {CARD_BUTTONS} buttons."
            raise Refused(ErrorCode.INVALID_COMMAND, detail, field=f"{field}.buttons", limit=1, actual=0)
        opens = kind is InteractiveKind.CTA_URL  # also where a button does not say so again
        links = [b.model_copy(update={"kind": "url"}) if opens and b.kind == "reply" else b for b in buttons]
        self._text_with_buttons(text, {f"{field}.buttons.{i}": b for i, b in enumerate(links)}, kind, field)

    def _list(self, content: OutInteractive) -> None:
        """A list: a card's buttons where that says all of it, else lines."""
        text = card_title(content)
        rows = buttons_of(content)
        said = any(part.title or any(row.description for row in part.rows) for part in content.sections)
        if not rows:
            raise Refused(ErrorCode.INVALID_COMMAND, "A list needs rows.", field="content.sections")
        if not text.strip():
            raise Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
        as_card = not (said or too_long_for_a_card(text, "content") or arranged(rows, ROOM).misfits)
        if misfit := list_misfit(content, ROOM):
            what = "a card's buttons" if as_card else "lines of text"
            code = WarningCode.CONVERTED if as_card else WarningCode.BUTTONS_DROPPED
            self.degrade(misfit, code, f"The rows went out as {what}.")
        if as_card:
            self._text_with_buttons(text, rows)
        else:
            self._text(with_lines(text, listing(content)))

    # --------------------------------------------------------------------------------------------- around them

    def _check_quota(self) -> None:
        """A message of more parts than a whole window allows can never go out: better said before part one."""
        rule = self._capabilities.windows[0]
        if not rule.quota_until_reply and len(self._parts) > QUOTA:
            raise Refused(
                ErrorCode.QUOTA_EXHAUSTED,
                f"This makes {len(self._parts)} messages; TikTok allows {QUOTA} until the contact writes again.",
                field="content",
                limit=QUOTA,
                actual=len(self._parts),
            )

    def _reply(self) -> None:
        """TikTok quotes with TEXT only."""
        if self.command.reply_to is None:
            return
        strict = self.command.reply_policy == "strict"
        native = self._capabilities.reply_to is Grade.NATIVE
        first_text = next((i for i, c in enumerate(self._parts) if c.params["message_type"] == "TEXT"), None)
        if not native or first_text is None:
            if strict:
                raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, "TikTok cannot quote here.", field="reply_to")
            code = WarningCode.REPLY_TO_DROPPED if native else WarningCode.REPLY_TO_UNSUPPORTED
            self.warn(code, "The message went out without its reply reference.")
        elif self.context.target is None:
            if strict:
                raise Refused(ErrorCode.REPLY_TARGET_UNKNOWN, field="reply_to")
            self.warn(WarningCode.REPLY_TO_DROPPED, "The message replied to is not known.")
        else:
            call = self._parts[first_text]
            reference = {"referenced_message_id": self.context.target.provider_message_id}
            self._parts[first_text] = replace(call, params={**call.params, "referenced_message_info": reference})

    def _formatting_dropped(self, had_spans: bool) -> None:
        if had_spans:
            self.warn(WarningCode.FORMATTING_DROPPED, "TikTok shows plain text.")
