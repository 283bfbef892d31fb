"""What runs on real brokers is tried a second time, nothing else is, and what passed only then is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# A fixture that lives as long as the session, on its loop, as the worlds of tests/e2e do.
TESTS = """
import pytest
import pytest_asyncio

tries, worlds = [], []
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world():
    worlds.append("started")
    yield worlds
    worlds.append("stopped")


async def test_passes_at_once(world):
    assert world == ["started"]


async def test_fails_once(world):
    tries.append(1)
    assert len(tries) == 2
    assert world == ["started"]


async def test_always_fails(world):
    assert world == []
"""


def test_one_failure_of_the_machine_costs_a_second_try(tmp_path: Path) -> None:
    for folder in ("e2e", "shared"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / f"test_{folder}.py").write_text(TESTS)
    command = (sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", "-p", "tests.plugins.reruns")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | {"PYTEST_ADDOPTS": ""}
    run = subprocess.run(
        (*command, "--rootdir", str(tmp_path), "tests"), cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert re.search(r"\b3 failed, 3 passed, 2 rerun\b", run.stdout), run.stdout
    named = [line for line in run.stdout.splitlines() if "tried again" in line]
    assert named == ["passed only when tried again: tests/e2e/test_e2e.py::test_fails_once"]
