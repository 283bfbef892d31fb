"""What a worker process does to itself before it reads a byte: it dies with its parent, and has little to reach."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

LARGEST_FILE = 64 * 1024 * 1024
_OPEN_FILES = 64
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def confine(parent: int) -> None:
    """Bind this process to its parent and take from it what no job needs. Ends the process if the parent is gone.

    Where the container lets it, the worker has no network, and cannot read the parent's memory or environment: both
    come with a user namespace of its own.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # if memory is short, a worker goes and not the service
            Path("/proc/self/oom_score_adj").write_text("1000")
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # before the signal is asked for: new credentials drop it
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def limit(*, memory: int, seconds: float) -> None:
    """Bound the next job: bytes of address space beyond what is mapped now, and seconds of processor time.

    Beyond the first an allocation fails, beyond the second the kernel ends the process.
    """
    mapped, _ = pages()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, resource.RLIM_INFINITY))


def unlimit() -> None:
    """Lift the bound of memory, so that an answer can be written after a job has used all of it."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def pages() -> tuple[int, int]:
    """Bytes that are mapped, and those of them that are in memory. Zeros where the system has no `/proc`."""
    try:
        mapped, resident = Path("/proc/self/statm").read_text().split()[:2]
    except OSError:
        return 0, 0
    size = os.sysconf("SC_PAGE_SIZE")
    return int(mapped) * size, int(resident) * size
