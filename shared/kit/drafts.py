"""A command on its way to calls: references, texts and buttons that cannot be, and what differs from the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.channel import PlanContext, Refused
from shared.contract import ids
from shared.contract.capabilities import TextRules
from shared.contract.commands import Button, Command, MessageSend
from shared.contract.content import Span
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.policy.choices import Misfit, Placed, unusable
from shared.policy.shapes import Shapes, misshapen
from shared.policy.text import TextPart, excess, length, parts_allowed, split_text


def check_references(shapes: Shapes, command: Command) -> None:
    """Raises Refused (`invalid_command`) for a reference that cannot be one of the channel's."""
    if found := misshapen(shapes, command):
        raise Refused(ErrorCode.INVALID_COMMAND, found[1], field=found[0])


def peer_of(command: Command, channel: str, otherwise: str) -> str | None:
    """The peer of the conversation that a command names, None where it names none.

    Raises Refused (`invalid_command`) for what is no conversation of the channel, with the sentence `otherwise`.
    """
    if command.conversation_id is None:
        return None
    try:
        of, _, peer = ids.split_conversation_id(command.conversation_id)
    except ValueError:
        of = peer = ""
    if of != channel:
        raise Refused(ErrorCode.INVALID_COMMAND, otherwise, field="conversation_id")
    return peer


def refusal(misfit: Misfit) -> Refused:
    """The refusal of what does not fit."""
    return Refused(misfit.code, misfit.detail, **misfit.facts)


# ---------------------------------------------------------------------------------------------------- buttons


def placed_rows(rows: Sequence[Sequence[Button]]) -> Placed:
    """The buttons under a text or under files, by their fields."""
    return {f"content.buttons.{r}.{i}": button for r, row in enumerate(rows) for i, button in enumerate(row)}


def check_usable(placed: Placed) -> None:
    """Raises Refused for buttons that nobody could use, whatever the channel."""
    if wrong := unusable(placed):
        raise refusal(wrong)


# ------------------------------------------------------------------------------------------------------ texts


def check_parts(channel: str, rules: TextRules, most: int, text: str, parts: int = 0) -> None:
    """Raises Refused for a text that takes more than `most` messages; `parts` is how many, once it is split.

    `channel` as people call it.
    """
    if too_long := excess(channel, rules.max_length, most, length(text, rules.unit), parts):
        detail, figures = too_long
        raise Refused(ErrorCode.TEXT_TOO_LONG, detail, field="content.text", **figures)


def split(
    channel: str,
    rules: TextRules,
    most: int,
    text: str,
    spans: Sequence[Span] = (),
    shown: Callable[[str], object] = str.strip,
) -> list[TextPart]:
    """The text as messages, without those that are not `shown`: blanks between two parts. Raises Refused."""
    check_parts(channel, rules, most, text)
    split = split_text(text, rules.max_length, unit=rules.unit, spans=spans, most=most)
    parts = [part for part in split if shown(part.text)]
    check_parts(channel, rules, most, text, len(parts))
    return parts


# ------------------------------------------------------------------------------------------------------ drafts


class Draft:
    """A `message.send` while its calls are made. `most_parts` is how many messages a text may become."""

    def __init__(self, command: MessageSend, context: PlanContext) -> None:
        self.command = command
        self.context = context
        self.most_parts = parts_allowed(context.account.settings)
        self.warnings: list[Warning] = []

    def warn(self, code: WarningCode, detail: str) -> None:
        """Say what differs from the command."""
        self.warnings.append(Warning(code=code, detail=detail))

    def degrade(self, misfit: Misfit, code: WarningCode, instead: str) -> None:
        """Say what is done instead of what the channel has no room for. Raises Refused where the command is strict."""
        if self.command.strict:
            raise refusal(misfit)
        self.warn(code, f"{misfit.detail} {instead}")
