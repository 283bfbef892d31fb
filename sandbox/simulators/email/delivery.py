"""What people write, on its way to the accounts' mail server: each one's in order, and again until it is taken."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import NamedTuple

import aiohttp
import aiosmtplib

from sandbox.simulators.common import Clock

from .world import Account, Options

MAX_WAITING = 10_000
TIMEOUT = 30.0


class Letter(NamedTuple):
    sender: str
    recipient: str
    raw: bytes
    account: Account


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
        self._http: aiohttp.ClientSession | None = None

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
        if self._http is not None:
            await self._http.close()
            self._http = None

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
        by_http = self._options.deliver_to.startswith(("http://", "https://"))
        status, said = await (self._post if by_http else self._hand_over)(letter)
        return Attempt(self._clock.now(), letter.recipient, status, said[:200])

    async def _hand_over(self, letter: Letter) -> tuple[int, str]:
        """By SMTP: the reply."""
        host, _, port = self._options.deliver_to.rpartition(":")
        try:
            async with aiosmtplib.SMTP(
                hostname=host or "127.0.0.1",
                port=int(port or 0),
                timeout=TIMEOUT,
                start_tls=False,
                local_hostname="mx.people.example",
            ) as client:
                return 250, (await client.sendmail(letter.sender, [letter.recipient], letter.raw))[1]
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return refused.recipients[0].code, refused.recipients[0].message
        except aiosmtplib.SMTPResponseException as refused:
            return refused.code, refused.message
        except (aiosmtplib.SMTPException, OSError, ValueError) as broken:
            return 0, type(broken).__name__

    async def _post(self, letter: Letter) -> tuple[int, str]:
        """By HTTP: the status, one of 4xx counted as trouble that passes, but for a mail that is none."""
        url = f"{self._options.deliver_to}/{letter.account.route}"
        headers = {"Authorization": f"Bearer {letter.account.secret}", "Content-Type": "message/rfc822"}
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        try:
            async with self._http.post(url, data=letter.raw, headers=headers) as answer:
                refused = answer.status in (400, 413)
                return (550 if refused else answer.status if answer.ok else 450), f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as broken:
            return 0, type(broken).__name__
