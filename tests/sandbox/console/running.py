"""Runs `python -m sandbox` as a person does, for tests: waits until it is ready, knows its processes, ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox.broker import free_port

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = 90.0
END_SECONDS = 30.0


class Sandbox:
    """One running sandbox; `output` is what it has printed so far."""

    def __init__(self, *arguments: str, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.directory = directory  # takes the place of /tmp
        self._printed = directory / "printed"
        command = [sys.executable, "-m", "sandbox", "--console-port", str(self.port), *arguments]
        with self._printed.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(directory), **(environment or {})},
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._printed.read_text()

    @property
    def url(self) -> str:
        """Where it says that the console is."""
        found = re.search(r"^Console\s+(http://\S+)", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    def where(self, name: str) -> str:
        """The rest of the line that begins with `name`."""
        found = re.search(rf"^{name}\s+(.+)$", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    def wait_ready(self) -> None:
        """Wait for its last line; fails when it ends before."""
        wait_for(lambda: "Everything is ready" in self.output or self.process.poll() is not None, READY_SECONDS)
        assert self.process.poll() is None, self.output

    def children(self) -> dict[int, str]:
        """Its processes: pid → command line."""
        return children_of(self.process.pid)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)

    def left_behind(self) -> list[str]:
        """Directories in its place of temporary files."""
        return [path.name for path in self.directory.iterdir() if path.is_dir()]


def children_of(pid: int) -> dict[int, str]:
    """Living children of a process: pid → command line. Linux."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if int(parent) == pid and state != "Z":
            found[int(stat.parent.name)] = command
    return found


def alive(pids: Mapping[int, str]) -> dict[int, str]:
    """Those of the processes that still run the same command."""
    running = {}
    for pid, command in pids.items():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            now = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if state != "Z" and now == command:
            running[pid] = command
    return running


def wait_for(condition: object, seconds: float) -> None:
    """Ask until it is true; other processes tell of themselves in no other way."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
