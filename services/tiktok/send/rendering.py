"""Contents as TikTok takes them: plain text, images, Q&A cards, shared posts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from services.tiktok.capabilities import BUTTON_ID, BUTTON_TITLE, CARD_BUTTONS, CARD_TITLE, LINK_TITLE, UNIT
from shared.channel import Refused
from shared.contract.capabilities import FileRule
from shared.contract.commands import Button, File, InteractiveKind, OutInteractive
from shared.contract.content import AttachmentKind, Span, SpanKind
from shared.contract.errors import ErrorCode
from shared.media.types import claim, claimed_by_name
from shared.policy.choices import Misfit, Room, longer
from shared.policy.text import length

# ----------------------------------------------------------------------------------------------------- text


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


# ---------------------------------------------------------------------------------------------------- files


def _type_of_address(address: str | None) -> str | None:
    """What the end of an address or a blob's key says; nothing where it names a page, which may bring an image."""
    try:
        found = claimed_by_name(unquote(urlsplit(address or "").path))
    except ValueError:
        return None
    return None if found and found.startswith(("text/", "application/x-")) else found


def check_image(file: File, rules: dict[AttachmentKind, FileRule], field: str) -> None:
    """Raises Refused unless TikTok would take the file, as far as it is known before its bytes are."""
    rule = rules[AttachmentKind.IMAGE]
    told = claim(file.mime_type) or claimed_by_name(file.filename) or _type_of_address(file.url or file.blob)
    if file.kind not in (None, AttachmentKind.IMAGE) or (told is not None and told not in rule.mime_types):
        what = f"{file.kind} files" if file.kind not in (None, AttachmentKind.IMAGE) else f"files of the type {told}"
        detail = f"TikTok takes no {what}; it takes: image ({', '.join(rule.mime_types)})."
        raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, field=field)
    if file.size == 0:
        raise Refused(ErrorCode.FILE_UNAVAILABLE, "The file is empty.", field=field, limit=1, actual=0)
    if file.size is not None and file.size > rule.max_bytes:
        raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=rule.max_bytes, actual=file.size)


# ---------------------------------------------------------------------------------------------------- cards


ROOM = Room(channel="TikTok", buttons=CARD_BUTTONS, title=LINK_TITLE, unit=UNIT, id=BUTTON_ID, id_unit=UNIT)


def card(title: str, buttons: Iterable[Button], kind: InteractiveKind) -> dict[str, Any]:
    """A Q&A card of what fits one."""
    found = list(buttons)
    return {
        "type": _card_type(found, kind),
        "title": title,
        "buttons": [{"type": "REPLY", "title": b.title, **({"id": b.id} if b.id else {})} for b in found],
    }


def too_long_for_a_card(title: str, field: str) -> Misfit | None:
    """Why a text cannot be a card's."""
    return longer({f"{field}.text": title}, CARD_TITLE, "card texts", "TikTok", UNIT)


def _card_type(buttons: Sequence[Button], kind: InteractiveKind) -> str:
    # A link card shows the answers as lines of text, which may be twice as long.
    short = all(length(button.title, UNIT) <= BUTTON_TITLE for button in buttons)
    return "QA_LINK_CARD" if kind is InteractiveKind.CARD or not short else "QA_BUTTON_CARD"


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
