"""Connections of the listener: bounded in number, in the bytes of a head, and in the time that a head may take."""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import Any

from aiohttp import web

from shared.runtime.settings import HttpSettings

KEEP_ALIVE_SECONDS = 75.0  # longer than the load balancers in front of us: they close, not we
MAX_LINE = 8190  # bytes of a request line, and of one header
MAX_HEADERS = 64
MAX_HEAD = 32 * 1024  # bytes of all of them
# What the kernel holds for a connection, and with that the most that one read brings.
RECEIVE_BUFFER = 64 * 1024
READ_AHEAD = 16 * 1024  # bytes of a body that are read before anybody has asked for them
LINGER_SECONDS = 2.0  # what is still coming after an early answer is read and thrown away for so long
MOST_PIPELINED = 2  # requests behind the one that is being answered; no provider and no proxy does that
OTHER_FILES = 256  # descriptors that are not connections of the listener
_END_OF_HEAD = b"\r\n\r\n"


class Connections:
    """All connections of the listener. Beyond `most`, the one that has kept us waiting longest makes way.

    Those that have brought something genuine make way last: a load balancer's connections outlive any number of others.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._most = min(settings.max_connections, _descriptors(settings.max_connections))
        self.head_timeout = settings.head_timeout
        self._open: set[Connection] = set()
        # Whose turn it is, the longest first.
        self._strangers: dict[Connection, None] = {}
        self._proven: dict[Connection, None] = {}
        self._made_way = 0

    def made_way(self) -> int:
        """How many were closed since this was asked last, because there were too many."""
        closed, self._made_way = self._made_way, 0
        return closed

    def opened(self, connection: Connection) -> None:
        if len(self._open) >= self._most:
            self._made_way += 1
            longest = next(iter(self._strangers or self._proven), None)
            if longest is None:  # all others have asked and wait for us
                connection.force_close()
                return
            longest.force_close()
            self.closed(longest)
        self._open.add(connection)
        self.waits_for(connection)

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        self.was_asked(connection)

    def waits_for(self, connection: Connection) -> None:
        """It is the client's turn."""
        if connection in self._open:
            (self._proven if connection.proven else self._strangers)[connection] = None

    def was_asked(self, connection: Connection) -> None:
        """It is our turn."""
        self._strangers.pop(connection, None)
        self._proven.pop(connection, None)


class Connection(web.RequestHandler):
    """One connection: aiohttp's, with an eye on how it is used."""

    __slots__ = ("_before", "_head_size", "_in_head", "_late", "_others", "proven")

    def __init__(self, manager: web.Server, others: Connections, **options: Any) -> None:
        super().__init__(manager, **options)
        self._others = others
        self.proven = False  # has brought something genuine
        self._in_head = True
        self._head_size = 0
        self._before = b""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()
        self._others.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unwatch()
        self._others.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and data:
            self._scan(data)
        super().data_received(data)
        if len(self._messages) > MOST_PIPELINED:
            self.force_close()

    def has_asked(self) -> None:
        """The request is here with its body: it is our turn."""
        self._others.was_asked(self)

    async def finish_response(self, request: Any, resp: Any, start_time: float | None) -> Any:
        if not request.content.is_eof():
            resp.force_close()  # the rest of a body that nobody wanted
            if "Transfer-Encoding" in request.headers:
                self._lingering_time = 0.0  # tiny chunks cost as much to throw away as to read
        answered = await super().finish_response(request, resp, start_time)
        if request.content.is_eof() and not self._messages:
            self._in_head, self._head_size, self._before = True, 0, b""
            self._others.waits_for(self)
        return answered

    def _scan(self, data: bytes) -> None:
        """Find the end of the head; while it is not there, the head is measured and the clock ticks."""
        seen = self._before + data if self._before else data
        end = seen.find(_END_OF_HEAD)
        self._head_size += len(data) if end < 0 else end
        if self._head_size > MAX_HEAD:
            self.force_close()
        elif end < 0:
            self._before = seen[-3:]
            if self._late is None:
                self._watch()
        else:
            self._in_head = False
            self._unwatch()

    def _watch(self) -> None:
        self._late = asyncio.get_running_loop().call_later(self._others.head_timeout, self.force_close)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


async def listen(runner: web.AppRunner, settings: HttpSettings, others: Connections) -> asyncio.Server:
    """Listen with the runner's application. Raises OSError when the address cannot be had."""
    manager = runner.server
    assert manager is not None
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        return Connection(
            manager,
            others,
            loop=loop,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_AHEAD,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,  # nothing is unpacked before it is proven
        )

    server = await loop.create_server(connection, settings.host, settings.port, backlog=1024, start_serving=False)
    for listening in server.sockets:  # accepted connections inherit it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    await server.start_serving()
    return server


def _descriptors(wanted: int) -> int:
    """How many connections there are descriptors for, after asking the system for enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(soft - OTHER_FILES, 16)
