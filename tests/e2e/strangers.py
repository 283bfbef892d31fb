"""Strangers at the door, as a process of their own: `python -m tests.e2e.strangers PORT SECONDS SCALE PATH [KIND…]`.

They prove nothing and send as much, as slowly and as badly as they can; what they were answered is printed at the end.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import uvloop

HOST = "127.0.0.1"
BODY = os.urandom(4 * 1024 * 1024)
BOMB = gzip.compress(bytes(400 * 1024 * 1024), 9)
TINY = b"1\r\nx\r\n" * 100_000
# How many of each kind, at scale 1.
KINDS = {
    "large": 300,
    "bomb": 50,
    "slow_head": 200,
    "slow_body": 300,
    "tiny_chunks": 20,
    "pipelined": 20,
    "idle": 10_000,
}

answers: Counter[str] = Counter()
Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


def head(path: bytes, *headers: bytes) -> bytes:
    return b"".join((b"POST ", path, b" HTTP/1.1\r\nHost: x\r\n", *(line + b"\r\n" for line in headers), b"\r\n"))


async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write(head(path, b"Content-Length: %d" % len(BODY)) + BODY)
    await writer.drain()


async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write(head(path, b"Content-Length: %d" % len(BOMB), b"Content-Encoding: gzip") + BOMB)
    await writer.drain()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    await _trickle(writer, head(path, b"x: y") * 100)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write(head(path, b"Content-Length: %d" % len(BODY)))
    await _trickle(writer, BODY)


async def tiny_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write(head(path, b"Transfer-Encoding: chunked") + TINY)
    await writer.drain()


async def pipelined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write((head(path, b"Content-Length: 10000") + BODY[:10000]) * 100)
    await writer.drain()


async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    """Nothing is asked."""


async def _trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    for at in range(len(data)):
        writer.write(data[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0.25)


async def come_again(name: str, port: int, path: bytes) -> None:
    """One stranger: when it is sent away, it comes again."""
    visit: Visit = globals()[name]
    while True:
        said = "closed"
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            answers[f"{name} refused"] += 1
            await asyncio.sleep(0.5)
            continue
        listening = asyncio.ensure_future(reader.readline())
        visiting = asyncio.ensure_future(visit(reader, writer, path))
        await asyncio.wait([visiting, listening], return_when="FIRST_COMPLETED")
        with suppress(OSError):
            said = (await listening).partition(b" ")[2][:3].decode() or said
        visiting.cancel()
        await asyncio.gather(visiting, return_exceptions=True)  # how a stranger is sent away is no matter
        answers[f"{name} {said}"] += 1
        writer.close()
        await asyncio.sleep(10.0 if name == "idle" else 0.1)


async def attack(port: int, seconds: float, scale: float, path: bytes, kinds: list[str]) -> None:
    strangers = []
    for name in kinds or KINDS:
        for _ in range(max(1, int(KINDS[name] * scale))):
            strangers.append(asyncio.ensure_future(come_again(name, port, path)))
            await asyncio.sleep(0.0005)
    await asyncio.sleep(seconds)
    for stranger in strangers:
        stranger.cancel()
    print(json.dumps(answers))


def peak_memory(pid: int) -> int:
    """Bytes of memory that the process has had at most since `forget_peak`."""
    return _status(pid, "VmHWM")


def memory(pid: int) -> int:
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(attack(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4].encode(), sys.argv[5:]))
