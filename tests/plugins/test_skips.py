"""What the last lines of a run say about tests that did not run."""

from __future__ import annotations

import pytest

from tests.plugins.skips import not_run


def skipped(nodeid: str, reason: str) -> pytest.TestReport:
    where = ("test_a.py", 1, f"Skipped: {reason}")
    return pytest.TestReport(nodeid, ("test_a.py", 1, "t"), {}, "skipped", where, "setup")


def test_tests_are_counted_by_folder_and_reason() -> None:
    reports = [
        skipped("tests/e2e/test_a.py::one", "real Kafka: no java"),
        skipped("tests/e2e/test_b.py::two[x/y]", "real Kafka: no java"),
        skipped("tests/e2e/test_b.py::three", "no Chromium"),
    ]
    assert not_run(reports, "") == [
        "not run here: 1 test of tests/e2e (no Chromium)",
        "not run here: 2 tests of tests/e2e (real Kafka: no java)",
    ]


def test_what_has_a_target_of_its_own_is_named() -> None:
    assert not_run([], "not chaos") == ["not run here: chaos tests (they take minutes: `make chaos`)"]
    assert not_run([], "chaos") == []
