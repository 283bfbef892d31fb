"""Hostile mail costs little: less than a second and 150 MiB each, whatever it is made of."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.channels.email.hostile import CASES
from tests.channels.goldens import ROOT


@pytest.fixture(scope="module")
def costs() -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "tests.channels.email.hostile"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    told = [json.loads(line) for line in run.stdout.splitlines()]
    return {one["name"]: (one["seconds"], one["mib"]) for one in told}


@pytest.mark.parametrize("name", CASES)
def test_it_is_parsed_in_time_and_in_room(name: str, costs: dict[str, tuple[float, float]]) -> None:
    assert name in costs, "the process died of it"
    seconds, mib = costs[name]
    assert seconds < 1.0
    assert mib < 150
