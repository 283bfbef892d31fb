"""The agent's commands and files, without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from sandbox.console import agent
from sandbox.console.agent import Agent, BadCommand, FileTooLarge
from shared.contract.commands import CommandType, MessageSend, parse_command
from shared.contract.envelope import attributes
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.stream.log import CaughtUp, TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import Record

CONVERSATION = "telegram:bot1:77"


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    memory = MemoryLog()
    await memory.start()
    await memory.ensure_topics([TopicSpec("channels.telegram.outbound", 1)])
    yield memory
    await memory.stop()


@pytest.fixture
def an_agent(log: MemoryLog, tmp_path: Path) -> Agent:
    return Agent(log, Topics(), Blobs(tmp_path.as_uri()))


async def published(log: MemoryLog) -> list[Record]:
    records: list[Record] = []
    async for record in log.follow("channels.telegram.outbound"):
        if isinstance(record, CaughtUp):
            break
        records.append(record)
    return records


async def test_a_command_is_one_the_connector_takes(an_agent: Agent, log: MemoryLog) -> None:
    fields = {
        "account_id": "bot1",
        "conversation_id": CONVERSATION,
        "content": {"kind": "text", "text": "Hello"},
    }
    command_id = await an_agent.command("telegram", "message.send", fields)
    (record,) = await published(log)
    envelope = attributes(record.headers)
    kind, command = parse_command(envelope["type"], orjson.loads(record.value or b""))
    assert kind is CommandType.MESSAGE_SEND and isinstance(command, MessageSend)
    assert record.key == CONVERSATION.encode() and envelope["subject"] == CONVERSATION
    assert command.command_id == command_id == envelope["id"]
    assert command.actor.kind == "human" and command.not_after is not None


async def test_the_page_cannot_choose_id_or_workspace(an_agent: Agent, log: MemoryLog) -> None:
    fields = {"account_id": "bot1", "conversation_id": CONVERSATION, "command_id": "mine", "workspace_id": "other"}
    assert await an_agent.command("telegram", "typing.start", fields) != "mine"
    (record,) = await published(log)
    assert b'"ws_demo"' in (record.value or b"") and b"other" not in (record.value or b"")


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("message.shout", {}, "message.shout"),
        ("message.send", {"account_id": "bot1", "conversation_id": CONVERSATION}, "content"),
        ("message.send", {"account_id": "b 1", "content": {"kind": "text", "text": "x"}}, "account_id"),
        ("message.send", {"account_id": "bot1", "content": {"kind": "text", "text": ""}}, "content.text.text"),
    ],
)
async def test_what_is_no_command_is_not_published(
    an_agent: Agent, log: MemoryLog, kind: str, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(BadCommand, match=named):
        await an_agent.command("telegram", kind, fields)
    assert await published(log) == []


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_file_goes_to_the_blob_store(an_agent: Agent, tmp_path: Path) -> None:
    stored = await an_agent.store("Übersicht.pdf", "application/pdf", chunks(b"%PDF", b"-1.7"))
    assert stored["size"] == 8 and stored["filename"] == "Übersicht.pdf"
    assert await Blobs(tmp_path.as_uri()).read(stored["blob"]) == b"%PDF-1.7"


async def test_a_file_too_large_leaves_nothing(
    an_agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "MAX_FILE", 4)
    with pytest.raises(FileTooLarge):
        await an_agent.store("big", "", chunks(b"12345"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
