"""Child processes of the sandbox: named, logged to a file, and never outliving it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

STOP_SECONDS = 15.0
TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# Waits until the sandbox is gone, however it went, and removes its directory. What still writes there is dying too.
_JANITOR = 'cat >/dev/null; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$1" && break; sleep 0.2; done'


def _end_with(parent: int) -> None:
    """Runs in the child before its program: the kernel kills it when the sandbox dies without a goodbye."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)


class Child:
    """One process. `name` is what a person reads when it dies."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> None:
        """`environment` is added to the sandbox's own; without a `directory` it runs in the sandbox's."""
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Raises RuntimeError before `start`."""
        return self._started().pid

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C in the terminal is for the sandbox, which stops it in order."""
        with self.log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **self._environment},
                cwd=self._directory,
                start_new_session=True,
                preexec_fn=partial(_end_with, os.getpid()),
            )

    @property
    def exit_status(self) -> int | None:
        """Negative for a signal; None while it runs, and before `start`."""
        return self._process.returncode if self._process else None

    async def ended(self) -> int:
        """Wait for its end; the exit status."""
        return await self._started().wait()

    async def stop(self) -> None:
        """Ask it to end, also when it is frozen, and insist after STOP_SECONDS."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Power failure: no goodbye, nothing flushed."""
        self.signal(signal.SIGKILL)
        await self.ended()

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)
        # The signal is delivered when the kernel likes; until then it still answers.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on when it is frozen."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it any signal; one that has ended gets none."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def last_words(self) -> str:
        """The end of its log, for a person."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n    ".join(["its last words:", *lines]) if lines else "it wrote nothing"

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process


class Janitor:
    """Removes a directory when the sandbox has gone, also after a kill -9."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *("sh", "-c", _JANITOR, "janitor", str(self._directory)),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def finish(self) -> None:
        """Let it remove the directory now, and wait until it has."""
        if self._process is None or self._process.stdin is None:
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            self._process.stdin.close()
            await self._process.wait()
