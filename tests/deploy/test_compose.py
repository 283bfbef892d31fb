"""The compose file, which nobody could start here: it is whole, and says what the services and the sandbox take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.channels import goldens

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return loaded


def test_every_channel_is_a_service_with_settings_that_exist(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert set(services) == {"kafka", "valkey", "sandbox", *goldens.channel_names()}
    known = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    ports = set()
    for name in goldens.channel_names():
        environment = services[name]["environment"]
        assert environment.keys() <= known
        assert services[name]["build"]["args"] == {"CHANNEL": name}
        ports.add(environment["HTTP_PORT"])
    assert len(ports) == len(goldens.channel_names())


def test_what_is_built_and_depended_on_is_there(composed: dict[str, Any]) -> None:
    for service in composed["services"].values():
        for needed, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in composed["services"][needed]
        if "build" in service:
            built = (FOLDER / service["build"]["context"]).resolve()
            assert built == ROOT.resolve()
            assert (built / service["build"].get("dockerfile", "Dockerfile")).is_file()


def test_the_build_of_the_sandbox_finds_what_it_copies() -> None:
    """The context of a build has only what the ignore file beside it lets through."""
    let_through = {
        line[1:]
        for line in (FOLDER / "sandbox.Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (.+) \S+$", (FOLDER / "sandbox.Dockerfile").read_text(), re.M)
    assert {name.rstrip("/") for line in copied for name in line.split()} <= let_through
