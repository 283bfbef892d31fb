"""The verdict: its reasons one by one, and what a consumer of the state feed and the capabilities knows of it."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import LARGEST_FILE, Capabilities, FileRule, Grade, Interactive, WindowRule
from shared.contract.commands import COMMAND_OF, Command, CommandType, InteractiveKind
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode, error
from shared.contract.state import ConversationState
from shared.policy.conversation import Conversation
from shared.policy.judge import conversation_state, judge
from shared.policy.windows import quota_of, rule_for
from tests.shared.runtime.plain_channel import WINDOW, capabilities

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ACCOUNT = AccountRecord(account_id="acc_1", workspace_id="ws_1", channel="plain")
OPEN = Conversation(known=True, last_inbound=NOW - timedelta(hours=1))
CLOSED = Conversation(known=True, last_inbound=NOW - timedelta(hours=25))
TEMPLATE = {"kind": "template", "name": "t", "language": "en"}
TEXT = {"kind": "text", "text": "hi"}
ADDRESS = {"kind": "phone", "value": "+4915112345678"}


def command(kind: CommandType = CommandType.MESSAGE_SEND, **data: Any) -> Command:
    fields: dict[str, Any] = {
        "command_id": "c1",
        "workspace_id": "ws_1",
        "account_id": "acc_1",
        "conversation_id": "plain:acc_1:p1",
    }
    if kind is CommandType.MESSAGE_SEND:
        fields["content"] = TEXT
    if kind in (CommandType.MESSAGE_EDIT, CommandType.MESSAGE_DELETE, CommandType.REACTION_SET):
        fields["message_id"] = "m1"
    if kind is CommandType.MESSAGE_EDIT:
        fields["content"] = TEXT
    if kind is CommandType.MESSAGE_CANCEL:
        fields["cancel_conversation"] = True
    if kind is CommandType.MESSAGE_RESEND:
        fields["resend_command_id"] = "c0"
    return COMMAND_OF[kind].model_validate(fields | data)


def code(able: Capabilities, made: Command, conversation: Conversation = OPEN, **options: Any) -> ErrorCode | None:
    kind = options.get("kind", CommandType.MESSAGE_SEND)
    refusal = judge(able, kind, made, conversation, NOW)
    return None if refusal is None else refusal.code


def file(**facts: Any) -> dict[str, Any]:
    return {"kind": "media", "attachments": [{"blob": "b", **facts}]}


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        (TEXT, {}, None),
        (TEMPLATE, {"templates": "rejected"}, "unsupported_by_channel"),
        ({"kind": "location", "location": {"latitude": 1, "longitude": 2}}, {"location": "rejected"},
         "unsupported_by_channel"),
        ({"kind": "contacts", "contacts": [{"name": "Ida"}]}, {"contacts": "rejected"}, "unsupported_by_channel"),
        ({"kind": "interactive", "interactive": "buttons"}, {}, None),
        ({"kind": "interactive", "interactive": "flow"}, {}, "unsupported_by_channel"),
        (TEXT, {"commands": ()}, "unsupported_by_channel"),
        (file(size=LARGEST_FILE), {}, None),
        (file(size=LARGEST_FILE + 1), {}, "file_too_large"),
        (file(kind="video"), {"files": {AttachmentKind.VIDEO: FileRule(grade=Grade.REJECTED)}},
         "file_type_unsupported"),
        (file(kind="video"), {"files": {AttachmentKind.VIDEO: FileRule(grade=Grade.REJECTED, otherwise="document")}},
         None),
        ({"kind": "media", "attachments": [{"blob": "b"}] * 51}, {}, "too_many_files"),
        ({"kind": "interactive", "interactive": "buttons", "header_file": {"blob": "b", "size": LARGEST_FILE + 1}},
         {}, "file_too_large"),
    ],
)  # fmt: skip
def test_what_the_channel_cannot_carry(content: dict[str, Any], changes: dict[str, Any], expected: str | None) -> None:
    assert code(capabilities(**changes), command(content=content)) == expected


@pytest.mark.parametrize(
    ("conversation", "content", "expected"),
    [
        (OPEN, TEXT, None),
        (CLOSED, TEXT, "window_closed"),
        (CLOSED, TEMPLATE, None),
        (Conversation(), TEXT, None),
        (Conversation(known=True, cold=True), TEXT, "window_closed"),
        (Conversation(known=True, cold=True), TEMPLATE, None),
        (Conversation(known=True, last_inbound=NOW, unreachable=True), TEXT, "recipient_blocked"),
        (Conversation(known=True, last_inbound=NOW, unreachable=True), TEMPLATE, "recipient_blocked"),
        (Conversation(known=True, last_inbound=NOW, opted_out=True), TEXT, None),
        (Conversation(known=True, last_inbound=NOW, opted_out=True), TEMPLATE, "opted_out"),
        (Conversation(known=True, last_inbound=NOW, opted_out=True), TEMPLATE | {"category": "Utility"}, None),
        (Conversation(known=True, last_inbound=NOW, closed_by_provider=True), TEXT, "window_closed"),
        (Conversation(known=True, last_inbound=NOW, blocked=True), TEXT, "recipient_blocked"),
    ],
)
def test_what_the_conversation_does_not_allow(
    conversation: Conversation, content: dict[str, Any], expected: str | None
) -> None:
    assert code(capabilities(), command(content=content), conversation) == expected


def test_whom_only_we_block_can_be_written_to() -> None:
    ours = capabilities().model_copy(update={"block": Grade.REJECTED})
    blocked = Conversation(known=True, last_inbound=NOW, blocked=True)
    assert code(ours, command(content=TEXT), blocked) is None


@pytest.mark.parametrize(
    ("initiates", "text", "template"), [("never", False, False), ("template", False, True), ("always", True, True)]
)
def test_who_may_write_first(initiates: str, text: bool, template: bool) -> None:
    able = capabilities(initiates=initiates)
    to = {"conversation_id": None, "to": [{"kind": "phone", "value": "+4915112345678"}]}
    for content, allowed in ((TEXT, text), (TEMPLATE, template)):
        found = code(able, command(content=content, **to), Conversation())
        assert found == (None if allowed else ErrorCode.CANNOT_INITIATE)


@pytest.mark.parametrize(
    ("conversation", "to"),
    [
        (OPEN, {}),
        (CLOSED, {}),
        (Conversation(), {"conversation_id": None, "to": [{"kind": "phone", "value": "+4915"}]}),
    ],
)
@pytest.mark.parametrize("templates_outside", [True, False])
def test_a_message_of_a_category_goes_out_unasked_where_the_account_may(
    conversation: Conversation, to: dict[str, Any], templates_outside: bool
) -> None:
    window = WINDOW.model_copy(update={"templates_outside": templates_outside})
    able = capabilities(initiates="template", direct_send=("utility",), windows=(window,))
    assert code(able, command(category="utility", **to), conversation) is None
    assert code(able, command(category="marketing", **to), conversation) is ErrorCode.UNSUPPORTED_BY_CHANNEL
    unable = capabilities(initiates="template", windows=(window,))
    assert code(unable, command(category="utility", **to), conversation) is ErrorCode.UNSUPPORTED_BY_CHANNEL


def test_whom_a_message_is_for_is_checked_or_the_message_refused() -> None:
    made = command(identity_key="abc")
    assert code(capabilities(identity_check=True), made) is None
    refusal = judge(capabilities(), CommandType.MESSAGE_SEND, made, OPEN, NOW)
    assert refusal is not None
    assert (refusal.code, refusal.facts["field"]) == (ErrorCode.UNSUPPORTED_BY_CHANNEL, "identity_key")


def test_a_refusal_of_a_file_names_what_it_is_and_what_is_taken() -> None:
    rules = {
        AttachmentKind.IMAGE: FileRule(grade=Grade.NATIVE, mime_types=("image/png",)),
        AttachmentKind.VOICE: FileRule(grade=Grade.REJECTED),
    }
    able = capabilities().model_copy(update={"label": "Pigeon", "files": rules})
    refusal = judge(able, CommandType.MESSAGE_SEND, command(content=file(kind="voice")), OPEN, NOW)
    assert refusal is not None
    assert refusal.detail == "Pigeon takes no voice files; it takes: image (image/png)."
    assert refusal.facts["params"] == {"channel": "Pigeon", "what": "voice", "taken": "image"}


def test_a_sentence_about_the_channel_names_it() -> None:
    refusal = judge(capabilities(windows=(WINDOW,)).model_copy(update={"label": "Pigeon"}), CommandType.MESSAGE_SEND,
                    command(), CLOSED, NOW)  # fmt: skip
    assert refusal is not None
    assert error(refusal.code, refusal.detail, **refusal.facts).detail == "Pigeon's messaging window is closed."


def test_the_size_that_is_told_is_the_one_that_is_enforced() -> None:
    assert FileRule(grade=Grade.NATIVE, max_bytes=5 * LARGEST_FILE).max_bytes == LARGEST_FILE


def test_a_refusal_names_the_channel_and_what_it_cannot_do() -> None:
    unable = capabilities(label="Pigeon", reaction=Grade.REJECTED, interactive=())
    refusal = judge(unable, CommandType.REACTION_SET, command(CommandType.REACTION_SET), OPEN, NOW)
    assert refusal is not None
    assert refusal.detail == "Pigeon has no reactions."
    assert refusal.facts["params"] == {"channel": "Pigeon", "what": "reaction.set"}


@pytest.mark.parametrize("kind", list(CommandType))
def test_a_closed_window_keeps_back_only_what_the_contact_would_see(kind: CommandType) -> None:
    refused = code(capabilities(), command(kind), CLOSED, kind=kind)
    seen = {CommandType.MESSAGE_SEND, CommandType.MESSAGE_EDIT, CommandType.REACTION_SET, CommandType.TYPING_START}
    assert refused == (ErrorCode.WINDOW_CLOSED if kind in seen else None)


def test_a_refusal_says_what_would_be_accepted() -> None:
    refusal = judge(capabilities(), CommandType.MESSAGE_SEND, command(), CLOSED, NOW)
    assert refusal is not None
    assert refusal.facts["allowed"] == ("template",)
    assert refusal.facts["expires_at"] == NOW - timedelta(hours=1, seconds=60)
    strict = capabilities(windows=(WINDOW.model_copy(update={"templates_outside": False}),))
    refusal = judge(strict, CommandType.MESSAGE_SEND, command(), CLOSED, NOW)
    assert refusal is not None
    assert (refusal.facts["allowed"], refusal.facts["remedy"]) == ((), "Wait for the contact to write.")


# --------------------------------------------------------------------------------- what a consumer of the feed knows


def predict(
    able: Capabilities, state: ConversationState | None, kind: CommandType, made: Command, now: datetime
) -> bool:
    """Whether the connector will accept a command of one message, by the state feed and the capabilities alone.

    The record is as old as the last change: only the passing of the window's end is not in it.
    """
    content = getattr(made, "content", None) if kind is CommandType.MESSAGE_SEND else None
    if kind in (CommandType.CONTACT_BLOCK, CommandType.CONTACT_UNBLOCK, CommandType.MESSAGE_CANCEL):
        return True
    if kind is CommandType.MESSAGE_RESEND:
        return True
    if kind not in able.commands:
        return False
    if kind is CommandType.MARK_READ:
        return able.mark_read is not Grade.REJECTED
    if state is None:
        return _able(able, kind, content)
    window, allowed = state.window, state.allowed
    open_ = window is None or (window.open and (window.expires_at is None or now < window.expires_at))
    match kind:
        case CommandType.MESSAGE_DELETE:
            return allowed.delete
        case CommandType.MESSAGE_EDIT:
            return allowed.edit and open_
        case CommandType.REACTION_SET:
            return allowed.reaction and open_
        case CommandType.TYPING_START:
            return allowed.typing and open_
        case CommandType.TYPING_STOP:
            return True
    assert content is not None
    if content.kind == "template":
        outside = any(rule.templates_outside for rule in able.windows if window and rule.kind == window.kind)
        marketing = (content.category or "marketing").lower() == "marketing"
        return allowed.template and (open_ or outside) and not (state.opted_out and marketing)
    if content.kind == "media" and not allowed.media:
        return False
    return allowed.text and open_ and _able(able, kind, content)


def _able(able: Capabilities, kind: CommandType, content: Any) -> bool:
    """What needs no state."""
    graded = {
        CommandType.MESSAGE_EDIT: able.edit,
        CommandType.MESSAGE_DELETE: able.delete,
        CommandType.REACTION_SET: able.reaction,
        CommandType.TYPING_START: able.typing.grade,
    }
    if kind in graded:
        return graded[kind] is not Grade.REJECTED
    if content is None:
        return True
    grades = {"template": able.templates, "location": able.location, "contacts": able.contacts}
    if content.kind in grades and grades[content.kind] is Grade.REJECTED:
        return False
    if content.kind == "interactive":
        return any(one.kind is content.interactive for one in able.interactive)
    return all(
        one.kind is None or able.files[one.kind].grade is not Grade.REJECTED
        for one in getattr(content, "attachments", ())
    )


def some_capabilities(chance: random.Random) -> Capabilities:
    def grade() -> Grade:
        return chance.choice(list(Grade))

    windows: tuple[WindowRule, ...] = ()
    if chance.random() < 0.8:
        rule = WindowRule(
            kind="w",
            seconds=chance.choice([3600, 86400]),
            guard=chance.choice([0, 60]),
            quota=chance.choice([None, 1, 3, 10]),
            quota_until_reply=chance.random() < 0.3,
            templates_outside=chance.random() < 0.5,
        )
        windows = (rule,)
    typing = {"grade": grade(), "refresh_every": 4.0}
    return capabilities(
        edit=grade(),
        delete=grade(),
        reaction=grade(),
        mark_read=grade(),
        templates=grade(),
        location=grade(),
        contacts=grade(),
        typing=typing,
        files={kind: FileRule(grade=grade()) for kind in AttachmentKind},
        interactive=tuple(Interactive(kind=kind) for kind in InteractiveKind if chance.random() < 0.5),
        commands=tuple(kind for kind in CommandType if chance.random() < 0.9),
        windows=windows,
    )


def some_conversation(chance: random.Random) -> Conversation:
    if chance.random() < 0.1:
        return Conversation()
    written = chance.random() < 0.85
    return Conversation(
        known=True,
        last_inbound=NOW - timedelta(seconds=chance.choice([0, 60, 3539, 3541, 80_000, 86_339, 86_341, 200_000]))
        if written
        else None,
        cold=not written and chance.random() < 0.5,
        replied=chance.random() < 0.5,
        quota_used=chance.choice([0, 0, 1, 2, 3, 9, 10]),
        closed_by_provider=chance.random() < 0.15,
        unreachable=chance.random() < 0.15,
        blocked=chance.random() < 0.2,
        opted_out=chance.random() < 0.2,
    )


def some_command(chance: random.Random) -> tuple[CommandType, Command]:
    kind = chance.choice([CommandType.MESSAGE_SEND] * 12 + list(CommandType))
    if kind is not CommandType.MESSAGE_SEND:
        return kind, command(kind)
    contents: list[dict[str, Any]] = [
        TEXT,
        TEMPLATE | {"category": chance.choice([None, "marketing", "UTILITY"])},
        file(kind=chance.choice([None, *AttachmentKind])),
        {"kind": "location", "location": {"latitude": 1, "longitude": 2}},
        {"kind": "contacts", "contacts": [{"name": "Ida"}]},
        {"kind": "interactive", "interactive": chance.choice(list(InteractiveKind)), "text": "?"},
    ]
    return kind, command(content=chance.choice(contents))


def verdict(able: Capabilities, kind: CommandType, made: Command, conversation: Conversation, now: datetime) -> bool:
    """What becomes of a command of one message: the judgement, then the quota as it is reserved."""
    if kind is CommandType.TYPING_START and able.typing.grade is Grade.REJECTED:
        return False
    if judge(able, kind, made, conversation, now) is not None:
        return False
    quota = quota_of(rule_for(able, conversation), conversation)
    return kind is not CommandType.MESSAGE_SEND or quota is None or conversation.quota_used < quota


def test_a_consumer_of_the_feed_is_never_wrong() -> None:
    """10,000 random commands on random conversations of random channels, some time after the record was written."""
    chance = random.Random(20261122)
    wrong: list[Any] = []
    answers: Counter[bool] = Counter()
    for _ in range(500):
        able = some_capabilities(chance)
        for _ in range(5):
            conversation = some_conversation(chance)
            state = None
            if conversation.known:
                state = conversation_state(able, ACCOUNT, "plain:acc_1:p1", conversation, NOW)
                state = ConversationState.model_validate_json(state.to_json())
            for _ in range(4):
                now = NOW + timedelta(seconds=chance.choice([0, 0, 1, 59, 61, 3600, 90_000]))
                kind, made = some_command(chance)
                expected = verdict(able, kind, made, conversation, now)
                answers[expected] += 1
                if predict(able, state, kind, made, now) != expected:
                    wrong.append((kind, getattr(made, "content", None), conversation, expected))
    assert wrong == []
    assert min(answers.values()) > 2500, "both answers have to come up often for this to mean something"


def test_the_reasons_of_the_feed_are_those_of_the_verdicts() -> None:
    quota = WINDOW.model_copy(update={"quota": 2})
    for conversation, reason in (
        (CLOSED, ErrorCode.WINDOW_CLOSED),
        (Conversation(known=True, last_inbound=NOW, unreachable=True), ErrorCode.RECIPIENT_BLOCKED),
        (Conversation(known=True, last_inbound=NOW, opted_out=True), ErrorCode.OPTED_OUT),
        (Conversation(known=True, last_inbound=NOW, quota_used=2), ErrorCode.QUOTA_EXHAUSTED),
    ):
        state = conversation_state(capabilities(windows=(quota,)), ACCOUNT, "plain:acc_1:p1", conversation, NOW)
        assert state.reasons == (reason,)
    state = conversation_state(capabilities(), ACCOUNT, "plain:acc_1:p1", OPEN, NOW)
    assert state.reasons == ()
    assert all(state.allowed.model_dump().values())
