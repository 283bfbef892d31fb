"""What the goldens of commands do not show: prepared files, known file ids, properties of every plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.telegram.capabilities import CAPABILITIES, REACTIONS
from services.telegram.channel import build
from services.telegram.send.files import albums, outgoing
from services.telegram.settings import Settings
from shared.channel import Call, PlanContext, Refused, ReplyReference
from shared.contract.accounts import AccountRecord
from shared.contract.commands import CommandType, File, MessageSend, ReactionSet
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.policy.text import length

CHANNEL = build(Settings())
RECORD = AccountRecord(account_id="account", workspace_id="ws_1", channel="telegram")


def _send(content: dict[str, Any], context: PlanContext | None = None, **fields: Any) -> list[Call]:
    command = MessageSend.model_validate(
        {"command_id": "c", "workspace_id": "ws_1", "account_id": "account", "conversation_id": "telegram:account:7001",
         "content": content, **fields}
    )  # fmt: skip
    return list(CHANNEL.plan(CommandType.MESSAGE_SEND, command, context or PlanContext(RECORD)))


def test_prepared_files_are_what_goes_out() -> None:
    prepared = File(blob="ws_1/a", mime_type="image/png", size=12_000_000)
    (call,) = _send(
        {"kind": "media", "attachments": [{"attachment_id": "a-1"}]}, PlanContext(RECORD, files=(prepared,))
    )
    assert (call.method, call.files) == ("sendDocument", {"document": prepared})


def test_a_known_file_id_goes_out_with_the_bytes_in_reserve() -> None:
    known = File(provider_ref="AgAC", kind=AttachmentKind.IMAGE)
    (call,) = _send({"kind": "media", "attachments": [{"blob": "ws_1/a"}]}, PlanContext(RECORD, files=(known,)))
    assert call.params["photo"] == "AgAC"
    assert call.files["photo"].blob == "ws_1/a"


files = st.builds(
    File,
    blob=st.just("ws_1/a"),
    kind=st.none() | st.sampled_from(list(AttachmentKind)),
    mime_type=st.none()
    | st.sampled_from(["image/jpeg", "image/gif", "video/mp4", "audio/ogg; codecs=opus", "a/b", "x"]),
    filename=st.none() | st.sampled_from(["a.jpg", "b", ".pdf", "c.tgs", "d.webm"]),
    size=st.none() | st.integers(1, 60_000_000),
    width=st.none() | st.integers(1, 20_000),
    height=st.none() | st.integers(1, 20_000),
    duration=st.none() | st.floats(0, 100),
)


@given(st.lists(files, min_size=1, max_size=50), st.text(max_size=1200), st.booleans())
def test_every_file_goes_out_once_and_in_order(attachments: list[File], text: str, buttons: bool) -> None:
    content = {"kind": "media", "text": text, "attachments": [f.model_dump() for f in attachments]}
    if buttons:
        content["buttons"] = [[{"title": "OK", "id": "ok"}]]
    try:
        calls = _send(content)
    except Refused as refused:
        assert refused.code is ErrorCode.FILE_TOO_LARGE
        return
    sent = [file for call in calls for file in call.files.values()]
    assert sent == [File.model_validate(f.model_dump()) for f in attachments]
    for call in calls:
        assert call.parts == max(1, len(call.files))
        assert call.method == "sendMediaGroup" or call.parts == 1
        assert len(call.files) <= CAPABILITIES.album_size
        assert not (call.method == "sendMediaGroup" and "reply_markup" in call.params)
    assert ("reply_markup" in calls[-1].params) is buttons
    assert not any("reply_markup" in call.params for call in calls[:-1])


@given(st.lists(files.filter(lambda f: (f.size or 0) <= 50_000_000), max_size=30))
def test_albums_hold_two_to_ten_of_a_kind(attachments: list[File]) -> None:
    groups = list(albums([outgoing(file, index) for index, file in enumerate(attachments)]))
    assert [file.file for group in groups for file in group] == attachments
    for group in groups:
        assert len(group) <= 10
        assert len(group) == 1 or (group[0].album and len({file.album for file in group}) == 1)


@given(st.text(min_size=1, max_size=9000))
def test_no_text_is_too_long_and_nothing_visible_is_lost(text: str) -> None:
    try:
        calls = _send({"kind": "text", "text": text})
    except Refused as refused:
        assert refused.code is (ErrorCode.CONTENT_REJECTED if text.strip() else ErrorCode.INVALID_COMMAND)
        assert not any(character.isalnum() for character in text)
        return
    texts = [call.params["text"] for call in calls]
    assert all(0 < length(part, "utf16") <= 4096 for part in texts)
    assert [c for part in texts for c in part if c.isalnum()] == [c for c in text if c.isalnum()]


def test_reactions_are_telegrams_own_set() -> None:
    assert len(REACTIONS) == 73
    assert not any("\ufe0f" in emoji for emoji in REACTIONS)


@pytest.mark.parametrize("emoji", ["❤️", "❤", "🤷🏽‍♀️", "✍️", "❤️‍🔥", "👨‍💻"])
def test_reactions_are_found_whatever_their_dress(emoji: str) -> None:
    command = ReactionSet(
        command_id="c",
        workspace_id="ws_1",
        account_id="account",
        conversation_id="telegram:account:7001",
        message_id="m",
        emoji=emoji,
    )
    context = PlanContext(RECORD, target=ReplyReference("7001:5"))
    (call,) = CHANNEL.plan(CommandType.REACTION_SET, command, context)
    assert call.params["reaction"][0]["emoji"] in REACTIONS
