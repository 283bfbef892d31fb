"""The Dockerfile: what it copies exists for every channel, and it agrees with the rest of the project."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from shared.contract.version import version

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CHANNELS = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))


def _one(pattern: str, text: str = DOCKERFILE) -> str:
    found = set(re.findall(pattern, text, re.MULTILINE))
    assert len(found) == 1, f"{pattern}: {found}"
    return str(found.pop())


@pytest.mark.parametrize("channel", CHANNELS)
def test_everything_copied_exists(channel: str) -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.replace("${CHANNEL}", channel).split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_channels_package_is_called_as_the_image_expects(channel: str) -> None:
    project = tomllib.loads((ROOT / "services" / channel / "pyproject.toml").read_text())
    assert project["project"]["name"] == _one(r'--package "(.+)"$').replace("$CHANNEL", channel)
    assert "channel-connectors" in project["project"]["dependencies"]
    assert project["tool"]["uv"]["package"] is False


def test_the_ignore_file_lets_through_what_is_copied() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    assert {source.partition("/")[0] for line in copied for source in line.split()[:-1]} == let_through


def test_uv_is_the_one_of_the_checkout() -> None:
    assert _one(r"^ARG UV_VERSION=(.+)$") == _one(r"^UV_VERSION=(.+)$", (ROOT / "tools" / "setup.sh").read_text())


def test_python_is_the_one_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == f">={_one(r'^FROM python:([0-9.]+)-slim')}"


def test_user_and_port_are_those_of_the_pods() -> None:
    pod = yaml.safe_load((ROOT / "deploy/k8s/base/pod.yaml").read_text())["spec"]["template"]["spec"]
    assert int(_one(r"^USER (\d+)$")) == int(_one(r"--uid (\d+)")) == pod["securityContext"]["runAsUser"]
    (container,) = pod["containers"]
    assert int(_one(r"^EXPOSE (\d+)$")) == int(_one(r"HTTP_PORT=(\d+)")) == container["ports"][0]["containerPort"]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_asked_for_at_the_port_of_the_settings(status: int, healthy: bool) -> None:
    asked: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever).start()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        check = subprocess.run(
            ["/bin/sh", "-c", _one(r"^HEALTHCHECK .+\\\n\s+CMD (.+)$")],
            env={"PATH": path, "HTTP_PORT": str(server.server_port)},
            capture_output=True,
        )
        server.shutdown()
    assert (asked, check.returncode == 0) == (["/livez"], healthy)


def test_images_are_built_as_the_dev_overlay_calls_them() -> None:
    name, _, tag = _one(r"--tag (\S+) \.$", (ROOT / "Makefile").read_text()).partition(":")
    overlay = yaml.safe_load((ROOT / "deploy/k8s/overlays/dev/kustomization.yaml").read_text())
    wanted = [{"name": name.replace("$(CHANNEL)", channel), "newTag": tag} for channel in CHANNELS]
    assert sorted(overlay["images"], key=lambda image: str(image["name"])) == wanted


def test_the_workflow_builds_every_channel() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/image.yml").read_text())
    built = [job["strategy"]["matrix"]["channel"] for job in workflow["jobs"].values() if "strategy" in job]
    assert built == [CHANNELS, CHANNELS]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_service_says_the_version_of_the_images(
    channel: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [channel, "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"services.{channel}", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out.strip()) == (0, version())
    labelled = subprocess.run(["make", "-n", "image", f"CHANNEL={channel}"], cwd=ROOT, capture_output=True, text=True)
    assert f"--build-arg VERSION={version()} " in labelled.stdout
