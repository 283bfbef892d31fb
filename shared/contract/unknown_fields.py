"""What of a command is told as a warning and then ignored: fields that nobody knows, spans outside of their text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import chain, islice
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from shared.contract.base import Model
from shared.contract.commands import COMMAND_OF, CommandType
from shared.contract.envelope import parse_type
from shared.contract.statuses import Warning, WarningCode

MOST_TOLD = 10
# What may be repeated of a name: one that is no name may be anything, words of a contact too.
_NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@.-]{0,63}")
_NO_NAME = "?"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a field's value may have fields of its own: it is one of `models`, or a list of such."""

    models: tuple[type[Model], ...]
    items: tuple[type[Model], ...]


def ignored_fields(ce_type: str, data: Mapping[str, Any]) -> tuple[Warning, ...]:
    """A warning for each field, at any depth, that the command's type has not, and for each span that lies outside of
    the content's text; `MOST_TOLD` at most.

    Raises nothing, whatever `data` holds. What goes to the provider as it is (components, flows) has any fields.
    """
    try:
        model = COMMAND_OF[CommandType(parse_type(ce_type)[0])]
    except ValueError:
        return ()
    return tuple(islice(chain(_unknown(model, data, ""), _outside(data.get("content"))), MOST_TOLD))


def _outside(content: Any) -> Iterator[Warning]:
    text, spans = (content.get("text"), content.get("spans")) if isinstance(content, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(spans, list):
        return
    for index, span in enumerate(spans):
        offset = span.get("offset") if isinstance(span, dict) else None
        if isinstance(offset, int) and offset >= len(text):
            field = f"content.spans.{index}"
            detail = f"{field} lies outside of the text and was ignored."
            yield Warning(code=WarningCode.FIELD_IGNORED, detail=detail, field=field)


def _unknown(model: type[Model], data: Mapping[str, Any], path: str) -> Iterator[Warning]:
    shapes = _shapes_of(model)
    for name, value in data.items():
        shape = shapes.get(name)
        if shape is None:
            yield _ignored(name, path, shapes)
        elif isinstance(value, dict):
            yield from _within(shape.models, value, f"{path}{name}.")
        elif isinstance(value, list) and shape.items:
            for index, item in enumerate(value):
                yield from _all_within(shape.items, item, f"{path}{name}.{index}.")


def _all_within(models: tuple[type[Model], ...], item: Any, path: str) -> Iterator[Warning]:
    """Fields of an item of a list, which may be a list itself (rows of buttons)."""
    if isinstance(item, dict):
        yield from _within(models, item, path)
    elif isinstance(item, list):
        for index, inner in enumerate(item):
            if isinstance(inner, dict):
                yield from _within(models, inner, f"{path}{index}.")


def _within(models: tuple[type[Model], ...], value: Mapping[str, Any], path: str) -> Iterator[Warning]:
    """Fields of a value that is one of the models: of several, the one that its `kind` names."""
    kind = value.get("kind")
    named = [model for model in models if len(models) == 1 or model.model_fields["kind"].default == kind]
    if len(named) == 1:
        yield from _unknown(named[0], value, path)


def _ignored(name: str, path: str, known: Mapping[str, object]) -> Warning:
    near = get_close_matches(name[:64], known, n=1)
    field = path + (name if _NAME.fullmatch(name) else _NO_NAME)
    meant = f"; {near[0]} may be meant" if near else ""
    return Warning(
        code=WarningCode.FIELD_IGNORED,
        detail=f"{field} is no field of this command and was ignored{meant}.",
        field=field,
        nearest=near[0] if near else None,
    )


@cache
def _shapes_of(model: type[Model]) -> dict[str, _Shape]:
    """What may stand in each field of a model, by the name the JSON has."""
    return {
        info.alias or name: _Shape(tuple(_models(info.annotation)), tuple(_items(info.annotation)))
        for name, info in model.model_fields.items()
    }


def _plain(annotation: Any) -> Iterator[Any]:
    """The types that an annotation lets through."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for branch in get_args(annotation):
            yield from _plain(branch)
    else:
        yield annotation


def _models(annotation: Any) -> Iterator[type[Model]]:
    return (one for one in _plain(annotation) if isinstance(one, type) and issubclass(one, Model))


def _items(annotation: Any) -> Iterator[type[Model]]:
    for one in _plain(annotation):
        if get_origin(one) is tuple:
            items = get_args(one)[0]
            yield from (*_models(items), *_items(items))
