"""What people write, on its way to the accounts' mail server: each one's in order, and again until it is taken."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import NamedTuple

import aiosmtplib

from sandbox.simulators.common import Clock

from .world import Options

MAX_WAITING = 10_000
TIMEOUT = 30.0


class Letter(NamedTuple):
    sender: str
    recipient: str
    raw: bytes


class Attempt(NamedTuple):
    at: float
    recipient: str
    status: int  # of SMTP; 0: no answer
    said: str


class Delivery:
    """A queue per sender; `options.deliver_to` says where to, and may change."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._queues: dict[str, deque[Letter]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self.attempts: deque[Attempt] = deque(maxlen=1_000)
        self.totals: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def post(self, letter: Letter) -> None:
        """Deliver it soon. Raises ValueError where too many wait already."""
        if self.waiting >= MAX_WAITING:
            raise ValueError(f"{MAX_WAITING} mails wait to be delivered already")
        self._queues.setdefault(letter.sender, deque()).append(letter)
        worker = self._workers.get(letter.sender)
        if worker is None or worker.done():
            self._workers[letter.sender] = asyncio.create_task(self._work(letter.sender))

    async def stop(self) -> None:
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        self._queues.clear()

    async def _work(self, sender: str) -> None:
        queue = self._queues[sender]
        while queue:
            attempt = await self._attempt(queue[0])
            self.attempts.append(attempt)
            if 200 <= attempt.status < 300 or attempt.status >= 500:  # a refusal for good would come back as a bounce
                self.totals["delivered" if attempt.status < 300 else "refused"] += 1
                queue.popleft()
            else:
                self.totals["deferred"] += 1
                await self._clock.sleep(self._options.retry_seconds)
        del self._queues[sender]

    async def _attempt(self, letter: Letter) -> Attempt:
        host, _, port = self._options.deliver_to.rpartition(":")
        status, said = 0, ""
        try:
            async with aiosmtplib.SMTP(
                hostname=host or "127.0.0.1", port=int(port or 0), timeout=TIMEOUT, start_tls=False,
                local_hostname="mx.people.example",
            ) as client:  # fmt: skip
                _, said = await client.sendmail(letter.sender, [letter.recipient], letter.raw)
                status = 250
        except aiosmtplib.SMTPRecipientsRefused as refused:
            status, said = refused.recipients[0].code, refused.recipients[0].message
        except aiosmtplib.SMTPResponseException as refused:
            status, said = refused.code, refused.message
        except (aiosmtplib.SMTPException, OSError, ValueError) as broken:
            said = type(broken).__name__
        return Attempt(self._clock.now(), letter.recipient, status, said[:200])
