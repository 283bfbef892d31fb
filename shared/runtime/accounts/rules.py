"""What an account of a channel may hold, whoever writes it: names that nobody knows are refused, with a hint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from shared.channel import AccountNames, Channel, JudgesSettings, NamesAccountFields
from shared.contract.accounts import AccountRecord

_OF_THE_RUNTIME = frozenset({"rates", "max_text_parts"})  # settings that every channel's accounts may have


class InvalidAccount(ValueError):
    """It cannot be an account; the words name the field and never a value."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a channel lets its accounts hold; without `names` whatever they hold."""

    channel: str
    names: AccountNames | None = None
    wrong_settings: Callable[[AccountRecord], Sequence[str]] = lambda record: ()

    @classmethod
    def of(cls, channel: Channel) -> Rules:
        names = channel.account_names if isinstance(channel, NamesAccountFields) else None
        wrong = channel.wrong_settings if isinstance(channel, JudgesSettings) else lambda record: ()
        return cls(channel.capabilities.channel, names, wrong)

    def check(self, entry: Mapping[str, Any], record: AccountRecord, where: str = "") -> None:
        """An entry of an accounts file, and the record that it makes; `where` comes before the names of fields.

        Raises InvalidAccount.
        """
        _known(where.removesuffix("."), entry, {*AccountRecord.model_fields, "credentials"})
        if record.channel != self.channel:
            raise InvalidAccount(f"{where}channel: an account of {record.channel}, not of {self.channel}")
        if self.names is not None:
            _known(f"{where}credentials", entry.get("credentials") or {}, self.names.credentials)
            _known(f"{where}settings", record.settings, self.names.settings | _OF_THE_RUNTIME)
        if wrong := self.wrong_settings(record):
            raise InvalidAccount(f"{where}settings: cannot be used: {', '.join(wrong)}")


def _known(where: str, given: Collection[Any], names: Collection[str]) -> None:
    for name in given:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"
            raise InvalidAccount(f"{where}: unknown name {str(name)[:64]!r}; {hint}")
