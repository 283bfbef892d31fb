"""Cancelling: which queued commands a `message.cancel` stops."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from shared.contract.commands import Command, MessageCancel


def rule_of(cancel: MessageCancel) -> str:
    """The rule of a cancel command: all the conditions it names together; none for the whole conversation."""
    named = {
        "command": cancel.cancel_command_id,
        "actor": cancel.cancel_actor_kind,
        "workflow": cancel.cancel_workflow_run_id,
    }
    conditions = {name: str(value) for name, value in named.items() if value is not None}
    return orjson.dumps(conditions, option=orjson.OPT_SORT_KEYS).decode()


def is_cancelled(command: Command, rules: Mapping[str, str], queued_at_ms: int) -> bool:
    """Whether a rule set after the command was queued covers it (values are Unix milliseconds).

    A rule that names the command covers it even if it overtook it; no rule covers a cancellation, its own least.
    """
    if not rules or isinstance(command, MessageCancel):
        return False
    facts = {
        "command": command.command_id,
        "actor": str(command.actor.kind),
        "workflow": command.workflow_run_id,
    }
    for rule, set_at in rules.items():
        conditions: dict[str, str] = orjson.loads(rule)
        if "command" not in conditions and queued_at_ms > int(set_at):
            continue
        if all(facts[name] == value for name, value in conditions.items()):
            return True
    return False
