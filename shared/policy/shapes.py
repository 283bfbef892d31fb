"""The shapes of a provider's references: what a command may name them by, before the provider is asked.

A reference ends up in a request: as a step of its path, or as a value that the provider may take for an address.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.contract import ids
from shared.contract.commands import Command, MessageEdit, MessageSend, named_files


class Shape(NamedTuple):
    """What a kind of reference looks like, all of it; `what` it is, for people; where that was read, and when."""

    what: str
    pattern: re.Pattern[str]
    source: str
    checked: str  # ISO date

    def fits(self, value: str) -> bool:
        return self.pattern.fullmatch(value) is not None


class Shapes(NamedTuple):
    """The references of one channel: its messages, its files, and the peers of its conversations."""

    message: Shape
    file: Shape
    peer: Shape


def misshapen(shapes: Shapes, command: Command) -> tuple[str, str] | None:
    """The field of a command's first reference that cannot be one, and a sentence about it that does not repeat it."""
    for field, shape, value in _references(shapes, command):
        if value is not None and not shape.fits(value):
            return field, f"This is no id of {shape.what}."
    return None


def _references(shapes: Shapes, command: Command) -> list[tuple[str, Shape, str | None]]:
    found = [("provider_message_id", shapes.message, getattr(command, "provider_message_id", None))]
    if isinstance(command, MessageSend) and command.reply_to is not None:
        found.append(("reply_to.provider_message_id", shapes.message, command.reply_to.provider_message_id))
    if isinstance(command, MessageSend | MessageEdit):
        named = named_files(command.content)
        found += [(f"{field}.provider_ref", shapes.file, file.provider_ref) for field, file in named]
    if command.conversation_id is not None:
        try:
            peer = ids.split_conversation_id(command.conversation_id)[2]
        except ValueError:
            return found  # no conversation of any channel, which is said elsewhere
        found.append(("conversation_id", shapes.peer, peer))
    return found
