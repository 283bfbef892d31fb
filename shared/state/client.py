"""The connection to Valkey: calls made in the same moment share one round trip; an outage is one clear error."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import randrange
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import libvalkey
from valkey.asyncio import Connection, ConnectionPool, SSLConnection, Valkey, ValkeyCluster
from valkey.asyncio.connection import DefaultParser, parse_url
from valkey.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection
from valkey.exceptions import DataError, NoScriptError, ResponseError

from shared.state import keys
from shared.state.replies import coded, is_ours, kind_of

_MAX_BATCH = 256
_AGAIN_SECONDS = 0.2  # between two questions whether a server that hung answers again
_PROBE_SECONDS = 1.0  # how long such a question waits


class StateUnavailable(Exception):
    """Valkey did not answer in time, or refuses. Nothing is known about what it did; the text is what kind it was."""


class _Unsendable(Exception):
    """The arguments of a call are none that can be sent: its caller's bug."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class _Answer(Protocol):
    """What a call's answer is given to: a future, or its place among the answers of several calls."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class _Waiting(NamedTuple):
    """A call and its answer to come; `script` is the text behind a hash that the server may not know."""

    arguments: tuple[Any, ...]
    answer: _Answer
    script: str | None


class _Together:
    """The answers of several calls, in order, as one future: one that is waited for costs the loop as much as many."""

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.answers: list[Any] = [None] * count
        self.open = count


class _Place:
    """Where one of them goes."""

    __slots__ = ("_index", "_together")

    def __init__(self, together: _Together, index: int) -> None:
        self._together = together
        self._index = index

    def done(self) -> bool:
        return self._together.future.done()

    def set_result(self, result: Any) -> None:
        together = self._together
        together.answers[self._index] = result
        together.open -= 1
        if not together.open:
            together.future.set_result(together.answers)

    def set_exception(self, exception: BaseException) -> None:
        self._together.future.set_exception(exception)


@dataclass(frozen=True, slots=True)
class Tls:
    """How both sides prove themselves where the address is one over TLS; paths of PEM files."""

    ca_file: str | None = None
    """Authorities beside the system's."""
    certificate: str | None = None
    """Ours, with its chain."""
    key: str | None = None
    """Where it is not in the file of the certificate."""

    def options(self) -> dict[str, Any]:
        """The same, in valkey-py's words. The server's name is checked, which valkey-py does not do by itself."""
        return {
            "ssl_ca_certs": self.ca_file,
            "ssl_certfile": self.certificate,
            "ssl_keyfile": self.key or self.certificate,
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who is asked where the primary is, by which name, and with which password."""

    addresses: tuple[tuple[str, int], ...]
    primary: str
    password: str | None = field(default=None, repr=False)


class _Packing:
    """Packs pipelines in C, which valkey-py itself does for blocking connections only."""

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join([libvalkey.pack_command(tuple(command)) for command in commands])]


class _Connection(_Packing, Connection):
    pass


class _TlsConnection(_Packing, SSLConnection):
    pass


class _PrimaryConnection(_Packing, SentinelManagedConnection):
    pass


class _PrimaryTlsConnection(_Packing, SentinelManagedSSLConnection):
    pass


def _is_over_tls(url: str) -> bool:
    return urlsplit(url).scheme in ("valkeys", "rediss")


def _single(url: str, options: dict[str, Any]) -> Valkey:
    chosen: dict[str, Any] = {"connection_class": _Connection, **options, **_parsing(), **parse_url(url)}
    if chosen["connection_class"] is SSLConnection:
        chosen["connection_class"] = _TlsConnection
    return Valkey.from_pool(ConnectionPool(**chosen))


def _sentinel(url: str, sentinels: Sentinels, timeout: float, tls: dict[str, Any]) -> Sentinel:
    """All of them may be asked within one round trip: one that hangs must leave time for the others."""
    patience = timeout / (len(sentinels.addresses) + 1)
    asking = {
        "socket_connect_timeout": patience,
        "socket_timeout": patience,
        "password": sentinels.password,
        "ssl": _is_over_tls(url),
        **tls,
    }
    found: Sentinel = Sentinel(list(sentinels.addresses), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]  # has none
    return found


def _primary(url: str, name: str, sentinel: Sentinel, options: dict[str, Any]) -> Valkey:
    """User, password and database are the address's; its host is not asked."""
    chosen: dict[str, Any] = {**options, **_parsing(), **parse_url(url)}
    chosen["connection_class"] = _PrimaryTlsConnection if _is_over_tls(url) else _PrimaryConnection
    found: Valkey = sentinel.master_for(name, **{key: chosen[key] for key in chosen if key not in ("host", "port")})
    return found


def _parsing(parser: Any = DefaultParser) -> dict[str, Any]:
    return {"parser_class": coded(parser)}


def _cluster(url: str, options: dict[str, Any]) -> Any:
    """It takes no parser, but passes on to its nodes what it has chosen itself."""
    cluster: Any = ValkeyCluster.from_url(url, **options)
    for node in (cluster, *cluster.nodes_manager.startup_nodes.values()):
        node.connection_kwargs |= _parsing(node.connection_kwargs["parser_class"])
    return cluster


class Client:
    """Commands and scripts on one Valkey, one that sentinels know, or a Valkey Cluster.

    While one round trip is under way, calls gather for the next: a busy process sends few, large batches and an
    idle one pays no delay. At most `max_waiting` calls gather; more are refused as StateUnavailable. After a round
    trip that was not answered in time, so is every call at once, until the server answers a PING: nobody waits for
    longer than one round trip.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        tls: Tls | None = None,
        sentinels: Sentinels | None = None,
        timeout: float = 2.0,
        max_waiting: int = 20_000,
        on_failure: Callable[[str], None] = lambda kind: None,
    ) -> None:
        """`url` as in `valkey://host:6379/0`; `timeout` in seconds for connecting and for a round trip. `tls` holds for
        addresses that begin with `valkeys` or `rediss`, of sentinels and of a cluster's other nodes as well.

        `on_failure` is told of every failed call what kind of failure it was; it must be quick.
        """
        # No timeout per answer: one for the whole round trip costs less and says the same.
        options: dict[str, Any] = {
            "socket_connect_timeout": timeout,
            "socket_timeout": None,
            "decode_responses": True,
        }
        proving = (tls or Tls()).options() if _is_over_tls(url) else {}
        options |= proving
        self._timeout = timeout
        self._sentinel: Sentinel | None = None
        self._connection: Any
        if sentinels is not None:
            self._sentinel = _sentinel(url, sentinels, timeout, proving)
            self._connection = _primary(url, sentinels.primary, self._sentinel, options)
        else:
            self._connection = _cluster(url, options) if cluster else _single(url, options)
        self._waiting: deque[_Waiting] = deque()
        self._max_waiting = max_waiting
        self._sender: asyncio.Task[None] | None = None
        self._hashes: dict[str, str] = {}
        self._on_failure = on_failure
        self._probe_key = keys.probe(randrange(keys.PROBES))
        self._hung: asyncio.Task[None] | None = None  # asks until the server answers again

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender
        if self._hung is not None:
            self._hung.cancel()
            await asyncio.gather(self._hung, return_exceptions=True)
        await self._connection.aclose()
        for asked in self._sentinel.sentinels if self._sentinel is not None else ():
            await asked.aclose()

    async def reachable(self) -> bool:
        """Whether the store does what is asked of it: it runs a script that writes, reads and leaves nothing behind."""
        if self._hung is not None:
            await asyncio.wait((self._hung,), timeout=self._timeout)
        try:
            await self.script(keys.PROBE, [self._probe_key], [keys.PROBED.ttl])
        except (StateUnavailable, ResponseError):
            return False
        return True

    def call(self, *arguments: Any) -> asyncio.Future[Any]:
        """One command; awaiting its answer raises StateUnavailable."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put(arguments, answer, None)
        return answer

    def calls(self, calls: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Any]]:
        """Several commands; fails as `scripts` does."""
        return self._put_all(calls, None)

    def script(self, text: str, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any]:
        """One script by its hash; it is loaded where it is not known. Awaiting its answer raises StateUnavailable."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put(("EVALSHA", self._hash(text), len(keys), *keys, *arguments), answer, text)
        return answer

    def scripts(self, text: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> asyncio.Future[list[Any]]:
        """One script with several keys and arguments, not atomic together. Awaiting the answers raises
        StateUnavailable when one of them failed: the others may have been carried out."""
        sha = self._hash(text)
        return self._put_all([("EVALSHA", sha, len(names), *names, *arguments) for names, arguments in calls], text)

    def _hash(self, text: str) -> str:
        sha = self._hashes.get(text)
        if sha is None:
            sha = self._hashes[text] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return sha

    def _put_all(self, calls: Sequence[tuple[Any, ...]], script: str | None) -> asyncio.Future[list[Any]]:
        together = _Together(len(calls))
        if not calls:
            together.future.set_result([])
        for index, arguments in enumerate(calls):
            self._put(arguments, _Place(together, index), script)
        return together.future

    def _put(self, arguments: tuple[Any, ...], answer: _Answer, script: str | None) -> None:
        if self._hung is not None or len(self._waiting) >= self._max_waiting:
            self._settle(answer, StateUnavailable("no answer" if self._hung else "too many calls are waiting"))
            return
        self._waiting.append(_Waiting(arguments, answer, script))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="state-sender")

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
            for waiting, answer in zip(batch, await self._round_trip(batch), strict=True):
                if waiting.script is not None and isinstance(answer, NoScriptError):
                    whole = ("EVAL", waiting.script, *waiting.arguments[2:])
                    self._waiting.appendleft(_Waiting(whole, waiting.answer, None))
                else:
                    self._settle(waiting.answer, answer)
            if self._hung is not None:
                while self._waiting:
                    self._settle(self._waiting.popleft().answer, StateUnavailable("no answer"))

    async def _round_trip(self, batch: Sequence[_Waiting]) -> Sequence[Any]:
        if self._hung is not None:
            return [StateUnavailable("no answer")] * len(batch)
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._answers([waiting.arguments for waiting in batch])
        except (DataError, TypeError, UnicodeEncodeError) as unsendable:  # nothing has been sent, for one call's sake
            if len(batch) == 1:
                return [_Unsendable(unsendable)]
            return [answer for waiting in batch for answer in await self._round_trip([waiting])]
        except TimeoutError:
            if self._hung is None:
                self._hung = asyncio.create_task(self._until_answered(), name="state-probe")
            return [StateUnavailable("no answer")] * len(batch)
        except Exception as failure:  # whatever it was, nobody may wait for ever
            return [StateUnavailable(kind_of(failure))] * len(batch)
        if any(isinstance(answer, ResponseError) and kind_of(answer) == "READONLY" for answer in answers):
            await self._leave()
        return answers

    async def _answers(self, calls: Iterable[tuple[Any, ...]]) -> Sequence[Any]:
        """The answers to a batch of calls, errors among them. Raises what the library raises."""
        pipeline = self._connection.pipeline(transaction=False)
        for arguments in calls:
            pipeline.execute_command(*arguments)
        answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def _until_answered(self) -> None:
        """Ask a server that hung whether it answers again; a refusal is an answer, too: it keeps nobody waiting."""
        while True:
            try:
                async with asyncio.timeout(min(self._timeout, _PROBE_SECONDS)):
                    await self._answers([("PING",)])
            except TimeoutError:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            except Exception as failure:
                self._on_failure(kind_of(failure))
            break
        self._hung = None

    async def _leave(self) -> None:
        """Connect anew: after a failover the name may lead to another server, and this one is a replica now."""
        if isinstance(self._connection, Valkey):
            await self._connection.connection_pool.disconnect(inuse_connections=False)

    def _settle(self, future: _Answer, answer: Any) -> None:
        if isinstance(answer, Exception) and not isinstance(answer, (_Unsendable, StateUnavailable)):
            answer = answer if is_ours(answer) else StateUnavailable(kind_of(answer))
        if isinstance(answer, StateUnavailable):
            self._on_failure(str(answer))
        if future.done():
            return
        if not isinstance(answer, Exception):
            future.set_result(answer)
        else:
            future.set_exception(answer.cause if isinstance(answer, _Unsendable) else answer)
