"""Commands a careless or hostile inbox might write: golden ones with a few values of the same type changed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

# Of each type, what a field's author may not have thought of.
TEXTS = (
    "", " ", "\n", "\x00", "a\x00b", "\u202e", "\ud83d", "\U0001f3f4\U000e0067\U000e007f", "é" * 600, "x" * 5_000,
    "😀" * 2_500, "NaN", "1e999", "-1", "0", "null", "../..", "a/b", "a:b:c", "@", "+", "+1", "tel:", "data:,x",
    "https://[::1", "http://a@b:c", "https://files.example/a.pdf", "javascript:alert(1)", "a@b.example", "{{1}}", "<b>",
    "</b>", "*_~`[](", "text/plain", "image/webp", "audio/ogg; codecs=opus", "application/x-msdownload", ".", "a.exe",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59.999999Z", "en_US", "yes", "strict", "reply", "marketing",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 7, 255, 4_096, 65_536, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 91.0, 181.0, 1e308)
MOST_REPEATED = 60


class Mutator:
    """Changes commands of one set of goldens, by a seeded chance; values wander from one command to another."""

    def __init__(self, commands: Sequence[dict[str, Any]], seed: int) -> None:
        self._commands = commands
        self._chance = random.Random(seed)
        self._values: dict[str, list[Any]] = defaultdict(list)
        for command in commands:
            for key, value in _members(command):
                self._values[key].append(value)
        self._keys = sorted(self._values)

    def command(self) -> dict[str, Any]:
        """A golden command with one to three changes."""
        changed: Any = self._chance.choice(self._commands)
        for _ in range(self._chance.randint(1, 3)):
            changed = self._changed(changed)
        return changed if isinstance(changed, dict) else {}

    def _changed(self, value: Any) -> Any:
        """The value with something in it changed, or another one: the deeper, the likelier."""
        if not value or not isinstance(value, dict | list) or self._chance.random() < 0.05:
            return self._other(value)
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        # What is written inside is what a channel reads; ids and times around it are judged before.
        [key] = self._chance.choices(keys, [8 if isinstance(value[key], dict | list) else 1 for key in keys])
        if isinstance(key, str) and self._chance.random() < 0.15:
            copy[key] = self._chance.choice(self._values[key])
        else:
            copy[key] = self._changed(value[key])
        return copy

    def _other(self, value: Any) -> Any:
        chance = self._chance
        match value:
            case bool():
                return not value
            case int() | float():
                return chance.choice(NUMBERS)
            case str():
                return chance.choice((chance.choice(TEXTS), value * chance.randint(2, 40), value[:1], value + " "))
            case list():
                return self._other_list(value)
            case dict():
                return self._other_object(value)
        return chance.choice((None, "", 0, [], {}))

    def _other_list(self, value: list[Any]) -> list[Any]:
        if not value:
            return []
        place = self._chance.randrange(len(value))
        return self._chance.choice(
            (
                value[:place] + value[place + 1 :],
                value * self._chance.randint(2, MOST_REPEATED),
                value[::-1],
                [*value, value[place]],
            )
        )

    def _other_object(self, value: dict[str, Any]) -> dict[str, Any]:
        if value and self._chance.random() < 0.5:
            dropped = self._chance.choice(list(value))
            return {key: inner for key, inner in value.items() if key != dropped}
        key = self._chance.choice(self._keys)
        return {**value, key: self._chance.choice(self._values[key])}


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of every object inside."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner)
