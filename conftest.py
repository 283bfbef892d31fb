"""Registers the test suite's own pytest plugins."""

from __future__ import annotations

pytest_plugins = ("tests.plugins.reruns", "tests.plugins.skips", "tests.plugins.workers")
