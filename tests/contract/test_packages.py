"""Both packages of the contract, as somebody uses who has nothing else: they compile, and a misspelt field does not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from shared.contract import publish_packages, schemas
from tests.node import compiled, needs_node, packages

ROOT = Path(__file__).parents[2]
RIGHT_PYTHON = """\
from channel_connectors_contract.commands import Actor, ActorKind, MessageSend, OutText
from channel_connectors_contract.events import Message


def answer(value: bytes) -> bytes:
    message = Message.model_validate_json(value)
    command = MessageSend(
        command_id=f"answer-{message.message_id}",
        workspace_id=message.workspace_id,
        account_id=message.account_id,
        conversation_id=message.conversation_id,
        actor=Actor(kind=ActorKind.AI_AGENT),
        content=OutText(text=message.content.text),
    )
    return command.to_json()
"""
RIGHT_TYPESCRIPT = """\
import type { MessageReceived, MessageSend, Records } from "channel-connectors-contract";

export function answer(message: MessageReceived): MessageSend {
  const { workspace_id, account_id, conversation_id, content } = message;
  return { command_id: `answer-${message.message_id}`, workspace_id, account_id, conversation_id,
    content: { kind: "text", text: content.kind === "email" ? content.subject : content.text } };
}

export function why(status: Records["channels.message.status.v1"]): string | undefined {
  return status.error?.remedy ?? status.why;
}
"""
CONSUMER = """\
import sys
from right import answer
sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))
"""


def test_the_wheel_is_all_a_consumer_in_python_needs(tmp_path: Path) -> None:
    site, consumer = tmp_path / "site", tmp_path / "consumer"
    zipfile.ZipFile(publish_packages.wheel(tmp_path)).extractall(site)
    consumer.mkdir()
    (consumer / "right.py").write_text(RIGHT_PYTHON)
    misspelt = RIGHT_PYTHON.replace("conversation_id=", "conversaton_id=").replace("content.text", "content.txt")
    (consumer / "wrong.py").write_text(misspelt)
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "right.py", "wrong.py"],
        cwd=consumer,
        env={**os.environ, "MYPYPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout
    errors = re.findall(r"^(\w+)\.py:.* error: (.*)$", told, re.M)
    assert {file for file, _ in errors} == {"wrong"}, told
    assert any('"conversaton_id"' in error for _, error in errors)
    assert any('no attribute "txt"' in error for _, error in errors)
    # It also runs, without this repository on its path.
    received = json.dumps(schemas.EVENTS[0].examples[0]).encode()
    answered = subprocess.run(
        [sys.executable, "-c", CONSUMER],
        cwd=consumer,
        env={**os.environ, "PYTHONPATH": str(site)},
        input=received,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(answered.stdout)["content"]["text"] == "Is this the right one?"


@needs_node
def test_the_types_are_all_a_consumer_in_typescript_needs(tmp_path: Path) -> None:
    modules = tmp_path / "node_modules"
    modules.mkdir()
    with tarfile.open(publish_packages.npm(tmp_path)) as packed:
        packed.extractall(modules, filter="data")
    (modules / "package").rename(modules / publish_packages.NPM_NAME)
    for name in (".bin", "typescript", "@typescript"):
        (modules / name).symlink_to(packages(ROOT / "docs" / "examples") / "node_modules" / name)
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2022", "types": []}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["right.ts", "wrong.ts"]}))
    (tmp_path / "right.ts").write_text(RIGHT_TYPESCRIPT)
    misspelt = RIGHT_TYPESCRIPT.replace("conversation_id,\n", "conversaton_id: conversation_id,\n")
    (tmp_path / "wrong.ts").write_text(misspelt.replace("status.why", "status.wy"))
    told = compiled(tmp_path)
    errors = re.findall(r"^(\w+)\.ts.*error TS\d+: (.*)$", told, re.M)
    assert {file for file, _ in errors} == {"wrong"}, told
    assert any("'conversaton_id'" in error for _, error in errors), told
    assert any("'wy'" in error for _, error in errors), told
