"""What depends on settings, and what must hold for any command."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tiktok.channel import TikTokChannel, build
from services.tiktok.settings import Settings
from shared.channel import Call, Failure, PlanContext, Refused, ReplyReference
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Grade
from shared.contract.commands import File, parse_command
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import WarningCode
from shared.policy.text import length

ACCOUNT = AccountRecord(account_id="a", workspace_id="w", channel="tiktok", external_id="b")
STRICT = build(Settings())
QUOTING = build(Settings(reply_reference=True))
TARGET = ReplyReference("u5Target==")


def plan(
    channel: TikTokChannel, content: dict[str, Any], context: PlanContext | None = None, **fields: Any
) -> list[Call]:
    data = {"command_id": "c", "workspace_id": "w", "account_id": "a", "conversation_id": "tiktok:a:p", **fields}
    kind, command = parse_command("channels.message.send.v1", {**data, "content": content})
    return list(channel.plan(kind, command, context or PlanContext(ACCOUNT)))


def text(body: str) -> dict[str, Any]:
    return {"kind": "text", "text": body}


def images(count: int, caption: str = "") -> dict[str, Any]:
    return {"kind": "media", "text": caption, "attachments": [{"blob": str(i), "kind": "image"} for i in range(count)]}


def test_a_quote_goes_with_the_first_text_only() -> None:
    context = PlanContext(ACCOUNT, target=TARGET)
    calls = plan(QUOTING, text("a " * 4000), context, reply_to={"message_id": "m"})
    assert [call.params.get("referenced_message_info") for call in calls] == [
        {"referenced_message_id": "u5Target=="},
        None,
    ]


def test_a_quote_is_never_put_on_an_image() -> None:
    context = PlanContext(ACCOUNT, target=TARGET)
    first, second = plan(QUOTING, images(1, "This one?"), context, reply_to={"message_id": "m"})
    assert "referenced_message_info" in first.params
    assert "referenced_message_info" not in second.params
    [alone] = plan(QUOTING, images(1), context, reply_to={"message_id": "m"})
    assert [warning.code for warning in alone.warnings] == [WarningCode.REPLY_TO_DROPPED]


@pytest.mark.parametrize(
    ("channel", "content", "target", "code"),
    [
        (STRICT, text("Yes"), TARGET, ErrorCode.UNSUPPORTED_BY_CHANNEL),
        (QUOTING, images(1), TARGET, ErrorCode.UNSUPPORTED_BY_CHANNEL),
        (QUOTING, text("Yes"), None, ErrorCode.REPLY_TARGET_UNKNOWN),
    ],
)
def test_a_strict_reply_is_refused_where_it_cannot_be_kept(
    channel: TikTokChannel, content: dict[str, Any], target: ReplyReference | None, code: ErrorCode
) -> None:
    with pytest.raises(Refused) as refused:
        plan(channel, content, PlanContext(ACCOUNT, target=target), reply_to={"message_id": "m"}, reply_policy="strict")
    assert refused.value.code is code


def test_an_unknown_target_costs_only_the_quote() -> None:
    [call] = plan(QUOTING, text("Yes"), reply_to={"message_id": "m"})
    assert [warning.code for warning in call.warnings] == [WarningCode.REPLY_TO_DROPPED]


def test_a_refused_quote_is_left_out() -> None:
    [call] = plan(QUOTING, text("Yes"), PlanContext(ACCOUNT, target=TARGET), reply_to={"message_id": "m"})
    again = QUOTING.adjust(call, Failure(ErrorCode.REPLY_TARGET_UNKNOWN))
    assert again is not None
    assert "referenced_message_info" not in again.params
    assert again.params["text"] == {"body": "Yes"}
    assert QUOTING.adjust(again, Failure(ErrorCode.REPLY_TARGET_UNKNOWN)) is None
    assert QUOTING.adjust(call, Failure(ErrorCode.WINDOW_CLOSED)) is None


def test_settings_show_in_the_capabilities() -> None:
    documented = build(Settings(window_profile="documented", count_automatic=False, text_limit=950)).capabilities
    [strict], [relaxed] = STRICT.capabilities.windows, documented.windows
    assert (strict.seconds, strict.quota, strict.quota_until_reply) == (172800, 10, False)
    assert (relaxed.quota, relaxed.quota_until_reply) == (10, True)
    assert (strict.counts_automatic, relaxed.counts_automatic) == (True, False)
    assert documented.text.max_length == 950
    assert (STRICT.capabilities.reply_to, QUOTING.capabilities.reply_to) == (Grade.REJECTED, Grade.NATIVE)


def test_without_a_quota_fifty_images_are_fifty_parts() -> None:
    documented = build(Settings(window_profile="documented"))
    assert len(plan(documented, images(50, "All of them"))) == 51


def test_ten_parts_are_the_most_a_strict_window_takes() -> None:
    assert len(plan(STRICT, images(9, "Nine views"))) == 10
    with pytest.raises(Refused) as refused:
        plan(STRICT, images(10, "Ten views"))
    assert (refused.value.code, refused.value.facts["actual"]) == (ErrorCode.QUOTA_EXHAUSTED, 11)


def test_prepared_files_replace_the_commands_own() -> None:
    prepared = File(blob="converted", kind=AttachmentKind.IMAGE, mime_type="image/jpeg", size=10)
    content = {"kind": "media", "attachments": [{"blob": "1", "filename": "a.webp"}]}
    [call] = plan(STRICT, content, PlanContext(ACCOUNT, files=(prepared,)))
    assert call.files == {"image": prepared}


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=400))
def test_split_text_loses_nothing_and_fits(body: str) -> None:
    channel = build(Settings(text_limit=100))
    try:
        calls = plan(channel, text(body))
    except Refused as refused:
        assert refused.code is ErrorCode.QUOTA_EXHAUSTED or not body.strip()
        return
    bodies = [call.params["text"]["body"] for call in calls]
    assert all(0 < length(part, "utf16") <= 100 for part in bodies)
    assert "".join("".join(bodies).split()) == "".join(body.split())
