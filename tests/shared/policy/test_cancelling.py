"""Which queued commands a cancel rule covers, and how long to wait before trying again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.commands import MessageCancel, MessageSend
from shared.policy.cancelling import is_cancelled, rule_of
from shared.policy.retry import backoff

COMMON = {"command_id": "x", "workspace_id": "w", "account_id": "a", "conversation_id": "plain:a:p"}
IDS = st.sampled_from(["c1", "c2"])
KINDS = st.sampled_from(["human", "ai_agent", "workflow"])
RUNS = st.sampled_from([None, "r1", "r2"])
CANCELS = st.fixed_dictionaries(
    {},
    optional={
        "cancel_command_id": IDS,
        "cancel_conversation": st.just(True),
        "cancel_actor_kind": KINDS,
        "cancel_workflow_run_id": st.sampled_from(["r1", "r2"]),
    },
).filter(bool)


@given(CANCELS, IDS, KINDS, RUNS, st.integers(0, 10), st.integers(0, 10))
def test_a_cancel_covers_what_matches_everything_it_says(
    cancel: dict[str, Any], command_id: str, kind: str, run: str | None, queued: int, set_at: int
) -> None:
    rule = rule_of(MessageCancel.model_validate(COMMON | cancel))
    command = MessageSend.model_validate(
        COMMON
        | {
            "command_id": command_id,
            "actor": {"kind": kind},
            "workflow_run_id": run,
            "content": {"kind": "text", "text": "hi"},
        }
    )
    matches = (
        cancel.get("cancel_command_id", command_id) == command_id
        and cancel.get("cancel_actor_kind", kind) == kind
        and cancel.get("cancel_workflow_run_id", run) == run
    )
    in_time = queued <= set_at or "cancel_command_id" in cancel
    assert is_cancelled(command, {rule: str(set_at)}, queued) == (matches and in_time)


@pytest.mark.parametrize("odd", ["a&b", "command=c1&actor=human", "all", "&", "="])
def test_an_id_cannot_pretend_to_be_another_rule(odd: str) -> None:
    """Ids are the core's words: one that looks like a rule must cancel itself and nothing else."""
    rule = rule_of(MessageCancel.model_validate(COMMON | {"cancel_command_id": odd}))

    def command(name: str) -> MessageSend:
        fields = {"command_id": name, "content": {"kind": "text", "text": "hi"}, "actor": {"kind": "human"}}
        return MessageSend.model_validate(COMMON | fields)

    assert is_cancelled(command(odd), {rule: "1"}, 0)
    for other in ("c1", "a", "b", "x"):
        assert not is_cancelled(command(other), {rule: "1"}, 0)


def test_pauses_grow_to_a_minute() -> None:
    for attempt in range(1, 2000, 7):
        low = min(0.5 * 2 ** (min(attempt, 30) - 1), 60.0)
        assert low <= backoff(attempt) <= min(low + 0.5, 60.0)
