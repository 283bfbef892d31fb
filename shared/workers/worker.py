"""One worker process: jobs come over standard input, one after the other, answers go out over standard output.

A job is the name of a function of ours (`module:function`, bytes to bytes), its limits and its payload. The answer is
`BEGUN` as soon as the payload is here and the module imported, then how it ended, then its bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from shared.workers.confined import confine, limit, pages, unlimit

REQUEST = struct.Struct(">II")  # length of the JSON that names the job, length of the payload
ANSWER = struct.Struct(">BI")  # how it ended, length of the answer
BEGUN = b"\x01"
DONE, RAISED, OUT_OF_MEMORY = 0, 1, 2
LAST = 0x80  # added to how it ended: the worker ends itself after this answer
MOST_JOBS = 2000  # per worker: whatever libraries leak goes with it, and starting one costs as much as 100 small mails
MOST_RESIDENT = 200 * 1024 * 1024


def main() -> None:
    """Serve jobs until the parent closes the pipe."""
    confine(int(sys.argv[1]))
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # libraries print
    for served in range(1, MOST_JOBS + 1):
        request = jobs.read(REQUEST.size)
        if len(request) < REQUEST.size:
            return
        named, size = REQUEST.unpack(request)
        job, payload = json.loads(jobs.read(named)), jobs.read(size)
        ended, answer = _run(job, payload, answers)
        last = served == MOST_JOBS or ended == OUT_OF_MEMORY or pages()[1] > MOST_RESIDENT
        answers.write(ANSWER.pack(ended | (LAST if last else 0), len(answer)))
        answers.write(answer)
        answers.flush()
        if last:
            return


def _run(job: dict[str, Any], payload: bytes, answers: BinaryIO) -> tuple[int, bytes]:
    """How a job ended, and its answer: the name of the exception's type, never its words, where it raised one."""
    module, _, name = job["call"].partition(":")
    function: Callable[[bytes], bytes] = getattr(importlib.import_module(module), name)
    answers.write(BEGUN)
    answers.flush()
    try:
        limit(memory=job["memory"], seconds=job["deadline"])
        return DONE, function(payload)
    except MemoryError:
        return OUT_OF_MEMORY, b""
    except Exception as failed:
        return RAISED, type(failed).__name__.encode()
    finally:
        unlimit()


if __name__ == "__main__":
    main()
