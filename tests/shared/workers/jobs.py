"""What the tests let workers do: good, slow, greedy and deadly jobs."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def echo(payload: bytes) -> bytes:
    return payload


def pid(payload: bytes) -> bytes:
    return str(os.getpid()).encode()


def sleep(payload: bytes) -> bytes:
    time.sleep(float(payload))
    return b"slept"


def hang_in_c(payload: bytes) -> bytes:
    """In C code that holds the interpreter's lock: nothing in this process can interrupt it."""
    libc = ctypes.PyDLL(None)
    while True:
        libc.pause()


def spin(payload: bytes) -> bytes:
    while True:
        pass


def eat(payload: bytes) -> bytes:
    return str(len(bytearray(int(payload)))).encode()


def die(payload: bytes) -> bytes:
    os.kill(os.getpid(), int(payload))
    signal.pause()
    return b""


def die_once(payload: bytes) -> bytes:
    """Killed from outside the first time: the payload names a file that remembers."""
    mark = Path(payload.decode())
    if mark.exists():
        return b"done"
    mark.touch()
    return die(b"9")


def raise_secret(payload: bytes) -> bytes:
    raise LookupError(payload.decode())


def print_much(payload: bytes) -> bytes:
    print("noise " * 100_000)
    print("noise " * 100_000, file=sys.stderr)
    return b"quiet"


def write_file(payload: bytes) -> bytes:
    path, size = json.loads(payload)
    Path(path).write_bytes(bytes(size))
    return b"written"


def environment(payload: bytes) -> bytes:
    return json.dumps(dict(os.environ)).encode()


def parents_environment(payload: bytes) -> bytes:
    return Path(f"/proc/{os.getppid()}/environ").read_bytes()


def connect(payload: bytes) -> bytes:
    socket.create_connection(("127.0.0.1", int(payload)), timeout=2).close()
    return b"connected"


_KEPT: list[bytes] = []


def keep(payload: bytes) -> bytes:
    """Hold on to memory that has been touched."""
    _KEPT.append(b"x" * int(payload))
    return b"kept"
