"""The load generator, a process of its own: webhooks over keep-alive connections, as fast as answered or at a rate.

`python -m bench.load CHANNEL --url http://127.0.0.1:8080 --seconds 5 --connections 64 [--rate 1000]` prints one JSON
object: `began` (monotonic clock), `answered`, `refused`, `seconds`, and `p50`, `p99`, `worst` in milliseconds. At a
rate, request i is due at `began + i / rate`, and its time runs from then, not from when a connection was free: a
server that stalls cannot hide it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.channels import NAMES, Profile, profile

PREPARED = 20_000
CONVERSATIONS = 1_000
PATIENCE = 10.0


def requests(of: Profile, host: str, first: int, count: int) -> list[bytes]:
    """Whole requests of the messages from `first` on, made before the clock starts."""
    made = []
    for number in range(first, first + count):
        hook = of.webhook(number, CONVERSATIONS)
        headers = "".join(f"{name}: {value}\r\n" for name, value in hook.headers.items())
        head = (
            f"POST {hook.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(hook.body)}\r\n{headers}\r\n"
        )
        made.append(head.encode() + hook.body)
    return made


class _Load:
    """What all connections share: the next request, the free connections, the times."""

    def __init__(self, prepared: list[bytes], *, closed: bool) -> None:
        self._prepared = prepared
        self._closed = closed
        self._next = 0
        self.idle: deque[_Connection] = deque()
        self.due: deque[tuple[int, float]] = deque()
        self.took: list[float] = []
        self.refused = 0
        self.ending = False

    def request(self, number: int) -> bytes:
        return self._prepared[number % len(self._prepared)]

    def free(self, connection: _Connection) -> None:
        if self._closed:
            if not self.ending:
                self._next += 1
                connection.send(self.request(self._next), time.monotonic())
        elif self.due:
            number, at = self.due.popleft()
            connection.send(self.request(number), at)
        else:
            self.idle.append(connection)

    def put(self, number: int, at: float) -> None:
        """A request is due."""
        if self.idle:
            self.idle.pop().send(self.request(number), at)
        else:
            self.due.append((number, at))


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._began = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, request: bytes, began: float) -> None:
        self._began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        # The answers have no body, or one that comes with the head: a segment is an answer.
        self._load.took.append(time.monotonic() - self._began)
        if not data.startswith(b"HTTP/1.1 200"):
            self._load.refused += 1
        self._load.free(self)


async def _drive(load: _Load, seconds: float, rate: float | None, numbers: Iterator[int]) -> float:
    """Run the load; returns the seconds from the first request to the last answer."""
    began = time.monotonic()
    if rate is None:
        for connection in list(load.idle):
            load.free(connection)
        await asyncio.sleep(seconds)
        load.ending = True
        return time.monotonic() - began
    put = 0
    while (elapsed := time.monotonic() - began) < seconds:
        for _ in range(int(elapsed * rate) - put):
            load.put(next(numbers), began + put / rate)
            put += 1
        await asyncio.sleep(0.001)
    while len(load.took) < put and time.monotonic() - began < seconds + PATIENCE:
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def _run(given: argparse.Namespace) -> bytes:
    address = urlsplit(given.url)
    count = PREPARED if given.rate is None else int(given.rate * given.seconds) + 1
    prepared = requests(profile(given.channel), address.netloc, given.first, count)
    load = _Load(prepared, closed=given.rate is None)
    loop = asyncio.get_running_loop()
    for _ in range(given.connections):
        _, connection = await loop.create_connection(lambda: _Connection(load), address.hostname, address.port)
        load.idle.append(connection)
    began = time.monotonic()
    seconds = await _drive(load, given.seconds, given.rate, iter(range(count)))
    took = sorted(load.took)
    return orjson.dumps(
        {
            "began": began,
            "answered": len(took) - load.refused,
            "refused": load.refused,
            "seconds": seconds,
            "p50": took[len(took) // 2] * 1000,
            "p99": took[int(len(took) * 0.99)] * 1000,
            "worst": took[-1] * 1000,
        }
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("channel", choices=NAMES)
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, help="requests per second; without it as fast as they are answered")
    parser.add_argument("--first", type=int, default=0, help="number of the first message")
    return parser.parse_args()


if __name__ == "__main__":
    print(uvloop.run(_run(_arguments())).decode())
