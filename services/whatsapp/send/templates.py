"""Template messages: every component as Meta documents it, and the short form for the parameters of the body."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from services.whatsapp.capabilities import CAPABILITIES, TEMPLATE_BUTTONS
from services.whatsapp.send.draft import Draft, placed, required
from services.whatsapp.send.files import Fitted, fit
from services.whatsapp.shapes import SHAPES
from shared.channel import Refused
from shared.contract.commands import File, OutTemplate, named_files
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.kit.loose import Json

_FILES = ("image", "video", "gif", "document")
_KINDS = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "gif": AttachmentKind.VIDEO,
    "document": AttachmentKind.DOCUMENT,
}

_LINK = re.compile(r"https?://[^\s/]\S{0,1999}", re.I)
# Meta refuses a parameter with any of these (132012, 132018).
_FORBIDDEN = re.compile(r"[\n\r\t]| {5,}")


def add_template(draft: Draft, content: OutTemplate, prepared: Sequence[File] = ()) -> None:
    """Add a template, with its files as they were prepared. Raises Refused naming the parameter that cannot be sent."""
    named = named_files(content)
    given = prepared if len(prepared) == len(named) else [file for _, file in named]
    files = {field: fit(file, field) for (field, _), file in zip(named, given, strict=True)}
    template: Json = {
        "name": required(content.name, "content.name"),
        "language": {"code": _language(required(content.language, "content.language"))},
    }
    components = [_component(component, index, files) for index, component in enumerate(content.components)]
    if content.parameters:
        components.append(_body(content, components))
    buttons = [c for c in components if str(c.get("type", "")).lower() == "button"]
    if len(buttons) > TEMPLATE_BUTTONS:
        limit, actual = TEMPLATE_BUTTONS, len(buttons)
        raise Refused(ErrorCode.TEMPLATE_INVALID, field="content.components", limit=limit, actual=actual)
    if components:
        template["components"] = components
    uploads: dict[str, Fitted] = {}
    for field, fitted in files.items():
        media, more = _media(draft, fitted, field)
        template = placed(template, field.removeprefix("content."), media)
        uploads |= more
    draft.add("template", template, uploads)


def _media(draft: Draft, fitted: Fitted, field: str) -> tuple[Json, dict[str, Fitted]]:
    """The object that names a file of a template. Raises Refused where it cannot be of the kind the template has."""
    kind = field.rpartition(".")[2]
    if fitted.message_type != ("video" if kind == "gif" else kind):
        allowed = ", ".join(CAPABILITIES.files[_KINDS[kind]].mime_types[:2])
        detail = f"The template has a file of another kind here; its {kind} is one of: {allowed}."
        raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, field=field)
    return draft.named(fitted, field.replace("content.", "template.", 1))


def _language(given: str) -> str:
    """Meta's code of a language. BCP 47 has a hyphen and no case; Meta an underscore, and knows only `pt_BR`."""
    language, mark, region = given.strip().replace("-", "_").partition("_")
    return f"{language.lower()}{mark}{region.upper() if len(region) == 2 else region}"


def _component(component: Mapping[str, Any], index: int, files: Collection[str]) -> Json:
    """The component as given; a button's index is a string for Meta, whatever the command has."""
    for path, parameter in _parameters(component, f"content.components.{index}"):
        if f"{path}.{str(parameter.get('type', '')).lower()}" not in files:
            _check_parameter(parameter, path)
    return _indexed(component)


def _indexed(component: Mapping[str, Any]) -> Json:
    given = dict(component)
    if isinstance(given.get("index"), int):
        given["index"] = str(given["index"])
    if "cards" in given:
        given["cards"] = [
            {**card, "components": [_indexed(inner) for inner in _objects(card, "components")]}
            for card in _objects(given, "cards")
        ]
    return given


def _parameters(component: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parameters of a component and of those in its cards, with their paths; never what is in a Flow's data."""
    for place, parameter in enumerate(_objects(component, "parameters")):
        yield f"{path}.parameters.{place}", parameter
    for place, card in enumerate(_objects(component, "cards")):
        for inner_place, inner in enumerate(_objects(card, "components")):
            yield from _parameters(inner, f"{path}.cards.{place}.components.{inner_place}")


def _objects(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = holder.get(name)
    if given is None:
        return []
    if not isinstance(given, list | tuple) or not all(isinstance(entry, Mapping) for entry in given):
        raise Refused(ErrorCode.TEMPLATE_INVALID, f"{name} is a list of objects.", field="content.components")
    return list(given)


def _check_parameter(parameter: Mapping[str, Any], path: str) -> None:
    kind = str(parameter.get("type", "")).lower()
    given = parameter.get(kind)
    if kind == "text":
        if not isinstance(given, str):
            raise Refused(ErrorCode.TEMPLATE_INVALID, "A template parameter is a text.", field=f"{path}.text")
        _check(given, f"{path}.text")
    elif kind in _FILES and not (isinstance(given, Mapping) and (given.get("id") or given.get("link"))):
        detail = "A file of a template is named by blob, url or attachment_id, by the id of an upload, or by a link."
        raise Refused(ErrorCode.TEMPLATE_INVALID, detail, field=f"{path}.{kind}")
    elif kind in _FILES:
        _check_file(given, f"{path}.{kind}")


def _check_file(given: Any, path: str) -> None:
    """What names a file of a template: an id of Meta's shape, an address that Meta can fetch."""
    media_id, link = given.get("id"), given.get("link")
    if media_id and not SHAPES.file.fits(str(media_id)):
        raise Refused(ErrorCode.INVALID_COMMAND, "This is no id of a WhatsApp file.", field=f"{path}.id")
    if link and not (isinstance(link, str) and _LINK.fullmatch(link)):
        detail = "A link starts with https:// or http:// and has no blanks."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field=f"{path}.link")


def _body(content: OutTemplate, components: list[Json]) -> Json:
    if any(str(component.get("type", "")).lower() == "body" for component in components):
        detail = "The body's parameters are given twice."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field="content.parameters")
    parameters: list[Json] = []
    if isinstance(content.parameters, dict):
        for name, value in content.parameters.items():
            _check(value, f"content.parameters.{name}")
            parameters.append({"type": "text", "parameter_name": name, "text": value})
    else:
        for index, value in enumerate(content.parameters or ()):
            _check(value, f"content.parameters.{index}")
            parameters.append({"type": "text", "text": value})
    return {"type": "body", "parameters": parameters}


def _check(text: str, field: str) -> None:
    if not text:
        raise Refused(ErrorCode.TEMPLATE_INVALID, "A template parameter is empty.", field=field)
    if _FORBIDDEN.search(text):
        detail = "A template parameter has no line breaks, no tabs and at most four blanks in a row."
        raise Refused(ErrorCode.TEMPLATE_INVALID, detail, field=field)
