"""The connection to Valkey: calls made in the same moment share one round trip; an outage is one clear error."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import libvalkey
from valkey.asyncio import Connection, Valkey, ValkeyCluster
from valkey.exceptions import DataError, NoScriptError, ResponseError

_MAX_BATCH = 256


class StateUnavailable(Exception):
    """Valkey did not answer in time. Nothing is known about what it did."""


class _Unsendable(Exception):
    """The arguments of a call are none that can be sent: its caller's bug."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class _Waiting(NamedTuple):
    """A call and its answer to come; `script` is the text behind a hash that the server may not know."""

    arguments: tuple[Any, ...]
    answer: asyncio.Future[Any]
    script: str | None


class _Connection(Connection):
    """Packs pipelines in C, which valkey-py itself does for blocking connections only."""

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join([libvalkey.pack_command(tuple(command)) for command in commands])]


class Client:
    """Commands and scripts on one Valkey or Valkey Cluster.

    While one round trip is under way, calls gather for the next: a busy process sends few, large batches and an
    idle one pays no delay. At most `max_waiting` calls gather; more are refused as StateUnavailable.
    """

    def __init__(self, url: str, *, cluster: bool = False, timeout: float = 2.0, max_waiting: int = 20_000) -> None:
        """`url` as in `valkey://host:6379/0`; `timeout` in seconds for connecting and for a round trip."""
        # No timeout per answer: one for the whole round trip costs less and says the same.
        options: dict[str, Any] = {
            "socket_connect_timeout": timeout,
            "socket_timeout": None,
            "connection_class": _Connection,
            "decode_responses": True,
        }
        self._timeout = timeout
        self._connection: Any = (ValkeyCluster if cluster else Valkey).from_url(url, **options)
        self._waiting: deque[_Waiting] = deque()
        self._max_waiting = max_waiting
        self._sender: asyncio.Task[None] | None = None
        self._hashes: dict[str, str] = {}

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender
        await self._connection.aclose()

    async def reachable(self) -> bool:
        try:
            await self.call("PING")
        except StateUnavailable:
            return False
        return True

    def call(self, *arguments: Any) -> asyncio.Future[Any]:
        """One command; awaiting its answer raises StateUnavailable."""
        return self._put(arguments, None)

    def script(self, text: str, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any]:
        """One script by its hash; it is loaded where it is not known. Awaiting its answer raises StateUnavailable."""
        sha = self._hashes.get(text)
        if sha is None:
            sha = self._hashes[text] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return self._put(("EVALSHA", sha, len(keys), *keys, *arguments), text)

    def _put(self, arguments: tuple[Any, ...], script: str | None) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._max_waiting:
            answer.set_exception(StateUnavailable("too many calls are waiting"))
            return answer
        self._waiting.append(_Waiting(arguments, answer, script))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="state-sender")
        return answer

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
            for waiting, answer in zip(batch, await self._round_trip(batch), strict=True):
                if waiting.script is not None and isinstance(answer, NoScriptError):
                    whole = ("EVAL", waiting.script, *waiting.arguments[2:])
                    self._waiting.appendleft(_Waiting(whole, waiting.answer, None))
                else:
                    _settle(waiting.answer, answer)

    async def _round_trip(self, batch: Sequence[_Waiting]) -> Sequence[Any]:
        try:
            pipeline = self._connection.pipeline(transaction=False)
            for waiting in batch:
                pipeline.execute_command(*waiting.arguments)
            async with asyncio.timeout(self._timeout):
                answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except (DataError, TypeError, UnicodeEncodeError) as unsendable:  # nothing has been sent, for one call's sake
            if len(batch) == 1:
                return [_Unsendable(unsendable)]
            return [answer for waiting in batch for answer in await self._round_trip([waiting])]
        except Exception as failure:  # whatever it was, nobody may wait for ever
            return [StateUnavailable(type(failure).__name__)] * len(batch)
        return answers


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if not isinstance(answer, Exception):
        future.set_result(answer)
    elif isinstance(answer, _Unsendable):
        future.set_exception(answer.cause)
    elif isinstance(answer, StateUnavailable) or (isinstance(answer, ResponseError) and _is_ours(answer)):
        future.set_exception(answer)
    else:
        future.set_exception(StateUnavailable(type(answer).__name__))


def _is_ours(answer: ResponseError) -> bool:
    """Whether an error answer is about the call, and not about the server's state."""
    return not str(answer).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "TRYAGAIN", "OOM"))
