"""The settings of a service as people read them: what each variable takes, and what is wrong with a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

Group = type[BaseSettings]
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
# What pydantic calls a mistake, in words; `{…}` are its own figures.
_PROBLEMS = {
    "bool_parsing": "is no true or false",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "float_parsing": "is no number",
    "finite_number": "is no finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of: {expected}",
    "enum": "must be one of: {expected}",
    "too_short": "names nothing",
    "string_pattern_mismatch": "must match {pattern}",
}


class Setting(NamedTuple):
    """One environment variable. `takes` says what may be given, `default` what holds without it."""

    variable: str
    takes: str
    default: str
    meaning: str


def settings_of(groups: Iterable[Group]) -> Iterator[Setting]:
    """All settings of the groups, in their order."""
    for group in groups:
        for name, field in group.model_fields.items():
            yield Setting(variable_of(group, name), _takes(field), _default(field), field.description or "")


def variable_of(group: Group, name: str) -> str:
    """The environment variable of a field: the first of several."""
    alias = group.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias else f"{group.model_config.get('env_prefix', '')}{name}".upper()


def problems_of(invalid: Exception, groups: Iterable[Group]) -> Iterator[tuple[str, str]]:
    """Each variable that is wrong, and what is wrong with it. Never its value.

    `invalid` is a ValidationError, of one of the groups or of what an argument says, or the SettingsError of a value
    that should be JSON.
    """
    known = {group.__name__: group for group in groups}
    if not isinstance(invalid, ValidationError):
        field = re.search(r'field "(\w+)"', str(invalid))
        named = next((g for g in known.values() if field and field[1] in g.model_fields), None)
        yield (variable_of(named, field[1]) if named and field else "a setting"), "is no JSON"
        return
    group = known.get(invalid.title)
    for error in invalid.errors(include_input=False, include_url=False):
        told = _PROBLEMS.get(error["type"])
        problem = told.format(**error.get("ctx", {})) if told else error["msg"].removeprefix("Value error, ")
        if not error["loc"]:  # about several: it says which
            prefix = group.model_config.get("env_prefix", "") if group else ""
            yield f"{prefix}{problem.partition(':')[0]}", problem.partition(": ")[2]
            continue
        name, *inside = (str(step) for step in error["loc"])
        variable = variable_of(group, name) if group and name in group.model_fields else name.upper()
        yield variable, f"{'.'.join(inside)}: {problem}" if inside else problem


def _takes(field: FieldInfo) -> str:
    bounds = " and ".join(
        f"{words} {bound}"
        for fact in field.metadata
        for name, words in _BOUNDS.items()
        if (bound := getattr(fact, name, None)) is not None
    )
    kind = _kind(field.annotation)
    return f"{kind}, {bounds}" if bounds else kind


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in get_args(annotation) if one is not NoneType)
    if origin is Literal:
        return ", ".join(str(one) for one in get_args(annotation))
    if origin is tuple:
        inner = get_args(annotation)[0]
        if isinstance(inner, type) and issubclass(inner, Enum):
            return ", ".join(str(one.value) for one in inner)
        return "a JSON list"
    if origin is dict:
        return "a JSON object"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        SecretStr: "a secret",
        str: "a text",
        Path: "a path",
    }
    return names.get(annotation, "JSON")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
