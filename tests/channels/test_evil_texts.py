"""Text made to be slow: whatever a stranger writes costs every pure function time that grows no faster than the text.

The event loop of a service runs these functions for everybody. What is measured is processor time, with room for a
machine that is busy with something else.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from services.email.api import errors as email_errors
from services.telegram.api import errors as telegram_errors
from services.tiktok.api import errors as tiktok_errors
from services.whatsapp.api import errors as whatsapp_errors
from shared.contract.commands import MAX_SPANS
from shared.policy.text import split_text
from shared.runtime.logs import Masking
from shared.runtime.tools import offline
from tests.channels import goldens

SIZE = 100_000  # characters
MOST_SECONDS = 0.4
MOST_GROWTH = 3.5  # of the time, when the text is twice as long; what is quadratic grows fourfold
_WORTH_COMPARING = 0.1  # seconds; below it, what is measured is noise

UNITS = [
    "(", "[", "*", "_", "<", "&", "\n", "@", ".", "1", " ", "a", "-", ":", "/", "\\", "`", "~", '"', "'", "\u201c",
    "+", ";", "%", "\r\n", "\t", "\x00", "\u0301", "\u200d", "\u202e\u2066",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9", "a ", "a.", "a@", "a.b@", "1 ", "1-", "+1 (",
    "[x](", "*_~`", "<b>", "&amp;", "{{", "{{ ", "{{a", "{{1}}", "\n \n", "a\n", "> ", "```", "http://",
    "https://a.b/", "www.", "mailto:", "tel:+1 ", "/start ", "video/1234567", "\nTEL;", "\nTEL;waid=",
    "\nitem1.TEL:1", "\nFN: ", "BEGIN:VCARD\n", "=\n", "\\;", "from a to ", "AB.1", "wamid.", ". ",
]  # fmt: skip


def evil(unit: str, size: int) -> str:
    """A text of `size` characters, with an end that nothing before it fits."""
    return (unit * (size // len(unit) + 1))[: size - 2] + "!x"


def seconds(work: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    work(text)
    return time.process_time() - started


def assert_linear(work: Callable[[str], object], unit: str) -> None:
    took = seconds(work, evil(unit, SIZE))
    if took > _WORTH_COMPARING:  # once more: somebody else may have used the processor's caches
        half = min(seconds(work, evil(unit, SIZE // 2)) for _ in range(2))
        took = min(took, seconds(work, evil(unit, SIZE)))
        assert took < MOST_GROWTH * max(half, _WORTH_COMPARING / 4), (
            f"{unit!r}: {half:.3f} s, of twice as much {took:.3f} s"
        )
    assert took < MOST_SECONDS, f"{unit!r}: {took:.3f} s"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all texts of a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        yield from leaves(inner, (*path, name))
    if isinstance(value, str):
        yield path


def with_text(document: Any, path: tuple[Any, ...], text: str) -> Any:
    if not path:
        return text
    inner = with_text(document[path[0]], path[1:], text)
    if isinstance(document, list):
        return [*document[: path[0]], inner, *document[path[0] + 1 :]]
    return {**document, path[0]: inner}


@cache
def places(name: str, direction: str) -> list[tuple[Any, tuple[Any, ...]]]:
    """Every place of a text in the golden files of a channel, once."""
    found: dict[Any, tuple[Any, tuple[Any, ...]]] = {}
    for path in goldens.cases(name, direction):
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            continue
        kind = ""
        if direction == "outbound" and isinstance(document, dict):
            ce_type, data, _ = offline.read_command(document)
            content = data.get("content") if isinstance(data.get("content"), dict) else {}
            kind = f"{ce_type} {content.get('kind')} {content.get('interactive')}"
        for place in leaves(document):
            key = (kind, *("*" if isinstance(step, int) else step for step in place))
            found.setdefault(key, (document, place))
    return list(found.values())


def sample(name: str, direction: str, size: int) -> list[tuple[Any, tuple[Any, ...]]]:
    """Some of the places, the same ones every time."""
    known = places(name, direction)
    return random.Random(name).sample(known, min(size, len(known)))


@pytest.mark.parametrize("name", goldens.channel_names())
def test_a_command_is_planned_in_time_that_grows_with_its_text(name: str) -> None:
    channel, chance = goldens.channel(name), random.Random(1)
    for document, place in sample(name, "outbound", 40):
        for unit in chance.sample(UNITS, 1):
            assert_linear(lambda text: offline.plan(channel, with_text(document, place, text)), unit)  # noqa: B023


@pytest.mark.parametrize("name", goldens.channel_names())
@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_text_is_planned_in_time_that_grows_with_it(name: str, kind: str) -> None:
    channel = goldens.channel(name)
    content: dict[str, Any] = {"kind": kind, "attachments": [{"blob": "b", "mime_type": "image/png"}]}
    for unit in random.Random(name + kind).sample(UNITS, 10):
        assert_linear(lambda text: offline.plan(channel, _command(name, {**content, "text": text})), unit)


@pytest.mark.parametrize("name", goldens.channel_names())
@pytest.mark.parametrize("kind", ["bold", "quote", "link", "mention", "code", "pre", "email"])
def test_formatting_is_planned_in_time_that_grows_with_it(name: str, kind: str) -> None:
    channel = goldens.channel(name)

    def plan(text: str) -> object:
        spans = [
            {"kind": kind, "offset": at, "length": len(text) - at, "url": "a" + text[: 2000 + at], "user_id": str(at)}
            for at in range(MAX_SPANS // 4)
        ]
        return offline.plan(channel, _command(name, {"kind": "text", "text": text, "spans": spans}))

    for unit in ("\n", "a", "a ", "\n> "):
        assert seconds(plan, evil(unit, 40_000)) < 3 * MOST_SECONDS


def test_more_formatting_than_a_text_can_have_is_refused() -> None:
    span = {"kind": "bold", "offset": 0, "length": 1}
    content = {"kind": "text", "text": "a", "spans": [span] * (MAX_SPANS + 1)}
    [refusal] = offline.plan(goldens.channel("telegram"), _command("telegram", content))
    assert (refusal["refused"]["code"], refusal["refused"]["field"]) == ("invalid_command", "content.spans")


def _command(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"data": {"account_id": "a", "conversation_id": f"{name}:a:1", "content": content}}


@pytest.mark.parametrize("name", goldens.channel_names())
def test_what_a_provider_brings_is_read_in_time_that_grows_with_it(name: str) -> None:
    channel, chance = goldens.channel(name), random.Random(2)
    for document, place in sample(name, "inbound", 80):
        for unit in chance.sample(UNITS, 1):

            def normalise(text: str, at: Any = (document, place)) -> object:
                return offline.normalise(channel, json.dumps(with_text(*at, text)).encode(), account_id="a")

            assert_linear(normalise, unit)


@pytest.mark.parametrize("unit", UNITS)
def test_splitting_and_scrubbing_take_time_that_grows_with_the_text(unit: str) -> None:
    assert_linear(lambda text: split_text(text, 4096, unit="utf16"), unit)
    secrets = [shape for name in goldens.channel_names() for shape in goldens.secrets(name)]
    assert_linear(Masking(secrets).masked, unit)
    assert_linear(lambda text: whatsapp_errors.failure_of({"code": 1, "message": text}), unit)
    assert_linear(lambda text: telegram_errors.failure_of(telegram_errors.Answer(400, text), "sendMessage"), unit)
    assert_linear(tiktok_errors._readable, unit)
    assert_linear(lambda text: email_errors.refusal(email_errors.Stage.RCPT, 550, text), unit)
