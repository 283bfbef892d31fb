"""Answers that a provider expects soon after an event (a callback query): made once, best effort, bounded."""

from __future__ import annotations

import asyncio

import structlog

from shared.channel import Account, Channel, Event, ProviderError
from shared.runtime import metrics
from shared.runtime.outbound.files import NoFiles

log = structlog.get_logger()

_MOST = 256
CLOSE_SECONDS = 5.0


class Answers:
    """Makes `Event.answer` calls beside the handling of events, so that nothing waits for them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._tasks: set[asyncio.Task[None]] = set()

    def make(self, account: Account, event: Event) -> None:
        """Begin to answer. Beyond a few hundred under way the answer is left out: the contact sees a spinner."""
        if event.answer is None or len(self._tasks) >= _MOST:
            return
        task = asyncio.create_task(self._answer(account, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, account: Account, event: Event) -> None:
        assert event.answer is not None
        outcome = "ok"
        try:
            await self._channel.perform(event.answer, account, NoFiles())
        except ProviderError as refused:
            outcome = str(refused.failure.code)
        except Exception as bug:  # an answer must never hurt anything else
            outcome = "internal"
            log.error("answer_failed", channel=self._name, exc_info=bug)
        metrics.PROVIDER_CALLS.labels(self._name, event.answer.method, outcome).inc()

    async def close(self) -> None:
        """Wait for those under way, `CLOSE_SECONDS` at most."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
