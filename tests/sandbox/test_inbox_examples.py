"""What `docs/build-an-inbox.md` shows is what stands in `docs/examples/`, and it works: against a sandbox."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.broker import kafka_missing
from shared.contract.accounts import AccountRecord
from shared.contract.statuses import RANK
from shared.runtime.accounts.sealing import new_key, public_key, unseal_credentials
from shared.runtime.tools.accounts_file import read_accounts_file
from tests import guide
from tests.channels import goldens
from tests.node import borrow, compiled, needs_node
from tests.sandbox.console.running import Sandbox, wait_for

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SOON = 40.0  # seconds
CREDENTIALS = {"token": "123456:ABC", "webhook_secret": "Größe"}
ACCOUNT = {"account_id": "support_bot", "workspace_id": "ws_1", "channel": "telegram", "external_id": "123456"}


def test_the_guide_shows_the_examples() -> None:
    assert guide.DOCUMENT.read_text() == guide.document(), "make docs writes it anew"
    files = {path.relative_to(guide.DOCUMENT.parent).as_posix() for path in EXAMPLES.rglob("*") if path.is_file()}
    tools = {f"examples/{name}" for name in ("package.json", "package-lock.json", "tsconfig.json")}
    assert guide.shown() == files - tools


def test_the_consumers_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("inbox.*")}
    assert lengths.keys() == {"inbox.py", "inbox.ts"}
    assert max(lengths.values()) <= 55, lengths


@pytest.mark.parametrize("path", [EXAMPLES / "inbox.py", EXAMPLES / "inbox.ts", guide.DOCUMENT], ids=lambda p: p.name)
def test_states_have_the_ranks_of_the_contract(path: Path) -> None:
    found = re.search(r"RANK\b.*?= \{(.*?)\}", path.read_text(), re.S)
    assert found
    ranks = {state: int(rank) for state, rank in re.findall(r"\W?(\w+)\W?: (\d+)", found[1])}
    assert ranks == {str(state): rank for state, rank in RANK.items()}


@pytest.mark.parametrize("channel", goldens.channel_names())
def test_the_sample_of_an_account_can_be_applied(channel: str) -> None:
    (record,) = read_accounts_file(EXAMPLES / "accounts" / f"{channel}.yaml", new_key())
    assert record.channel == channel
    assert record.sealed is not None


def _sealed_by(*command: str, folder: Path = EXAMPLES) -> None:
    key = new_key()
    written = json.dumps({**ACCOUNT, "credentials": CREDENTIALS})
    arguments = [*command, public_key(key)]
    done = subprocess.run(arguments, cwd=folder, input=written, capture_output=True, text=True, timeout=SOON)
    assert done.returncode == 0, done.stderr
    assert "ABC" not in done.stdout
    opened = unseal_credentials(AccountRecord.model_validate_json(done.stdout), key)
    assert (opened.credentials, opened.bound) == (CREDENTIALS, True)


def test_what_the_recipe_in_python_seals_is_opened() -> None:
    _sealed_by(sys.executable, "seal.py")


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with what they need, compiled."""
    folder = borrow(EXAMPLES, tmp_path_factory.mktemp("javascript") / "examples")
    assert compiled(folder) == ""
    return folder


@needs_node
def test_what_the_recipe_in_javascript_seals_is_opened(javascript: Path) -> None:
    _sealed_by("node", "seal.mjs", folder=javascript)


# --------------------------------------------------------------------------------------------------- consumers


APACHE = (
    pytest.mark.kafka,
    pytest.mark.chaos,
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
)


@pytest.fixture(scope="module", params=["embedded", pytest.param("apache", marks=APACHE)])
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    channels = ("--channel", "telegram", "--channel", "tiktok")
    started = Sandbox(*channels, "--broker", request.param, directory=tmp_path_factory.mktemp("sandbox"))
    try:
        started.wait_ready()
        yield started
    finally:
        started.end(signal.SIGINT)


def _call(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=SOON) as answer:
        return json.load(answer)


def _answers(sandbox: Sandbox, channel: str, command: list[str], printed: Path) -> None:
    """The consumer sees what a person writes, the person sees its answer, and the consumer what became of it."""
    people = f"{sandbox.url}/api/channels/{channel}/people"
    contact = f"{people}/{_call(people)[0]['id']}"
    _call(f"{contact}/write", {"text": "Is anybody there?"})
    with printed.open("wb") as sink:
        consumer = subprocess.Popen([*command, sandbox.where("Kafka"), channel], stdout=sink, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: " 0 is sent" in printed.read_text() or consumer.poll() is not None, SOON)
        assert "wrote: Is anybody there?" in printed.read_text()
        told = [(message["mine"], message["text"]) for message in _call(contact)["messages"]]
        assert told == [(True, "Is anybody there?"), (False, "You wrote: Is anybody there?")]
    finally:
        consumer.send_signal(signal.SIGINT)
        consumer.wait(SOON)


def test_the_consumer_in_python_answers(sandbox: Sandbox, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "inbox.py")]
    _answers(sandbox, "telegram", command, tmp_path / "printed")


@needs_node
def test_the_consumer_in_typescript_answers(sandbox: Sandbox, javascript: Path, tmp_path: Path) -> None:
    _answers(sandbox, "tiktok", ["node", str(javascript / "inbox.js")], tmp_path / "printed")
