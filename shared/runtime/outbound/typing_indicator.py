"""Typing: shown while somebody types, renewed as the channel needs it, never in the way of a message."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, time

import structlog
from cachetools import LRUCache

from shared.channel import Account, Channel, ProviderError, Refused
from shared.contract.commands import Command, CommandRefused, CommandType, Typing
from shared.contract.errors import error
from shared.contract.statuses import Part, State
from shared.policy.conversation import Conversation, from_fields
from shared.policy.judge import judge, unknown_to_channel
from shared.runtime import metrics
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.logs import about
from shared.runtime.outbound.commands import NotACommand, account_refusal, read_command
from shared.runtime.outbound.files import NoFiles
from shared.runtime.outbound.prepare import context_for
from shared.runtime.reporting.statuses import StatusBook
from shared.runtime.waiting.slots import AccountSlots
from shared.state.store import Store
from shared.stream.errors import NotNow
from shared.stream.records import Record

log = structlog.get_logger()

STALE_SECONDS = 5.0
LONGEST_SECONDS = 60.0
MOST_FAILURES = 3
MOST_SESSIONS = 10_000
CLOSE_SECONDS = 1.0


@dataclass(slots=True)
class _Session:
    """Somebody is typing in a conversation, until `until` (monotonic seconds)."""

    until: float
    failures: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Shown:
    """When it was shown (monotonic seconds), and the inbound message it was shown for."""

    at: float
    ref: str | None


class TypingIndicator:
    """Handles `typing.start` and `typing.stop` beside the lanes. Best effort: nothing is tried twice."""

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        store: Store,
        book: StatusBook,
        health: AccountsHealth,
        slots: AccountSlots,
    ) -> None:
        self._channel = channel
        self._rules = channel.capabilities.typing
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._store = store
        self._book = book
        self._health = health
        self._slots = slots
        self._every = self._rules.refresh_every or self._rules.lasts or LONGEST_SECONDS
        self._sessions: dict[str, _Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # one outlives its session while the provider is being called
        self._shown: LRUCache[str, _Shown] = LRUCache(MOST_SESSIONS)  # by conversation

    async def handle(self, record: Record) -> None:
        """One typing command. Never raises for what it says."""
        about(record)
        if time() - record.timestamp_ms / 1000 > STALE_SECONDS:
            self._drop("stale")
            return
        try:
            kind, command, _, _ = read_command(record)
        except (NotACommand, CommandRefused):
            self._drop("invalid")
            return
        if self._accounts.is_sealed(command.account_id):
            self._drop("account_sealed")
            return
        account = self._accounts.get(command.account_id)
        if (
            not isinstance(command, Typing)
            or account is None
            or account_refusal(account, command) is not None
            or not (command.conversation_id or "").startswith(f"{self._name}:{command.account_id}:")
        ):
            self._drop("invalid")
            return
        assert command.conversation_id is not None
        if command.audience == "agents":
            self._drop("agents")
        elif kind is CommandType.TYPING_STOP:
            self.stop(command.conversation_id)
        elif (refusal := unknown_to_channel(self._channel.capabilities, kind)) is not None:
            unable = error(refusal.code, refusal.detail, **refusal.facts)
            status = self._book.status(command, command.conversation_id, Part(), State.REJECTED, error=unable)
            await self._book.publish_all([status])
        elif self._health.why_paused(account.account_id) is not None:
            self._drop("account_paused")
        else:
            await self._start(account, command, command.conversation_id)

    def _drop(self, reason: str) -> None:
        metrics.TYPING_DROPPED.labels(self._name, reason).inc()

    async def _start(self, account: Account, command: Typing, conversation_id: str) -> None:
        session = self._sessions.get(conversation_id)
        if session is not None:
            session.until = monotonic() + LONGEST_SECONDS
            return
        if len(self._tasks) >= MOST_SESSIONS:
            self._drop("too_many")
            return
        session = self._sessions[conversation_id] = _Session(monotonic() + LONGEST_SECONDS)
        task = asyncio.create_task(self._keep_showing(account, command, conversation_id, session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def message_sent(self, conversation_id: str) -> None:
        """The contact has got a message: the channel has cleared the indicator, a new one may be shown at once."""
        self.stop(conversation_id)
        shown = self._shown.get(conversation_id)
        if shown is not None:
            shown.at = -math.inf

    def stop(self, conversation_id: str) -> None:
        """Nobody types any more."""
        session = self._sessions.pop(conversation_id, None)
        if session is not None:
            session.until = 0.0
            session.wake.set()

    async def close(self) -> None:
        """End all sessions; provider calls under way have `CLOSE_SECONDS`, then they are cut."""
        for conversation_id in list(self._sessions):
            self.stop(conversation_id)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _keep_showing(self, account: Account, command: Command, conversation_id: str, session: _Session) -> None:
        """Show, and show again every `refresh_every` seconds; once where the channel has no renewal.

        Whoever stops and starts to type at every key is shown no more often than who types on.
        """
        try:
            while monotonic() < session.until:
                shown = self._shown.get(conversation_id)
                wait = 0.0 if shown is None else shown.at + self._every - monotonic()
                if wait <= 0:
                    await self._show(account, command, conversation_id, session)
                    wait = self._every
                if session.failures >= MOST_FAILURES:
                    return
                try:
                    async with asyncio.timeout(wait):
                        await session.wake.wait()
                    return
                except TimeoutError:
                    if self._rules.refresh_every is None:
                        return
        except Exception as failure:  # typing must never hurt anything else
            log.warning("typing_failed", channel=self._name, exc_info=failure)
        finally:
            if self._sessions.get(conversation_id) is session:
                del self._sessions[conversation_id]

    async def _show(self, account: Account, command: Command, conversation_id: str, session: _Session) -> None:
        opened = await self._store.open(conversation_id, command.command_id)
        conversation = from_fields(opened.conversation, opened.quota_used)
        if not self._may_show(command, conversation_id, conversation):
            session.failures = MOST_FAILURES
            return
        try:
            for call in self._channel.plan(
                CommandType.TYPING_START, command, context_for(account, conversation, None, ())
            ):
                with self._slots.taken(account.account_id):
                    await self._channel.perform(call, account, NoFiles())
        except NotNow:
            self._drop("busy")
        except Refused:
            self._drop("refused")
            session.failures = MOST_FAILURES
        except ProviderError as failure:
            session.failures += 1
            if failure.failure.retry_after is not None or failure.failure.health is not None:
                session.failures = MOST_FAILURES
            self._drop("provider")

    def _may_show(self, command: Command, conversation_id: str, conversation: Conversation) -> bool:
        refusal = judge(self._channel.capabilities, CommandType.TYPING_START, command, conversation, datetime.now(UTC))
        if refusal is not None:
            self._drop(str(refusal.code))
            return False
        if self._rules.needs_inbound:
            shown = self._shown.get(conversation_id)
            if conversation.last_ref is None:
                self._drop("no_inbound")
                return False
            if self._rules.refresh_every is None and shown is not None and shown.ref == conversation.last_ref:
                self._drop("shown")
                return False
        self._shown[conversation_id] = _Shown(monotonic(), conversation.last_ref)
        return True
