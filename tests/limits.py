"""Writes `docs/limits.md`: what each channel takes, side by side. `make docs` runs it, a test keeps it fresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from shared.contract.capabilities import LARGEST_FILE, Capabilities, Grade, Rate
from shared.contract.commands import MAX_FILES, MAX_SPANS
from shared.contract.content import AttachmentKind
from shared.contract.topics import LARGEST_MESSAGE
from tests.channels import goldens
from tests.refusals import row, table

DOCUMENT = Path(__file__).parents[1] / "docs" / "limits.md"
_HEAD = """# Limits, channel by channel

Written by `make docs` from the capabilities of the channels; do not edit it by hand. These are the defaults: what holds
for one account is its record on `channels.capabilities`, where the provider's settings of the account count, too.

What is said of a channel is the provider's limit, or the product's where that is less. The sources are at the end.
"""

Figure = Callable[[Capabilities], str]


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:,g}{unit}" if isinstance(value, float) else f"{value:,}{unit}"


def _rate(rate: Rate | None) -> str:
    return "–" if rate is None else f"{rate.per_second:g} a second, {rate.burst:g} at once"


def _size(able: Capabilities, kind: AttachmentKind) -> str:
    rule = able.files.get(kind)
    if rule is None or rule.grade is Grade.REJECTED:
        return "no"
    return f"{rule.max_bytes / 1024 / 1024:.3g} MiB" + (f", {rule.max_duration:g} s" if rule.max_duration else "")


def _windows(able: Capabilities) -> str:
    return "; ".join(f"{w.seconds / 3600:g} h ({w.applies_to})" for w in able.windows) or "any time"


def _buttons(able: Capabilities) -> str:
    for one in able.interactive:
        if one.kind == "buttons" and one.grade in (Grade.NATIVE, Grade.CONVERTED):
            return f"{_number(one.max_buttons)} of {_number(one.max_title)}"
    return "lines of text"


def _file_row(kind: AttachmentKind) -> tuple[str, Figure]:
    return f"a file as `{kind}`", lambda able: _size(able, kind)


_ROWS: dict[str, Figure] = {
    "a text, in characters": lambda able: _number(able.text.max_length),
    "a caption": lambda able: _number(able.text.caption_max_length),
    "what is counted": lambda able: "code points" if able.text.unit == "code_points" else "UTF-16 code units",
    "messages a long text becomes": lambda able: _number(able.text.max_parts),
    "formatting (`spans`)": lambda able: able.text.spans,
    "files of a command": lambda able: _number(able.files_per_message),
    "files shown as one": lambda able: _number(able.album_size),
    "text beside files": lambda able: able.text_and_files,
    **dict(map(_file_row, AttachmentKind)),
    "buttons, and characters of a title": _buttons,
    "answers shown as such": lambda able: able.reply_to,
    "edits": lambda able: able.edit,
    "deletions": lambda able: able.delete,
    "reactions": lambda able: able.reaction,
    "typing indicator": lambda able: able.typing.grade,
    "templates": lambda able: able.templates,
    "who may write first": lambda able: able.initiates,
    "window after the contact's message": _windows,
    "messages in it": lambda able: ", ".join(_number(w.quota) for w in able.windows) or "–",
    "rate of an account": lambda able: _rate(able.rates.account),
    "rate towards one contact": lambda able: _rate(able.rates.pair),
    "rate of the whole app": lambda able: _rate(able.rates.app),
    "what the provider reports": lambda able: ", ".join(able.receipts),
}  # fmt: skip


def _channels() -> list[Capabilities]:
    return [goldens.channel(name).capabilities for name in goldens.channel_names()]


def _compared() -> Iterator[str]:
    able = _channels()
    yield from table("", *(one.label for one in able))
    for name, figure in _ROWS.items():
        yield row(name, *(str(figure(one)) for one in able))


def _ours() -> Iterator[str]:
    yield from table("limit of the product, on every channel", "")
    yield row("a command, an event, with headers", f"{LARGEST_MESSAGE:,} bytes (`max.message.bytes` of the topics)")
    yield row("a file to send", f"{LARGEST_FILE // 1024 // 1024} MiB, less where the channel takes less")
    yield row("files of a command", str(MAX_FILES))
    yield row("`spans` of a text", f"{MAX_SPANS:,}")
    yield row("nesting of JSON in a command", "100 levels")
    yield row("an id, a key of a record", "512 characters, of an account or workspace 128")
    yield row("after `not_after`", "60 s until the command's end is told")
    yield row("a typing indicator", "dropped when older than 5 s")


def _sources() -> Iterator[str]:
    yield from table("channel", "figure", "source", "read on")
    for able in _channels():
        for source in able.sources:
            checked = source.checked if source.verified else f"{source.checked}, not verified"
            yield row(able.label, source.figure, source.source, checked)


def document() -> str:
    """The whole document."""
    parts = [("## What a channel takes", _compared()), ("## Ours", _ours()), ("## Sources", _sources())]
    return "\n".join([_HEAD, *(line for head, shown in parts for line in (head, "", *shown, ""))])


if __name__ == "__main__":
    DOCUMENT.write_text(document())
