"""Cancelling: which queued commands a `message.cancel` stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.contract.commands import Command, MessageCancel


def rules_of(cancel: MessageCancel) -> Iterator[str]:
    """The one rule of a cancel command: all its given conditions together. Nothing for an empty one."""
    conditions = []
    if cancel.cancel_command_id:
        conditions.append(f"command={cancel.cancel_command_id}")
    if cancel.cancel_actor_kind:
        conditions.append(f"actor={cancel.cancel_actor_kind}")
    if cancel.cancel_workflow_run_id:
        conditions.append(f"workflow={cancel.cancel_workflow_run_id}")
    if conditions or cancel.cancel_conversation:
        yield "&".join(conditions) or "all"


def is_cancelled(command: Command, rules: Mapping[str, str], queued_at_ms: int) -> bool:
    """Whether a rule set after the command was queued covers it (values are Unix milliseconds).

    A rule that names the command covers it even if it overtook it.
    """
    facts = {
        f"command={command.command_id}",
        f"actor={command.actor.kind}",
        f"workflow={command.workflow_run_id}",
    }
    for rule, set_at in rules.items():
        conditions = set() if rule == "all" else set(rule.split("&"))
        named = any(condition.startswith("command=") for condition in conditions)
        if conditions <= facts and (named or queued_at_ms <= int(set_at)):
            return True
    return False
