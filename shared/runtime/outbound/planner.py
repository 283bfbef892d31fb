"""The calls of a command, from all that is known of it: deliver makes them, preflight shows them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from shared.channel import Account, Call, Channel
from shared.contract.commands import Command, CommandType
from shared.contract.statuses import Warning
from shared.policy.conversation import Conversation
from shared.runtime.outbound.planning import plan
from shared.runtime.outbound.prepare import Prepared, context_for, noted, referred, resolve_target, target_of
from shared.runtime.reporting.threads import Threads
from shared.state.store import Opened, Store

FilesOf = Callable[[Account, Command], Awaitable[tuple[Prepared, ...]]]


class Planner:
    """Resolves what a command points at, prepares its files, and asks the channel for its calls."""

    def __init__(self, channel: Channel, store: Store) -> None:
        self._channel = channel
        self._store = store
        self._threads = Threads(store)

    async def calls(
        self,
        account: Account,
        kind: CommandType,
        command: Command,
        *,
        conversation_id: str,
        opened: Opened,
        conversation: Conversation,
        files_of: FilesOf,
        size: int,
    ) -> Sequence[Call]:
        """The calls of a command of `size` bytes in the conversation that was opened for it.

        Raises Refused, StateUnavailable, BlobsUnavailable, and what `files_of` raises.
        """
        target = target_of(command)
        known = await referred(self._store, conversation_id, target, opened)
        reference, warnings = resolve_target(command, target, known)
        prepared = await files_of(account, command)
        named = reference.provider_message_id if reference else None
        thread = await self._threads.note(conversation_id, named, opened.conversation)
        context = context_for(account, conversation, reference, tuple(file for file, _ in prepared), thread)
        calls = noted(await plan(self._channel, kind, command, context, size), prepared, warnings)
        return [replace(call, warnings=_once(call.warnings)) if len(call.warnings) > 1 else call for call in calls]


def _once(warnings: Sequence[Warning]) -> tuple[Warning, ...]:
    """Each warning once: the runtime and the channel may both see that a reply goes without its reference."""
    return tuple({(warning.code, warning.field): warning for warning in reversed(warnings)}.values())[::-1]
