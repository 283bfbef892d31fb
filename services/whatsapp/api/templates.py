"""The message templates of a WhatsApp Business Account, and what each of them needs to be sent.

developers.facebook.com/docs/graph-api/reference/whats-app-business-account/message_templates and
…/documentation/business-messaging/whatsapp/templates/components; read 2026-11-28.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from services.whatsapp.api.client import Client
from shared.channel import Account, Failure, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.templates import Template, TemplateParameter
from shared.kit import loose
from shared.kit.loose import Json

_FIELDS = "id,name,language,status,category,components,quality_score,rejected_reason"
_PAGE = 100
_MOST_PAGES = 100  # a verified business has at most 6,000 templates in all their languages
_VARIABLE = re.compile(r"\{\{\s*(\w{1,64})\s*\}\}")
_QUALITIES = frozenset({"green", "yellow", "red"})
_FILES = {"IMAGE": "image", "VIDEO": "video", "GIF": "gif", "DOCUMENT": "document"}
_HEADERS = {**_FILES, "LOCATION": "location", "PRODUCT": "product"}


async def templates(client: Client, account: Account, name: str | None) -> AsyncIterator[Template]:
    """All templates, or those of one name: Meta's filter also finds names that contain it. Raises ProviderError."""
    parent = account.record.parent_id
    if parent is None:
        return
    path, after = f"/{quote(parent, safe='')}/message_templates", None
    for _ in range(_MOST_PAGES):
        params = {"fields": _FIELDS, "limit": str(_PAGE)}
        params |= {"name": name} if name is not None else {}
        params |= {"after": after} if after is not None else {}
        answer = await client.call(account, "GET", path, params=params)
        if not isinstance(answer.get("data"), list):
            raise _unreadable("The list of templates could not be read.")
        for entry in loose.objects(answer, "data"):
            found = read_template(entry)
            if found is not None and name in (None, found.name):
                yield found
        paging = loose.obj(answer, "paging")
        following = loose.text(loose.obj(paging, "cursors"), "after")
        if not paging.get("next") or following in (None, after):
            return
        after = following
    raise _unreadable("The list of templates has no end.")


def _unreadable(detail: str) -> ProviderError:
    return ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail=detail, scope="account"))


def read_template(entry: Json) -> Template | None:
    """A template of a list; None for an entry that names none."""
    components = loose.objects(entry, "components")
    status = (loose.text(entry, "status") or "").lower()
    quality = (loose.text(loose.obj(entry, "quality_score"), "score") or "").lower()
    reason = loose.text(entry, "rejected_reason")
    try:
        return Template(
            template_id=loose.text(entry, "id") or "",
            name=loose.text(entry, "name") or "",
            language=loose.text(entry, "language") or "",
            status=status or "unknown",
            sendable=status == "approved",
            category=(loose.text(entry, "category") or "").lower() or None,
            quality=quality if quality in _QUALITIES else None,
            reason=None if reason == "NONE" else reason,
            components=tuple(components),
            parameters=tuple(_parameters(components)),
        )
    except ValidationError:
        return None


def _parameters(components: list[Json], card: int | None = None) -> Iterator[TemplateParameter]:
    """What a send has to bring, without which Meta refuses it (132000, 132012, 131008)."""
    for component in components:
        match (loose.text(component, "type") or "").upper():
            case "HEADER":
                yield from _header(component, card)
            case "BODY":
                yield from _texts("body", component, card)
            case "BUTTONS":
                for index, button in enumerate(loose.objects(component, "buttons")):
                    yield from _button(button, index, card)
            case "LIMITED_TIME_OFFER" if loose.obj(component, "limited_time_offer").get("has_expiration") is True:
                yield TemplateParameter(component="limited_time_offer", kind="expiration", card=card)
            case "CAROUSEL" if card is None:
                for number, inner in enumerate(loose.objects(component, "cards")):
                    yield from _parameters(loose.objects(inner, "components"), number)


def _header(component: Json, card: int | None) -> Iterator[TemplateParameter]:
    kind = _HEADERS.get((loose.text(component, "format") or "TEXT").upper())
    if kind is None:
        yield from _texts("header", component, card)
    else:
        yield TemplateParameter(component="header", kind=kind, card=card)


def _texts(part: str, component: Json, card: int | None) -> Iterator[TemplateParameter]:
    """The variables of a text, each once, in the order in which they stand there."""
    names = dict.fromkeys(_VARIABLE.findall(loose.text(component, "text") or ""))
    examples = _examples(part, loose.obj(component, "example"))
    named = any(not name.isdecimal() for name in names)
    for place, name in enumerate(names):
        example = examples.get(name)
        if named:
            yield TemplateParameter(component=part, kind="text", name=name, card=card, example=example)
        else:
            yield TemplateParameter(component=part, kind="text", position=place + 1, card=card, example=example)


def _examples(part: str, given: Json) -> dict[str, str]:
    """Examples by the name of their variable: `body_text` is a list of lists, `header_text` of texts."""
    found = {
        str(entry.get("param_name")): str(entry.get("example"))
        for entry in loose.objects(given, f"{part}_text_named_params")
        if isinstance(entry.get("example"), str)
    }
    listed: list[Any] = loose.items(given, f"{part}_text")
    if listed and isinstance(listed[0], list):
        listed = listed[0]
    return found | {str(place): text for place, text in enumerate(listed, 1) if isinstance(text, str)}


def _button(button: Json, index: int, card: int | None) -> Iterator[TemplateParameter]:
    examples = [text for text in loose.items(button, "example") if isinstance(text, str)]
    example = examples[0] if examples else loose.text(button, "example")
    match (loose.text(button, "type") or "").upper():
        case "URL" if _VARIABLE.search(loose.text(button, "url") or ""):
            yield TemplateParameter(
                component="button", kind="text", position=1, button=index, card=card, example=example
            )
        case "COPY_CODE":
            yield TemplateParameter(component="button", kind="coupon_code", button=index, card=card, example=example)
        case "OTP":
            yield TemplateParameter(component="button", kind="text", position=1, button=index, card=card)
