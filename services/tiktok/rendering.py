"""Contents as TikTok takes them: pieces of plain text, images, Q&A cards, shared posts. Pure."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from services.tiktok.capabilities import BUTTON_ID, BUTTON_TITLE, CARD_BUTTONS, CARD_TITLE, LINK_TITLE, UNIT
from shared.channel import Refused
from shared.contract.capabilities import FileRule
from shared.contract.commands import Button, File, InteractiveKind, OutInteractive
from shared.contract.content import AttachmentKind, Span, SpanKind
from shared.contract.errors import ErrorCode
from shared.policy.text import excess, length, split_text

# ----------------------------------------------------------------------------------------------------- text


def pieces(text: str, limit: int, most: int) -> list[str]:
    """The text as messages of at most `limit` units; nothing but blanks at a border is left out.

    Raises Refused for more than `most`.
    """
    _check_parts(text, limit, most)
    found = [part.text for part in split_text(text, limit, unit=UNIT, most=most) if part.text.strip()]
    _check_parts(text, limit, most, len(found))
    return found


def _check_parts(text: str, limit: int, most: int, parts: int = 0) -> None:
    if too_long := excess("TikTok", limit, most, length(text, UNIT), parts):
        detail, figures = too_long
        raise Refused(ErrorCode.TEXT_TOO_LONG, detail, field="content.text", **figures)


def plain(text: str, spans: Sequence[Span]) -> str:
    """The text without formatting; the address of a link that only formatting showed is written after it."""
    for span in sorted(spans, key=lambda span: span.offset, reverse=True):
        end = span.offset + span.length
        if span.kind is SpanKind.LINK and span.url and end <= len(text) and not _shows(text, span.url):
            text = f"{text[:end]} ({span.url}){text[end:]}"
    return text


_GOES_ON = re.compile(r"[.,:;]?[\w/?#&=%~+-]")
_LONGEST_ADDRESS = 2048
_MOST_PLACES = 50  # where an address is looked for


def _shows(text: str, url: str) -> bool:
    # The whole address: one that another begins with is not shown by that other.
    if len(url) > _LONGEST_ADDRESS:
        return False
    at = -1
    for _ in range(_MOST_PLACES):
        at = text.find(url, at + 1)
        if at < 0:
            return False
        if _GOES_ON.match(text, at + len(url)) is None:
            return True
    return False


def listed(rows: Sequence[Sequence[Button]]) -> list[Button]:
    """The buttons of a text or of files, whether they go out as such or as lines. Raises Refused for an empty one."""
    for r, row in enumerate(rows):
        for i, button in enumerate(row):
            field = f"content.buttons.{r}.{i}"
            _titled(button, field)
            if button.kind in ("url", "web_app") and not button.url:
                raise Refused(ErrorCode.INVALID_COMMAND, "A link button needs an address.", field=f"{field}.url")
            if button.kind == "phone" and not any(map(str.isdigit, button.value or button.title)):
                raise Refused(ErrorCode.INVALID_COMMAND, "A phone button needs a number.", field=f"{field}.value")
    return [button for row in rows for button in row]


def _titled(button: Button, field: str) -> None:
    if not button.title.strip():
        raise Refused(ErrorCode.INVALID_COMMAND, "A button needs a title.", field=f"{field}.title")


def with_options(text: str, buttons: Sequence[Button]) -> str:
    """The text with buttons that cannot be shown as such written under it."""
    shown = ((button.title, button.url or button.value) for button in buttons)
    lines = [f"• {title}: {what}" if what else f"• {title}" for title, what in shown]
    return "\n".join([*([text] if text.strip() else []), *lines])


# ---------------------------------------------------------------------------------------------------- files

_SAME_TYPE = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_SAYS_NOTHING = frozenset({"application/octet-stream", "binary/octet-stream"})


def mime_type(given: str | None, filename: str | None) -> str | None:
    """The type of a file as far as it is told: without parameters, by its usual name, or by the file's name."""
    told = (given or "").split(";")[0].strip().lower()
    told = _SAME_TYPE.get(told, told)
    if "/" in told and "*" not in told and told not in _SAYS_NOTHING:
        return told
    return _guessed(filename)


def _guessed(name: str | None) -> str | None:
    found = mimetypes.guess_type((name or "").strip().lower(), strict=False)[0]
    return _SAME_TYPE.get(found, found) if found else None


def _type_of_address(address: str | None) -> str | None:
    """What the end of an address or a blob's key says; nothing where it names a page, which may bring an image."""
    try:
        found = _guessed(unquote(urlsplit(address or "").path))
    except ValueError:
        return None
    return None if found and found.startswith(("text/", "application/x-")) else found


def check_image(file: File, rules: dict[AttachmentKind, FileRule], field: str) -> None:
    """Raises Refused unless TikTok would take the file, as far as it is known before its bytes are."""
    rule = rules[AttachmentKind.IMAGE]
    told = mime_type(file.mime_type, file.filename) or _type_of_address(file.url or file.blob)
    if file.kind not in (None, AttachmentKind.IMAGE) or (told is not None and told not in rule.mime_types):
        raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, "TikTok takes JPG and PNG images only.", field=field)
    if file.size == 0:
        raise Refused(ErrorCode.FILE_UNAVAILABLE, "The file is empty.", field=field, limit=1, actual=0)
    if file.size is not None and file.size > rule.max_bytes:
        raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=rule.max_bytes, actual=file.size)


# ---------------------------------------------------------------------------------------------------- cards


def card(title: str, buttons: Sequence[Button], kind: InteractiveKind, field: str) -> dict[str, Any]:
    """A Q&A card. Raises Refused with the field, the limit and the actual count of whatever does not fit."""
    if not title.strip():
        raise Refused(ErrorCode.INVALID_COMMAND, "A card needs a text.", field=f"{field}.text")
    _limit(title, CARD_TITLE, f"{field}.text", "A card's text")
    if not 1 <= len(buttons) <= CARD_BUTTONS:
        raise Refused(
            ErrorCode.CONTENT_REJECTED if buttons else ErrorCode.INVALID_COMMAND,
            f"A card has 1 to {CARD_BUTTONS} buttons.",
            field=f"{field}.buttons",
            limit=CARD_BUTTONS if buttons else 1,
            actual=len(buttons),
        )
    return {
        "type": _card_type(buttons, kind),
        "title": title,
        "buttons": [_button(button, f"{field}.buttons.{index}") for index, button in enumerate(buttons)],
    }


def fits_card(title: str, buttons: Sequence[Button]) -> bool:
    """Whether text and buttons can be a card as they are."""
    return (
        bool(title.strip())
        and length(title, UNIT) <= CARD_TITLE
        and 1 <= len(buttons) <= CARD_BUTTONS
        and all(b.kind == "reply" and b.title.strip() and length(b.title, UNIT) <= LINK_TITLE for b in buttons)
        and all(length(b.id or "", UNIT) <= BUTTON_ID for b in buttons)
    )


def _card_type(buttons: Sequence[Button], kind: InteractiveKind) -> str:
    # A link card shows the answers as lines of text, which may be twice as long.
    short = all(length(button.title, UNIT) <= BUTTON_TITLE for button in buttons)
    return "QA_BUTTON_CARD" if short and kind is InteractiveKind.BUTTONS else "QA_LINK_CARD"


def _button(button: Button, field: str) -> dict[str, Any]:
    if button.kind != "reply":
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL, "TikTok's cards have reply buttons only.", field=f"{field}.kind"
        )
    _titled(button, field)
    _limit(button.title, LINK_TITLE, f"{field}.title", "A button's title")
    _limit(button.id or "", BUTTON_ID, f"{field}.id", "A button's id")
    return {"type": "REPLY", "title": button.title, **({"id": button.id} if button.id else {})}


def _limit(text: str, limit: int, field: str, what: str) -> None:
    if (actual := length(text, UNIT)) > limit:
        raise Refused(
            ErrorCode.TEXT_TOO_LONG,
            f"{what} has at most {limit} characters.",
            field=field,
            limit=limit,
            actual=actual,
        )


def card_title(content: OutInteractive) -> str:
    """A card has one text: header, text and footer, a line each."""
    return "\n".join(line for line in (content.header, content.text, content.footer) if line and line.strip())


# ---------------------------------------------------------------------------------------------------- posts

_POST = re.compile(r"(?:^|/(?:video|photo|v|v1|embed|v2)/)(\d{6,30})(?:\.html)?(?:[/?#].*)?$", re.S)


def post_item(post_id: str) -> str:
    """The id of a post, given as such or as its address. Raises Refused."""
    if not post_id.strip():
        raise Refused(ErrorCode.INVALID_COMMAND, "The post has no id.", field="content.post_id")
    found = _POST.search(post_id.strip())
    if found is None:
        raise Refused(ErrorCode.CONTENT_REJECTED, "This is no id of a TikTok post.", field="content.post_id")
    return found[1]
