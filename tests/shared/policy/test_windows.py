"""Windows and quotas against a model that is written from the rules, not from the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.capabilities import WindowRule
from shared.policy.conversation import Conversation, from_fields
from shared.policy.windows import quota_of, rule_for, window_state
from tests.shared.runtime.plain_channel import capabilities

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECONDS = st.integers(min_value=0, max_value=400_000)
RULES = st.builds(
    WindowRule,
    kind=st.just("w"),
    seconds=st.sampled_from([3600.0, 86_400.0, 172_800.0]),
    guard=st.sampled_from([0.0, 30.0, 60.0]),
    quota=st.sampled_from([None, 1, 10]),
    quota_until_reply=st.booleans(),
    templates_outside=st.booleans(),
)


class Model:
    """What a window is, by its rules: it opens with the newest message, ends by time or by the provider's word."""

    def __init__(self) -> None:
        self.opened: int | None = None
        self.messages = 0
        self.refused = False
        self.used: list[int] = []

    def message(self, at: int) -> None:
        if self.opened is None or at > self.opened:
            self.messages += 1
            self.opened, self.refused = at, False
            self.used = [sent for sent in self.used if sent >= at]

    def conversation(self) -> Conversation:
        return Conversation(
            known=True,
            last_inbound=None if self.opened is None else START + timedelta(seconds=self.opened),
            quota_used=len(self.used),
            replied=self.messages > 1,
            closed_by_provider=self.refused,
        )

    def open(self, rule: WindowRule, now: int) -> bool:
        if self.refused:
            return False
        return self.opened is None or now - self.opened < rule.seconds - rule.guard

    def left(self, rule: WindowRule) -> bool:
        if rule.quota is None or (rule.quota_until_reply and self.messages > 1):
            return True
        return len(self.used) < rule.quota


STEPS = st.lists(
    st.tuples(st.sampled_from(["message", "late message", "send", "refusal", "look"]), SECONDS), max_size=25
)


@given(RULES, STEPS)
@settings(max_examples=150, deadline=None)
def test_a_window_is_what_its_history_makes_it(rule: WindowRule, steps: list[tuple[str, int]]) -> None:
    model, now = Model(), 0
    for step, seconds in steps:
        now += seconds % 50_000
        match step:
            case "message":
                model.message(now)
            case "late message":
                model.message(max(0, now - seconds))
            case "send":
                model.used.append(now)
            case "refusal":
                model.refused = True
        state = window_state(rule, model.conversation(), START + timedelta(seconds=now))
        assert state.open == model.open(rule, now)
        assert state.unknown == (model.opened is None and not model.refused)
        assert state.closed_by_provider == model.refused
        limited = state.quota_limit is not None and (state.quota_used or 0) >= state.quota_limit
        assert limited == (not model.left(rule))


@given(RULES, SECONDS, SECONDS)
@settings(max_examples=100, deadline=None)
def test_time_only_closes(rule: WindowRule, first: int, later: int) -> None:
    conversation = Conversation(known=True, last_inbound=START)
    before = window_state(rule, conversation, START + timedelta(seconds=first))
    after = window_state(rule, conversation, START + timedelta(seconds=first + later))
    assert before.open or not after.open
    assert before.expires_at == after.expires_at


def test_expiry_is_told_with_the_guard_taken_off() -> None:
    rule = WindowRule(kind="w", seconds=3600, guard=60)
    conversation = Conversation(known=True, last_inbound=START)
    state = window_state(rule, conversation, START)
    assert state.expires_at == START + timedelta(minutes=59)
    assert window_state(rule, conversation, START + timedelta(minutes=59)).open is False


def test_we_wrote_first_and_nobody_answered() -> None:
    state = window_state(WindowRule(kind="w", seconds=60), Conversation(known=True, cold=True), START)
    assert (state.open, state.unknown) == (False, False)


def test_a_rule_applies_to_its_kind_of_conversation() -> None:
    business = WindowRule(kind="business", applies_to="business", seconds=60)
    able = capabilities(windows=(business,))
    assert rule_for(able, Conversation(address={"kind": "business"})) == business
    assert rule_for(able, Conversation(address={"kind": "private"})) is None
    assert quota_of(None, Conversation()) is None


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "last_inbound": st.integers(min_value=1, max_value=4_000_000_000_000).map(str),
            "last_ref": st.text(max_size=10),
            "closed_by_provider": st.sampled_from(["0", "1"]),
            "unreachable": st.sampled_from(["0", "1"]),
            "blocked": st.sampled_from(["0", "1"]),
            "opted_out": st.sampled_from(["0", "1"]),
            "fed": st.text(max_size=10),
        },
    ),
    st.integers(min_value=0, max_value=20),
)
def test_what_the_store_spells_is_read(fields: dict[str, str], used: int) -> None:
    read = from_fields(fields, used)
    assert read.known == bool(fields)
    assert read.quota_used == used
    if "last_inbound" in fields:
        assert read.last_inbound is not None
        assert round(read.last_inbound.timestamp() * 1000) == int(fields["last_inbound"])
    for flag in ("closed_by_provider", "unreachable", "blocked", "opted_out"):
        assert getattr(read, flag) == (fields.get(flag) == "1")
