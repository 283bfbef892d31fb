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
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self) -> int:
        """Bytes of physical memory it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
