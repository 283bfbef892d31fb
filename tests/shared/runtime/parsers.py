"""A parser for workers, and payloads that are too much for it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path


def parse(raw: bytes) -> bytes:
    """A payload is JSON; `does` says what its parser does before it ends, and `once` where it leaves a mark of it."""
    read = json.loads(raw)
    does, mark = read.pop("does", ""), Path(read.pop("once", "/nowhere/at/all"))
    if mark.exists():
        does = ""
    elif mark.parent.is_dir():
        mark.touch()
    if does == "hang":
        time.sleep(60)
    elif does == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif does == "eat":
        bytearray(4 * 1024**3)
    elif does == "raise":
        raise RuntimeError("a bug in the parser")
    return json.dumps({**read, "text": f"parsed {read.get('text', '')}"}).encode()
