"""Every golden case of every channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.channels import goldens


def _cases(direction: str) -> list[object]:
    return [
        pytest.param(name, path, id=f"{name}-{path.stem}")
        for name in goldens.channel_names()
        for path in goldens.cases(name, direction)
    ]


@pytest.mark.parametrize(("name", "path"), _cases("inbound"))
def test_payload_becomes_events(name: str, path: Path) -> None:
    actual = goldens.as_json(goldens.events_of(name, path))
    assert actual == goldens.expected(path, ".events.json", actual)


@pytest.mark.parametrize(("name", "path"), _cases("outbound"))
def test_command_becomes_calls(name: str, path: Path) -> None:
    actual = goldens.as_json(goldens.calls_of(name, path))
    assert actual == goldens.expected(path, ".calls.json", actual)
