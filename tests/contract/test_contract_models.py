"""The contract's models and tables: ids, envelope, times, errors, commands, the merge of statuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, AliasKind, Contact, Origin, rfc3339
from shared.contract.commands import (
    COMMAND_OF,
    ActorKind,
    CommandRefused,
    CommandType,
    File,
    MessageSend,
    OutMedia,
    parse_command,
)
from shared.contract.content import TextContent
from shared.contract.envelope import Envelope, attributes, parse_type, source, type_name
from shared.contract.errors import ERRORS, Error, ErrorClass, ErrorCode, error
from shared.contract.events import DATA_OF, EventType, Message, ProviderFact
from shared.contract.statuses import ENDED_WITHOUT_SENDING, RANK, State, supersedes
from shared.contract.topics import Topics

NOON = datetime(2026, 11, 22, 12, 0, 0, 412_999, tzinfo=UTC)
COMMON = {"command_id": "c1", "workspace_id": "w", "account_id": "a", "conversation_id": "telegram:a:1"}
words = st.text(min_size=1, max_size=30)

# ---------------------------------------------------------------------------------------------------------- ids


def test_ids_never_change() -> None:
    """Links to messages and the dedupe of every reader rest on these values."""
    assert ids.message_id("telegram", "tg_1", "42:7") == "26bd166e-a6b7-5bc2-aa8f-953c660203a8"
    assert ids.part_message_id("cmd_81", 0) == "cabe2e32-6b46-5578-8d40-6bf39f42c6b4"
    assert ids.event_id("telegram", "tg_1", "42:7", "message.received") == "3743192a-aa52-51d6-b19b-fb3936751332"
    assert ids.status_id("cmd_81", 0, "sent") == "6dd920d4-9795-57c0-9116-23c2dcdffb83"
    assert ids.attachment_id("m", 0) == "a14cc941-4f13-57c0-9d10-bff9bd8bf9dd"
    assert ids.attachment_id("m", 0, "f") not in (ids.attachment_id("m", 0), ids.attachment_id("m", 0, "g"))
    assert ids.personal_peer("+5511955501234") == "p-a253b560e7baf54f4532cfe3a5e3a1"


@given(st.tuples(words, words, words), st.tuples(words, words, words))
def test_different_messages_have_different_ids(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (ids.message_id(*one) == ids.message_id(*other)) == (one == other)


def test_a_separator_inside_a_part_does_not_make_ids_collide() -> None:
    assert ids.message_id("telegram", "a:b", "c") != ids.message_id("telegram", "a", "b:c")
    assert ids.message_id("t", "a", "1") != ids.event_id("t", "a", "1", "")


@given(peer=words)
def test_conversation_id_round_trip(peer: str) -> None:
    assert ids.split_conversation_id(ids.conversation_id("tiktok", "a_1", peer)) == ("tiktok", "a_1", peer)


@pytest.mark.parametrize("value", ["", "telegram", "telegram:a", "telegram:a:", ":a:1", "telegram::1"])
def test_what_is_no_conversation_id(value: str) -> None:
    with pytest.raises(ValueError, match="not a conversation id"):
        ids.split_conversation_id(value)


def test_a_personal_peer_tells_nothing() -> None:
    peer = ids.personal_peer("+5511955501234")
    assert "955501234" not in peer
    assert peer != ids.personal_peer("+5511955501235")


# --------------------------------------------------------------------------------------------- times and models


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_time_is_rfc3339_in_milliseconds(moment: datetime) -> None:
    written = rfc3339(moment)
    assert len(written) == len("2026-11-22T10:00:00.412Z")
    assert timedelta(0) <= moment - datetime.fromisoformat(written) < timedelta(milliseconds=1)
    assert rfc3339(datetime.fromisoformat(written)) == written


def test_time_is_converted_to_utc() -> None:
    assert rfc3339(NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2026-11-22T12:00:00.412Z"


def message(**facts: Any) -> Message:
    defaults: dict[str, Any] = {
        "channel": "telegram",
        "workspace_id": "w",
        "account_id": "a",
        "conversation_id": "telegram:a:1",
        "message_id": "m",
        "occurred_at": NOON,
        "received_at": NOON,
        "sender": Contact(display_name="Ida", aliases=(Alias(kind=AliasKind.PROVIDER_ID, value="1"),)),
        "content": TextContent(text="Grüße 👋"),
        "provider": ProviderFact(message_id="7", type="text"),
    }
    return Message(**defaults | facts)


def test_a_time_without_offset_is_refused() -> None:
    with pytest.raises(ValidationError, match="offset"):
        message(occurred_at=NOON.replace(tzinfo=None))


def test_json_round_trip_leaves_absent_fields_out() -> None:
    written = json.loads(message().to_json())
    assert written["occurred_at"] == "2026-11-22T12:00:00.412Z"
    assert written["content"] == {"kind": "text", "text": "Grüße 👋", "spans": []}
    assert "reply_to" not in written
    assert Message.model_validate(written).to_json() == message().to_json()


def test_models_pass_over_fields_they_do_not_know() -> None:
    grown = json.loads(message().to_json()) | {"mood": "good"}
    assert Message.model_validate(grown) == Message.model_validate_json(message().to_json())


def test_models_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        message().message_id = "other"  # type: ignore[misc]


def test_a_blank_text_is_an_absent_one() -> None:
    assert Contact(display_name="").display_name is None


@pytest.mark.parametrize("account_id", ["", "a b", "a:b", "a/b", "ä", "x" * 129, "a\n"])
def test_account_ids_are_safe_in_paths_and_conversation_ids(account_id: str) -> None:
    with pytest.raises(ValidationError):
        AccountRecord(account_id=account_id, workspace_id="w", channel="telegram")


# ------------------------------------------------------------------------------------------------------ envelope


def envelope(**facts: Any) -> Envelope:
    data = message()
    return Envelope(
        id="e1",
        type=type_name(EventType.MESSAGE_RECEIVED),
        source=source("telegram", "a"),
        subject=data.conversation_id,
        time=rfc3339(NOON),
        data=data,
        **facts,
    )


def test_binary_mode_round_trip() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = envelope(traceparent=trace).headers()
    assert dict(headers)["content-type"] == b"application/json"
    assert attributes(headers) == {
        "specversion": "1.0",
        "id": "e1",
        "type": "channels.message.received.v1",
        "source": "/channels/telegram/a",
        "subject": "telegram:a:1",
        "time": "2026-11-22T12:00:00.412Z",
        "traceparent": trace,
    }
    assert envelope().key == b"telegram:a:1"
    assert "traceparent" not in dict(envelope().headers())


def test_structured_mode_says_the_same_as_binary_mode() -> None:
    structured = envelope().structured()
    data, content_type = structured.pop("data"), structured.pop("datacontenttype")
    assert structured == attributes(envelope().headers())
    assert content_type == "application/json"
    assert data == json.loads(message().to_json())


@given(st.lists(st.tuples(st.text(), st.binary())))
def test_no_header_makes_reading_fail(headers: list[tuple[str, bytes]]) -> None:
    known = attributes([*headers, ("ce_id", b"\xff\xfe"), ("other", b"1")])
    assert known["id"] == "\ufffd\ufffd"
    assert "other" not in known


def test_type_names_round_trip() -> None:
    for name in (*EventType, *CommandType):
        assert parse_type(type_name(name)) == (name, 1)


@pytest.mark.parametrize(
    "value",
    ["", "message.send", "channels.message.send", "channels.message.send.v0", "channels.message.send.v1 ", "x"],
)
def test_what_is_no_type(value: str) -> None:
    with pytest.raises(ValueError, match="not a type"):
        parse_type(value)


# ------------------------------------------------------------------------------------------------- closed tables


def test_every_event_and_command_has_a_model() -> None:
    assert set(DATA_OF) == set(EventType)
    assert set(COMMAND_OF) == set(CommandType)


def test_every_error_code_has_its_facts() -> None:
    assert set(ERRORS) == set(ErrorCode)
    assert {fact.error_class for fact in ERRORS.values()} == set(ErrorClass)
    for fact in ERRORS.values():
        assert fact.sentence.endswith(".")
        assert fact.remedy is None or fact.remedy.endswith(".")


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_carries_what_the_table_says(code: ErrorCode) -> None:
    made = error(code)
    fact = ERRORS[code]
    assert (made.error_class, made.retryable, made.detail, made.remedy) == fact[:4]
    assert Error.model_validate_json(made.to_json()) == made
    assert json.loads(made.to_json())["class"] == fact.error_class


def test_facts_of_the_case_win_over_the_table() -> None:
    made = error(ErrorCode.FILE_TOO_LARGE, "The file has 21 MiB.", limit=20, actual=21, remedy="Compress it.")
    assert (made.detail, made.limit, made.actual, made.remedy) == ("The file has 21 MiB.", 20, 21, "Compress it.")


def test_every_actor_is_an_origin() -> None:
    assert {kind.origin for kind in ActorKind} == set(Origin) - {Origin.CONTACT, Origin.NATIVE_APP}


def test_topics_are_named_after_prefix_and_channel() -> None:
    topics = Topics("test")
    assert {topic.name for topic in topics.shared()} == {"test.accounts", "test.account-health", "test.capabilities"}
    assert {topic.name: topic.compacted for topic in topics.of_channel("tiktok")} == {
        "test.tiktok.raw": False,
        "test.tiktok.inbound": False,
        "test.tiktok.outbound": False,
        "test.tiktok.statuses": False,
        "test.tiktok.state": True,
        "test.tiktok.templates": True,
        "test.tiktok.parked": True,
        "test.tiktok.parked-files": True,
        "test.tiktok.deadletter": False,
    }


# ------------------------------------------------------------------------------------------------------ commands


def test_a_command_is_parsed_by_its_type() -> None:
    kind, command = parse_command("channels.message.send.v1", COMMON | {"content": {"kind": "text", "text": "Hi"}})
    assert kind is CommandType.MESSAGE_SEND
    assert isinstance(command, MessageSend)
    assert command.content.text == "Hi"
    assert command.actor.kind is ActorKind.SYSTEM


@pytest.mark.parametrize(
    ("ce_type", "data", "code", "where"),
    [
        ("channels.message.send.v2", {}, ErrorCode.INVALID_COMMAND, "type"),
        ("channels.message.shout.v1", {}, ErrorCode.INVALID_COMMAND, "type"),
        ("channels.message.received.v1", {}, ErrorCode.INVALID_COMMAND, "type"),
        ("nonsense", {}, ErrorCode.INVALID_COMMAND, "type"),
        ("channels.message.send.v1", {"visibility": "internal"}, ErrorCode.NOT_SENDABLE, "visibility"),
        ("channels.comment.add.v1", {"visibility": "internal"}, ErrorCode.NOT_SENDABLE, "visibility"),
        ("channels.message.send.v1", COMMON, ErrorCode.INVALID_COMMAND, "content"),
        (
            "channels.message.send.v1",
            {"content": {"kind": "text", "text": "x"}},
            ErrorCode.INVALID_COMMAND,
            "command_id",
        ),
        ("channels.typing.start.v1", COMMON | {"audience": "world"}, ErrorCode.INVALID_COMMAND, "audience"),
        ("channels.typing.start.v1", COMMON | {"visibility": "private"}, ErrorCode.INVALID_COMMAND, "visibility"),
        ("channels.typing.start.v1", COMMON | {"not_after": "tomorrow"}, ErrorCode.INVALID_COMMAND, "not_after"),
        ("channels.reaction.set.v1", COMMON, ErrorCode.INVALID_COMMAND, "message_id"),
    ],
)
def test_what_is_no_command_is_refused(ce_type: str, data: dict[str, Any], code: ErrorCode, where: str) -> None:
    with pytest.raises(CommandRefused) as refusal:
        parse_command(ce_type, data)
    assert refusal.value.code is code
    assert refusal.value.field == where


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    secret = "+49 151 1234567"
    for field in ("command_id", "account_id", "not_after", "actor", "to"):
        with pytest.raises(CommandRefused) as refusal:
            parse_command("channels.typing.start.v1", COMMON | {field: secret})
        assert secret not in str(refusal.value)


def test_a_refusal_does_not_repeat_a_made_up_kind() -> None:
    with pytest.raises(CommandRefused) as refusal:
        parse_command("channels.message.send.v1", COMMON | {"content": {"kind": "+49 151 1234567"}})
    assert "1234567" not in str(refusal.value)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_outside_the_calendar_is_refused(time: str) -> None:
    with pytest.raises(CommandRefused):
        parse_command("channels.typing.start.v1", COMMON | {"not_after": time})


def test_a_command_says_for_whom_it_is() -> None:
    with pytest.raises(CommandRefused):
        parse_command("channels.typing.start.v1", COMMON | {"conversation_id": None})


def test_a_cancel_says_what_to_cancel() -> None:
    with pytest.raises(CommandRefused):
        parse_command("channels.message.cancel.v1", COMMON)


def test_a_type_ends_with_its_version() -> None:
    with pytest.raises(ValueError, match="not a type"):
        parse_type("channels.message.send.v1\n")


@pytest.mark.parametrize("ended", [State.CANCELLED, State.EXPIRED, State.REJECTED])
def test_what_was_sent_cannot_be_called_off(ended: State) -> None:
    assert not supersedes(ended, State.SENT)


def test_an_account_id_is_no_step_in_a_path() -> None:
    with pytest.raises(ValidationError):
        AccountRecord(account_id="..", workspace_id="w", channel="telegram")


def test_a_workspace_id_is_no_step_in_a_path() -> None:
    with pytest.raises(ValidationError):
        AccountRecord(account_id="a", workspace_id="../x", channel="telegram")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(CommandType),
    data=st.dictionaries(
        st.sampled_from([*COMMON, "content", "message_id", "actor", "to", "not_after", "visibility", "reply_to"]),
        json_values,
    ),
)
def test_any_json_is_a_command_or_refused(kind: CommandType, data: dict[str, Any]) -> None:
    try:
        parsed, command = parse_command(type_name(kind), data)
    except CommandRefused as refusal:
        assert refusal.code in (ErrorCode.INVALID_COMMAND, ErrorCode.NOT_SENDABLE)
    else:
        assert parsed is kind
        assert command.visibility == "contact"


@pytest.mark.parametrize("places", [{}, {"blob": "b", "url": "https://example.org/f"}, {"blob": ""}])
def test_a_file_has_exactly_one_place(places: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        File(**places)


def test_media_needs_a_file() -> None:
    with pytest.raises(ValidationError):
        OutMedia(attachments=())


# --------------------------------------------------------------------------------------------- merge of statuses


def merged(seen: Sequence[State]) -> State:
    """What stands after these states came in, in this order."""
    return reduce(lambda old, new: new if supersedes(new, old) else old, seen)


states = st.sampled_from(State)
# What a provider can say of a part that it took, in whatever order its reports arrive.
reports = st.sampled_from([state for state in State if state not in ENDED_WITHOUT_SENDING or state is State.FAILED])


@given(states)
def test_the_same_state_again_changes_nothing(state: State) -> None:
    assert supersedes(state, None)
    assert supersedes(state, state) is (state is State.DEFERRED)


@given(states, states)
def test_no_two_states_supersede_each_other(one: State, other: State) -> None:
    assert one is other or not (supersedes(one, other) and supersedes(other, one))


@given(st.lists(reports, min_size=1, max_size=5, unique=True))
def test_the_order_of_a_providers_reports_does_not_matter(seen: list[State]) -> None:
    assert len({merged(order) for order in permutations(seen)}) == 1


@given(st.lists(states, min_size=1, max_size=8), st.lists(states, max_size=8))
def test_a_receipt_is_never_taken_back(before: list[State], after: list[State]) -> None:
    reached = merged(before)
    final = merged((*before, *after))
    if reached in (State.DELIVERED, State.READ, State.PLAYED):
        assert RANK[final] >= RANK[reached]


@given(st.lists(states, min_size=1, max_size=8))
def test_reports_seen_twice_change_nothing(seen: list[State]) -> None:
    final = merged(seen)
    assert merged((*seen, final)) is final


@pytest.mark.parametrize("ended", sorted(ENDED_WITHOUT_SENDING - {State.FAILED}))
def test_only_the_providers_word_reopens_what_ended_before_sending(ended: State) -> None:
    by_provider = {State.SENT, State.DONE, State.FAILED, State.DELIVERED, State.READ, State.PLAYED}
    assert {state for state in State if supersedes(state, ended)} == by_provider


def test_a_receipt_refutes_a_failure() -> None:
    assert merged((State.SENT, State.FAILED, State.DELIVERED)) is State.DELIVERED
    assert merged((State.DELIVERED, State.FAILED)) is State.DELIVERED
    assert merged((State.FAILED, State.SENT)) is State.FAILED


def test_a_refused_field_is_named_as_the_command_writes_it() -> None:
    content = {"kind": "template", "name": "offer", "language": "en", "parameters": ["Ida", {"text": "Ada"}]}
    data = {"command_id": "c1", "workspace_id": "ws", "account_id": "acc", "content": content}
    with pytest.raises(CommandRefused) as refused:
        parse_command("channels.message.send.v1", data)
    assert refused.value.field == "content.parameters.1"
    assert "tuple" not in refused.value.detail


def test_a_rule_of_ours_is_told_in_our_words_only() -> None:
    data = {"command_id": "c1", "workspace_id": "ws", "account_id": "acc", "content": {"kind": "text", "text": "Hi"}}
    with pytest.raises(CommandRefused) as refused:
        parse_command("channels.message.send.v1", data)
    assert refused.value.field is None
    assert refused.value.detail == "command: It needs a conversation_id, or to for a first message."


KINDS = (
    "content.kind: It must be one of 'text', 'media', 'template', 'interactive', 'location', 'contacts', "
    "'shared_post', 'email'."
)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"content": {"kind": "text"}}, "content.text: It is missing."),
        ({"content": {"kind": "text", "text": ""}}, "content.text: It must not be empty."),
        ({"content": {"kind": "text", "text": 7}}, "content.text: It must be text."),
        ({"content": {"kind": "media", "attachments": []}}, "content.attachments: It must not be empty."),
        ({"content": {"kind": "media", "attachments": "x"}}, "content.attachments: It must be a list."),
        ({"content": "secret"}, "content: It must be an object."),
        ({"content": {"kind": "secret"}}, KINDS),
        ({"content": {}}, "content.kind: It is missing."),
        ({"reply_policy": "secret"}, "reply_policy: It must be 'degrade' or 'strict'."),
        ({"actor": {"kind": "secret"}}, "actor.kind: It must be 'human', 'ai_agent', 'workflow' or 'system'."),
        ({"silent": "secret"}, "silent: It must be true or false."),
        ({"not_before": "secret"}, "not_before: It must be a time as RFC 3339 has it, with an offset from UTC."),
        ({"not_before": 7}, "not_before: It must be a time as RFC 3339 has it, with an offset from UTC."),
        ({"account_id": "a" * 129}, "account_id: It must have at most 128 characters."),
        ({"account_id": "a b"}, "account_id: It has characters that are not allowed there."),
    ],
)
def test_what_is_wrong_is_said_in_our_own_words(data: dict[str, Any], detail: str) -> None:
    common = {"command_id": "c1", "workspace_id": "ws", "account_id": "acc", "conversation_id": "x:acc:1"}
    with pytest.raises(CommandRefused) as refused:
        parse_command("channels.message.send.v1", {**common, "content": {"kind": "text", "text": "Hi"}, **data})
    assert refused.value.detail == detail


WRONG = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.lists(st.text())
    | st.dictionaries(st.sampled_from(["kind", "text", "message_id"]), st.text())
)
FIELDS = ["content", "to", "actor", "message_id", "not_after", "reply_to", "emoji"]


@given(st.sampled_from([str(kind) for kind in COMMAND_OF]), st.dictionaries(st.sampled_from(FIELDS), WRONG))
def test_no_librarys_words_are_in_a_refusal(kind: str, data: dict[str, Any]) -> None:
    common = {"command_id": "c1", "workspace_id": "ws", "account_id": "acc", "conversation_id": "x:acc:1"}
    try:
        parse_command(f"channels.{kind}.v1", {**common, **data})
    except CommandRefused as refused:
        assert not any(words in refused.detail for words in ("Input", "Field required", "should", "Value error", "{"))
