"""The Bot API as `bot_api.yaml` describes it, compiled into one validator per method.

Validators are stricter than Telegram inside nested objects (no numbers as strings, no unknown keys), because what
Telegram lets pass there is still a mistake of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from sandbox.simulators.telegram.bodies import Upload

Check = Callable[[Any], Any]
Fields = Mapping[str, str]

_DESCRIPTION: Final = Path(__file__).with_name("bot_api.yaml")
_INTEGER = re.compile(r"-?\d{1,19}\Z")
_YES = frozenset({"true", "yes", "1"})
_NO = frozenset({"false", "no", "0"})


class SpecViolation(Exception):
    """A request that the description does not allow. `problem` names the parameter, never its value."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class _Mismatch(Exception):
    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.path = path


class Spec:
    """Validators of all methods, compiled once. `elsewhere` are methods of Telegram's that the simulator has not."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        """`description` is in the notation of `bot_api.yaml`; raises ValueError for a type that it lacks."""
        self.version: str = description["version"]
        self.elsewhere = frozenset(description["elsewhere"].lower().split())
        self._types: Mapping[str, Fields | str] = description["types"]
        self._compiled = {name: self._of_type(name, described) for name, described in self._types.items()}
        self._methods: dict[str, dict[str, Check]] = {}
        self._required: dict[str, list[str]] = {}
        for method, fields in description["methods"].items():
            name = method.lower()
            self._methods[name] = {key.removesuffix("!"): self._parameter(kind) for key, kind in fields.items()}
            self._required[name] = _required(fields)

    @property
    def methods(self) -> frozenset[str]:
        """Those that can be checked, in lower case."""
        return frozenset(self._methods)

    def check(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with their real types (form fields arrive as text); raises `SpecViolation`."""
        fields = self._methods[method]
        typed: dict[str, Any] = {}
        for name, value in parameters.items():
            known = fields.get(name)
            if known is None:
                if isinstance(value, Upload):  # a file part that some `attach://` names
                    typed[name] = value
                    continue
                raise SpecViolation(f'parameter "{name}" does not exist')
            try:
                typed[name] = known(value)
            except _Mismatch as mismatch:
                raise SpecViolation(f'parameter "{name}{mismatch.path}" must be {mismatch.expected}') from None
        for name in self._required[method]:
            if name not in typed:
                raise SpecViolation(f'parameter "{name}" is required')
        return typed

    def _parameter(self, kind: str) -> Check:
        """Top level: accepts the form encoding (text) of any type beside the type itself."""
        return _FORM.get(kind) or _form_json(self._any_of(kind))

    def _any_of(self, kind: str) -> Check:
        """Of `A | B | [C]`; inside brackets the bar belongs to the array."""
        if kind.startswith("["):
            return _array(self._any_of(kind[1:-1]))
        names = kind.split(" | ")
        checks = [self._nested(name) for name in names]
        return checks[0] if len(checks) == 1 else _union(checks, " or ".join(names))

    def _nested(self, name: str) -> Check:
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        if name.startswith("="):
            return _constant(name[1:])
        if name not in self._types:
            raise ValueError(f"{name} is not described")

        def late(value: Any) -> Any:  # looked up when it is used, because types refer to themselves
            return self._compiled[name](value)

        return late

    def _of_type(self, name: str, described: Fields | str) -> Check:
        if isinstance(described, str):
            return _union([self._nested(sub) for sub in described.split(" | ")], name)
        return self._object(name, described)

    def _object(self, type_name: str, described: Fields) -> Check:
        fields = {key.removesuffix("!"): self._any_of(kind) for key, kind in described.items()}
        required = _required(described)

        def check(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise _Mismatch(f"a {type_name} object")
            for key, item in value.items():
                known = fields.get(key)
                if known is None:
                    raise _Mismatch(f"left out: {type_name} has no such field", f".{key}")
                try:
                    known(item)
                except _Mismatch as mismatch:
                    raise _Mismatch(mismatch.expected, f".{key}{mismatch.path}") from None
            for key in required:
                if key not in value:
                    raise _Mismatch("present", f".{key}")
            return value

        return check


@cache  # a test suite starts many simulators
def load() -> Spec:
    """Read and compile the description."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Spec(yaml.load(_DESCRIPTION.read_text(), Loader=loader))


def _required(fields: Fields) -> list[str]:
    return [key.removesuffix("!") for key in fields if key.endswith("!")]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mismatch("a string")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise _Mismatch("an integer")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Mismatch("a boolean")
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Mismatch("a number")
    return value


_PRIMITIVES: dict[str, Check] = {"String": _string, "Integer": _integer, "Boolean": _boolean, "Float": _float}


def _form_integer(value: Any) -> int:
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else _integer(value)


def _form_boolean(value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() in _YES:
            return True
        if value.lower() in _NO:
            return False
    return _boolean(value)


def _form_float(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise _Mismatch("a number") from None
    return _float(value)


def _form_integer_or_string(value: Any) -> int | str:
    if type(value) is int:
        return value
    text = _string(value)
    return int(text) if _INTEGER.match(text) else text


def _file(value: Any) -> Upload:
    if not isinstance(value, Upload):
        raise _Mismatch("an uploaded file")
    return value


def _file_or_string(value: Any) -> Upload | str:
    return value if isinstance(value, Upload) else _string(value)


def _form_json(check: Check) -> Check:
    def from_form(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                raise _Mismatch("JSON") from None
        return check(value)

    return from_form


def _array(check: Check) -> Check:
    def every(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _Mismatch("an array")
        for index, item in enumerate(value):
            try:
                check(item)
            except _Mismatch as mismatch:
                raise _Mismatch(mismatch.expected, f"[{index}]{mismatch.path}") from None
        return value

    return every


def _union(checks: list[Check], expected: str) -> Check:
    def one_of(value: Any) -> Any:
        deepest: _Mismatch | None = None
        for check in checks:
            try:
                return check(value)
            except _Mismatch as mismatch:
                if deepest is None or len(mismatch.path) > len(deepest.path):
                    deepest = mismatch
        if deepest is not None and deepest.path.count(".") + deepest.path.count("[") > 1:
            raise deepest
        raise _Mismatch(f"one of {expected}")

    return one_of


def _constant(word: str) -> Check:
    def exactly(value: Any) -> str:
        if value != word:
            raise _Mismatch(f'"{word}"')
        return word

    return exactly


_FORM: Final[dict[str, Check]] = {
    "String": _string,
    "Integer": _form_integer,
    "Boolean": _form_boolean,
    "Float": _form_float,
    "Integer | String": _form_integer_or_string,
    "InputFile": _file,
    "InputFile | String": _file_or_string,
}
