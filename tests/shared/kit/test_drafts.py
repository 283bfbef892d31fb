"""Commands on their way to calls: whom they are for, what cannot be, what differs from them."""

from __future__ import annotations

import re

import pytest

from shared.channel import PlanContext, Refused
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Grade, TextRules
from shared.contract.commands import Button, MarkRead, MessageSend, OutText, ReplyTarget
from shared.contract.errors import ErrorCode
from shared.contract.statuses import WarningCode
from shared.kit.drafts import Draft, check_parts, check_references, check_usable, peer_of, placed_rows, split
from shared.policy.choices import Misfit
from shared.policy.shapes import Shape, Shapes

CONTEXT = PlanContext(
    AccountRecord(account_id="acc", workspace_id="ws", channel="line", settings={"max_text_parts": 2})
)
RULES = TextRules(max_length=5, caption_max_length=5, unit="utf16", spans=Grade.REJECTED)
DIGITS = Shape("a LINE message", re.compile("[0-9]{1,9}"), "ours", "2026-11-28")


def _send(**fields: object) -> MessageSend:
    return MessageSend.model_validate(
        {"command_id": "c", "workspace_id": "ws", "account_id": "acc", "conversation_id": "line:acc:1",
         "content": OutText(text="Hello"), **fields}
    )  # fmt: skip


def test_a_command_names_a_peer_of_the_channel_or_none() -> None:
    def named(conversation_id: str | None) -> str | None:
        return peer_of(MarkRead.model_construct(conversation_id=conversation_id), "line", "no")

    assert named("line:acc:U1:x") == "U1:x"
    assert named(None) is None
    for wrong in ("telegram:acc:U1", "line:acc", "", "line"):
        with pytest.raises(Refused) as refused:
            named(wrong)
        assert refused.value.code is ErrorCode.INVALID_COMMAND


def test_a_reference_of_another_shape_is_refused_where_it_stands() -> None:
    shapes = Shapes(DIGITS, DIGITS, DIGITS)
    check_references(shapes, _send(reply_to=ReplyTarget(provider_message_id="12")))
    with pytest.raises(Refused) as refused:
        check_references(shapes, _send(reply_to=ReplyTarget(provider_message_id="../12")))
    assert refused.value.facts == {"field": "reply_to.provider_message_id"}


def test_buttons_are_named_by_their_fields() -> None:
    placed = placed_rows([[Button(title="A"), Button(title="B")], [Button(title=" ")]])
    assert list(placed) == ["content.buttons.0.0", "content.buttons.0.1", "content.buttons.1.0"]
    with pytest.raises(Refused) as refused:
        check_usable(placed)
    assert refused.value.facts == {"field": "content.buttons.1.0.title"}


def test_a_text_is_split_into_what_is_shown() -> None:
    assert [part.text for part in split("LINE", RULES, 3, "abcde     fghij")] == ["abcde", "fghij"]
    assert [part.text for part in split("LINE", RULES, 2, "\U0001f600" * 3)] == ["\U0001f600" * 2, "\U0001f600"]
    for text, parts in (("x" * 11, 0), ("x", 3)):
        with pytest.raises(Refused) as refused:
            check_parts("LINE", RULES, 2, text, parts)
        assert refused.value.code is ErrorCode.TEXT_TOO_LONG


def test_a_draft_says_what_differs_unless_the_command_is_strict() -> None:
    misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, "LINE has no lists.", {"field": "content"})
    draft = Draft(_send(), CONTEXT)
    draft.degrade(misfit, WarningCode.CONVERTED, "It went out as text.")
    assert [(w.code, w.detail) for w in draft.warnings] == [
        (WarningCode.CONVERTED, "LINE has no lists. It went out as text.")
    ]
    assert draft.most_parts == 2
    with pytest.raises(Refused):
        Draft(_send(degrade_policy="strict"), CONTEXT).degrade(misfit, WarningCode.CONVERTED, "")
