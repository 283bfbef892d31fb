"""`docs/requirements.md` speaks of every row once and of every test of this folder."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS = [line.split("|")[1:-1] for line in (ROOT / "docs" / "requirements.md").read_text().splitlines() if "|" in line]
NUMBERED = {int(cells[0]): cells for cells in ROWS if cells[0].strip().isdigit()}


def test_every_row_is_there_once() -> None:
    assert sorted(NUMBERED) == list(range(1, 45))
    assert len(NUMBERED) == sum(cells[0].strip().isdigit() for cells in ROWS)


def test_every_test_is_named_by_its_rows() -> None:
    for path in HERE.glob("test_row*.py"):
        first, last = re.findall(r"\d\d", path.name)[0], re.findall(r"\d\d", path.name)[-1]
        rows = range(int(first), int(last) + 1) if "_to_" in path.name else {int(first), int(last)}
        for row in rows:
            assert path.name in NUMBERED[row][2], (row, path.name)


def test_a_row_without_a_test_says_what_it_waits_for() -> None:
    for row, (_, _, tests, missing) in NUMBERED.items():
        assert "tests/" in tests or missing.strip(), row
