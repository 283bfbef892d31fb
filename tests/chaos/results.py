"""Keeps `RESULTS.md`: one row per chaos test, the newest run of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_HEAD = """# What the chaos tests measured

Written by `CHAOS_WRITE=1 make chaos`, on the machine of that day. Each row is a run in which every invariant of its
test held; what was counted at the simulator and on the topics is what it says.

| test | date | counted |
|---|---|---|
"""


def write(path: Path, rows: Mapping[str, str]) -> None:
    """Replace the rows of these tests, keep those of others."""
    kept: dict[str, str] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("| `"):
                name, _, row = line.strip("| ").partition("` | ")
                kept[name.strip("`")] = row
    kept.update(rows)
    body = "".join(f"| `{name}` | {row} |\n" for name, row in sorted(kept.items()))
    path.write_text(_HEAD + body, encoding="utf-8")
