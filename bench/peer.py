"""A provider without latency or opinions: answers every call at once. `python -m bench.peer CHANNEL --port N`.

The simulators check what they are sent and would be what is measured; this one costs a few microseconds a call.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

from bench.channels import NAMES, Profile, profile


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length bodies: all that an API client sends."""

    _numbers = iter(range(1, 2**62))

    def __init__(self, of: Profile) -> None:
        self._profile = of
        self._buffer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            total = end + 4 + _content_length(head)
            if len(self._buffer) < total:
                return
            content, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            path = head.split(b" ", 2)[1].decode()
            body = self._profile.answer(path, content, next(self._numbers))
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return 0 if at < 0 else int(lower[at + 17 :].split(b"\r\n", 1)[0])


async def _serve(of: Profile, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(of), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("channel", choices=NAMES)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvloop.run(_serve(profile(given.channel), given.port))
