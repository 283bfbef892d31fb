"""The published Bot API description, compiled into one validator per method.

The description is JSON: `methods` and `types`, each with `fields` of `name`, `types` and `required`; a type may have
`subtypes` instead. Validators are stricter than Telegram inside nested objects (no numbers as strings, no
unknown keys), because what Telegram lets pass there is still a mistake of the caller.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from sandbox.simulators.telegram.bodies import Upload

Check = Callable[[Any], Any]

_CONSTANT = re.compile(r'(?:must be|always) "?(\w+)"?$')
_INTEGER = re.compile(r"-?\d{1,19}\Z")
_YES = frozenset({"true", "yes", "1"})
_NO = frozenset({"false", "no", "0"})


class SpecViolation(Exception):
    """A request that the published description does not allow. `problem` names the parameter, never its value."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class _Mismatch(Exception):
    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.path = path


def find_spec() -> Path | None:
    """`TELEGRAM_SPEC`, or the copy kept beside the checkout, or nothing."""
    if named := os.environ.get("TELEGRAM_SPEC"):
        return Path(named)
    checkout = Path(__file__).resolve().parents[3]
    beside = checkout.parent / "shared" / "specs" / "telegram-bot-api-10.1.json"
    return beside if beside.is_file() else None


class Spec:
    """Validators of all methods, compiled once."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.version: str = description["version"]
        self._types: Mapping[str, Any] = description["types"]
        self._compiled: dict[str, Check] = {}
        self._methods = {
            name.lower(): {
                field["name"]: (self._parameter(field["types"]), field["required"])
                for field in method.get("fields", ())
            }
            for name, method in description["methods"].items()
        }
        self._required = {
            name: [field for field, (_, required) in fields.items() if required]
            for name, fields in self._methods.items()
        }

    @classmethod
    @lru_cache(maxsize=1)  # a test suite starts many simulators
    def load(cls, path: Path) -> Spec:
        """Read and compile; raises `OSError` or `ValueError` when the file is not a description."""
        return cls(orjson.loads(path.read_bytes()))

    def knows(self, method: str) -> bool:
        """Whether the method (in lower case) exists."""
        return method in self._methods

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
                typed[name] = known[0](value)
            except _Mismatch as mismatch:
                raise SpecViolation(f'parameter "{name}{mismatch.path}" must be {mismatch.expected}') from None
        for name in self._required[method]:
            if name not in typed:
                raise SpecViolation(f'parameter "{name}" is required')
        return typed

    def _parameter(self, types: list[str]) -> Check:
        """Top level: accepts the form encoding (text) of any type beside the type itself."""
        if types == ["String"]:
            return _string
        if types == ["Integer"]:
            return _form_integer
        if types == ["Boolean"]:
            return _form_boolean
        if types == ["Float"]:
            return _form_float
        if types == ["Integer", "String"]:
            return _form_integer_or_string
        if types == ["InputFile"]:
            return _file
        if types == ["InputFile", "String"]:
            return _file_or_string
        return _form_json(self._any_of(types))

    def _any_of(self, types: list[str]) -> Check:
        if all(name.startswith("Array of ") for name in types):
            return _array(self._any_of([name.removeprefix("Array of ") for name in types]))
        checks = [self._nested(name) for name in types]
        return checks[0] if len(checks) == 1 else _union(checks, " or ".join(types))

    def _nested(self, name: str) -> Check:
        if name.startswith("Array of "):
            return _array(self._nested(name.removeprefix("Array of ")))
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]

        def late(value: Any) -> Any:  # compiled on first use, because types refer to themselves
            return self._of_type(name)(value)

        return late

    def _of_type(self, name: str) -> Check:
        check = self._compiled.get(name)
        if check is None:
            described = self._types[name]
            if subtypes := described.get("subtypes"):
                check = _union([self._nested(sub) for sub in subtypes], name)
            else:
                check = self._object(name, described.get("fields", ()))
            self._compiled[name] = check
        return check

    def _object(self, type_name: str, described: Any) -> Check:
        fields = {field["name"]: self._field(field) for field in described}
        required = [field["name"] for field in described if field["required"]]

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

    def _field(self, field: Mapping[str, Any]) -> Check:
        constant = _CONSTANT.search(field["description"]) if field["name"] in ("type", "source") else None
        return _constant(constant[1]) if constant else self._any_of(field["types"])


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
