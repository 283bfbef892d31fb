"""Child processes that are measured: processor time and memory."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.processes import Child

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Measured(Child):
    """A child whose costs can be read. Linux only: the numbers are the kernel's, from /proc."""

    def cpu_seconds(self) -> float:
        """Processor time of all its threads since it started, user and system."""
        return _cpu_seconds(self.pid)

    def memory(self) -> int:
        """Bytes of physical memory it holds."""
        return _memory(self.pid)

    def peak_memory(self) -> int:
        """Bytes of physical memory that it has held at the most."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024

    def workers(self) -> tuple[float, int]:
        """Processor time of the processes that it has started, and memory of those that are still there."""
        children = [int(pid) for task in Path(f"/proc/{self.pid}/task").iterdir() for pid in _children(task)]
        ended = _seconds(self.pid, 13)
        return ended + sum(map(_cpu_seconds, children)), sum(map(_memory, children))


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def _cpu_seconds(pid: int) -> float:
    return _seconds(pid, 11)


def _seconds(pid: int, field: int) -> float:
    """User and system time in /proc/PID/stat: the process's own stand from 11 on, from 13 on those of ended ones."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[field]) + int(fields[field + 1])) / _TICK


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
