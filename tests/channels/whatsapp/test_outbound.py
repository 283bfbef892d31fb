"""What holds for every plan: order, limits, and that nothing is cut or lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.channel import build
from services.whatsapp.send.markup import marked_up
from services.whatsapp.settings import Settings
from shared.channel import Call, PlanContext, Refused
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import FileRule
from shared.contract.commands import File, MessageSend, OutInteractive, OutMedia, parse_command
from shared.contract.content import AttachmentKind, Span, SpanKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import WarningCode

ACCOUNT = AccountRecord(account_id="wa_1", workspace_id="w", channel="whatsapp")
CHANNEL = build(Settings())
texts = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=300).map(lambda t: t * 40)


def planned(content: dict[str, Any], context: PlanContext | None = None, **data: Any) -> list[Call]:
    document = {
        "command_id": "c",
        "workspace_id": "w",
        "account_id": "wa_1",
        "conversation_id": "whatsapp:wa_1:BR.7f3K",
        "content": content,
        **data,
    }
    kind, command = parse_command("channels.message.send.v1", document)
    assert isinstance(command, MessageSend)
    return list(CHANNEL.plan(kind, command, context or PlanContext(ACCOUNT)))


@given(texts)
def test_a_text_of_any_length_arrives_whole(text: str) -> None:
    if not text.strip():
        with pytest.raises(Refused):
            planned({"kind": "text", "text": text})
        return
    calls = planned({"kind": "text", "text": text})
    bodies = [call.params["text"]["body"] for call in calls]
    assert all(0 < len(body) <= 4096 and body.strip() for body in bodies)
    assert "".join("".join(bodies).split()) == "".join(text.split())
    split = [warning.code for call in calls for warning in call.warnings]
    assert split == ([WarningCode.TEXT_SPLIT] if len(text) > 4096 else [])


@given(texts, st.integers(0, 3), st.integers(1, 3))
def test_text_is_never_cut_whatever_it_stands_beside(text: str, voices: int, images: int) -> None:
    files = [{"blob": f"v{i}", "kind": "voice", "mime_type": "audio/ogg"} for i in range(voices)]
    files += [{"blob": f"i{i}", "mime_type": "image/png"} for i in range(images)]
    calls = planned({"kind": "media", "text": text, "attachments": files})
    said = "".join(c.params.get("text", {}).get("body", c.params[c.params["type"]].get("caption", "")) for c in calls)
    assert "".join(said.split()) == "".join(text.split())
    sent = [file.blob for call in calls for file in call.files.values()]
    assert sent == [file["blob"] for file in files]
    assert all(len(call.params.get("image", {}).get("caption", "")) <= 1024 for call in calls)


@given(st.text(max_size=60), st.lists(st.tuples(st.sampled_from(SpanKind), st.integers(0, 70), st.integers(1, 70))))
def test_marks_are_added_and_nothing_else_changes(text: str, given_spans: list[tuple[SpanKind, int, int]]) -> None:
    spans = [Span(kind=kind, offset=offset, length=length) for kind, offset, length in given_spans]
    shown, _ = marked_up(text, spans)
    marks = set("*_~`> ")  # a quote's mark has a blank
    assert [c for c in shown if c not in marks] == [c for c in text if c not in marks]


def test_long_formatted_text_stays_within_the_limit() -> None:
    text = "word " * 2_000
    spans = [{"kind": "bold", "offset": start, "length": 4} for start in range(0, 10_000, 50)]
    bodies = [call.params["text"]["body"] for call in planned({"kind": "text", "text": text, "spans": spans})]
    assert all(len(body) <= 4096 for body in bodies)
    assert sum(body.count("*word*") for body in bodies) == 200
    assert "".join(bodies).replace("*", "").split() == text.split()


@pytest.mark.parametrize("kind", AttachmentKind)
@pytest.mark.parametrize(
    "mime_type",
    ["image/jpeg", "image/gif", "video/mp4", "video/webm", "audio/ogg", "audio/wav", "application/pdf", None],
)
@pytest.mark.parametrize("size", [1, 600_000, 5_300_000, 17_000_000])
def test_every_file_finds_a_kind_that_takes_it_or_is_refused(
    kind: AttachmentKind, mime_type: str | None, size: int
) -> None:
    file = {"blob": "b", "kind": kind, "mime_type": mime_type, "size": size}
    rules = CHANNEL.capabilities.files
    try:
        (call,) = planned({"kind": "media", "attachments": [file]})
    except Refused as refused:
        taken = [rule for rule in (rules[kind], rules[AttachmentKind.DOCUMENT]) if mime_type in rule.mime_types]
        assert refused.code == (ErrorCode.FILE_TOO_LARGE if taken else ErrorCode.FILE_TYPE_UNSUPPORTED)
        assert all(size > _most(rule, mime_type) for rule in taken)
        return
    sent = call.params["type"]
    rule = rules[AttachmentKind(sent)]
    assert size <= _most(rule, mime_type)
    assert mime_type is None or mime_type in rule.mime_types
    if sent == "document" and kind is not AttachmentKind.DOCUMENT:
        assert [warning.code for warning in call.warnings] == [WarningCode.SENT_AS_DOCUMENT]


def _most(rule: FileRule, mime_type: str | None) -> int:
    """Bytes of the largest file of a type that a rule takes."""
    limits = [form.max_bytes for form in rule.formats if form.mime_type == mime_type and form.max_bytes is not None]
    return min([rule.max_bytes, *limits])


def test_files_go_out_as_they_were_prepared() -> None:
    prepared = (File(blob="ready", mime_type="application/pdf", size=6_000_000),)
    (call,) = planned({"kind": "media", "attachments": [{"blob": "raw"}]}, PlanContext(ACCOUNT, files=prepared))
    assert (call.params["type"], call.files["document.id"].blob) == ("document", "ready")
    header = (File(blob="ready", mime_type="image/png", size=1),)
    content = {
        "kind": "interactive",
        "text": "Confirm?",
        "header_file": {"blob": "raw", "kind": "image"},
        "buttons": [{"title": "Yes"}],
    }
    (call,) = planned(content, PlanContext(ACCOUNT, files=header))
    assert call.files["interactive.header.image.id"].blob == "ready"


def test_cards_get_their_own_prepared_files() -> None:
    files = tuple(File(blob=name, mime_type="image/png") for name in ("header", "one", "two"))
    cards = [{"file": {"blob": str(n)}, "buttons": [{"title": "Take"}]} for n in range(2)]
    content = OutInteractive.model_validate(
        {"interactive": "carousel", "text": "Picks", "cards": cards, "header_file": {"blob": "h"}}
    )
    with pytest.raises(Refused) as refused:
        planned(content.model_dump(mode="json"), PlanContext(ACCOUNT, files=files))
    assert refused.value.facts == {"field": "content.header_file"}
    bare = content.model_copy(update={"header_file": None}).model_dump(mode="json")
    (call,) = planned(bare, PlanContext(ACCOUNT, files=files[1:]))
    assert [file.blob for file in call.files.values()] == ["one", "two"]


def test_fifty_files_and_not_one_more() -> None:
    assert len(OutMedia.model_validate({"attachments": [{"blob": "b"}] * 51}).attachments) == 51
    with pytest.raises(Refused) as refused:
        planned({"kind": "media", "attachments": [{"blob": "b"}] * 51})
    assert refused.value.code is ErrorCode.TOO_MANY_FILES
    assert refused.value.facts == {"field": "content.attachments", "limit": 50, "actual": 51}


def test_a_first_message_needs_no_conversation() -> None:
    to = [{"kind": "username", "value": "ida"}, {"kind": "phone", "value": "+15550100001"}]
    (call,) = planned({"kind": "text", "text": "Hi"}, conversation_id=None, to=to)
    assert call.params["to"] == "15550100001"
