"""Connections to mail servers, kept for the next mail: a few per account, each for some mails and some minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from services.email.api import errors
from services.email.api.session import Session
from services.email.settings import Settings
from shared.channel import Account, ProviderError

_SWEEP_SECONDS = 15.0


@dataclass(slots=True)
class _Line:
    """The connections of one account, as it is described now: with another password it gets others."""

    described: str
    places: asyncio.Semaphore
    idle: list[Session] = field(default_factory=list)
    users: int = 0


class Pool:
    """`open_session` connects and logs in."""

    def __init__(self, settings: Settings, open_session: Callable[[Account], Awaitable[Session]]) -> None:
        self._settings = settings
        self._open = open_session
        self._lines: dict[str, _Line] = {}  # of accounts with a connection, or a user
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to close what nobody needs any more."""
        self._sweeper = asyncio.create_task(self._sweep(), name="email-connections")

    async def stop(self) -> None:
        """Close every connection that is not in use; those in use are closed by their users."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        lines, self._lines = self._lines, {}
        await asyncio.gather(*(session.close() for line in lines.values() for session in line.idle))

    @asynccontextmanager
    async def session(self, account: Account, *, fresh: bool = False) -> AsyncIterator[Session]:
        """A connection for one mail; `fresh`: a new one. Raises ProviderError where none can be had."""
        line = self._line(account)
        line.users += 1
        try:
            try:
                await asyncio.wait_for(line.places.acquire(), self._settings.connect_timeout)
            except TimeoutError:
                raise ProviderError(errors.busy()) from None
            try:
                session = None if fresh else await self._idle(line)
                session = session or await self._open(account)
                try:
                    yield session
                except ProviderError:
                    raise
                except BaseException:  # in the middle of something
                    session.abort()
                    raise
                finally:
                    self._give_back(account.account_id, line, session)
            finally:
                line.places.release()
        finally:
            line.users -= 1

    def _line(self, account: Account) -> _Line:
        described = f"{account.record.external_id} {account.record.settings!r} {sorted(account.credentials.items())!r}"
        line = self._lines.get(account.account_id)
        if line is None or line.described != described:
            if line is not None:
                for session in line.idle:
                    session.abort()
            line = _Line(described, asyncio.Semaphore(self._settings.connections))
            self._lines[account.account_id] = line
        return line

    async def _idle(self, line: _Line) -> Session | None:
        """The connection used last, if it still works."""
        while line.idle:
            session = line.idle.pop()
            if self._is_over(session):
                await session.close()
            elif asyncio.get_running_loop().time() - session.used < self._settings.idle_check or await session.check():
                return session
        return None

    def _give_back(self, account_id: str, line: _Line, session: Session) -> None:
        if session.usable and not self._is_over(session) and self._lines.get(account_id) is line:
            line.idle.append(session)
        else:
            session.abort()

    def _is_over(self, session: Session) -> bool:
        lived = asyncio.get_running_loop().time() - session.opened
        return not session.usable or (
            session.mails >= self._settings.mails_per_connection or lived >= self._settings.connection_lifetime
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for account_id, line in list(self._lines.items()):
                over = [session for session in line.idle if self._is_over(session)]
                line.idle = [session for session in line.idle if session not in over]
                for session in over:
                    with suppress(OSError):
                        await session.close()
                if not line.idle and not line.users and self._lines.get(account_id) is line:
                    del self._lines[account_id]
