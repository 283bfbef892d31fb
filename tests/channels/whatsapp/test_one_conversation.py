"""One contact, one conversation: whatever names webhooks bring, in any order, on any of three replicas."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.valkey import ValkeyServer
from services.whatsapp.channel import build
from services.whatsapp.settings import Settings
from shared.channel import WebhookRequest
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.process.connections import topic_specs
from shared.runtime.roles import Common, NormaliseRole
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.memory import MemoryLog
from shared.stream.records import Record

KEY = new_key()
TOPICS = Topics()
ACCOUNT = AccountRecord(account_id="wa_1", workspace_id="ws_1", channel="whatsapp", external_id="551")
OURS = "4930900100"
NAMES = {"user": "DE.Lena77", "phone": "49151700011", "parent": "DE.ENT.Haus9"}  # the strongest first
PEERS = {"user": NAMES["user"], "phone": ids.personal_peer(NAMES["phone"]), "parent": NAMES["parent"]}
KINDS = ("message", "reaction", "stop", "resume", "echo", "history", "address_book")


class Step(NamedTuple):
    """A webhook of a kind that brings these names, at one of the replicas."""

    kind: str
    names: frozenset[str]
    replica: int


STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(KINDS), st.frozensets(st.sampled_from(sorted(NAMES)), min_size=1), st.integers(0, 2)
    ),
    max_size=10,
)


def webhook(step: Step, number: int) -> bytes:
    def named(user: str, phone: str, parent: str) -> dict[str, str]:
        keys = {"user": user, "phone": phone, "parent": parent}
        return {keys[name]: NAMES[name] for name in step.names}

    at = str(1_790_000_000 + number)
    said = {"id": f"wamid.{number}", "timestamp": at, "type": "text", "text": {"body": f"Said {number}"}}
    author = named("from_user_id", "from", "from_parent_user_id")
    person = named("user_id", "wa_id", "parent_user_id")
    name, value = "messages", dict[str, Any]()
    match step.kind:
        case "message":
            value = {"messages": [said | author], "contacts": [person]}
        case "reaction":
            reaction = {"type": "reaction", "reaction": {"message_id": "wamid.0", "emoji": "👍"}}
            value = {"messages": [said | reaction | author]}
        case "stop" | "resume":
            wish = {"category": "marketing_messages", "value": step.kind, "timestamp": int(at)}
            name, value = "user_preferences", {"user_preferences": [person | wish]}
        case "echo":
            sent = said | {"from": OURS} | named("to_user_id", "to", "to_parent_user_id")
            name, value = "smb_message_echoes", {"message_echoes": [sent]}
        case "history":
            thread = {"id": person.pop("wa_id", None), "context": person, "messages": [said | author]}
            name, value = "history", {"history": [{"threads": [thread]}]}
        case "address_book":
            entry = named("user_id", "phone_number", "parent_user_id") | {"full_name": "Lena"}
            synced = {"type": "contact", "contact": entry, "action": "add", "metadata": {"timestamp": at}}
            name, value = "smb_app_state_sync", {"state_sync": [synced]}
    value |= {"messaging_product": "whatsapp", "metadata": {"display_phone_number": OURS, "phone_number_id": "551"}}
    changes = [{"field": name, "value": value}]
    return orjson.dumps({"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": changes}]})


@dataclass
class Model:
    """The reference: names that have come together are one contact's, whose conversation is the one begun first."""

    contacts: list[dict[str, Any]] = field(default_factory=list)

    def of(self, names: frozenset[str]) -> dict[str, Any]:
        known = [contact for contact in self.contacts if contact["names"] & names]
        if not known:
            peer = next(PEERS[name] for name in NAMES if name in names)
            self.contacts.append({"names": set(names), "conversation": f"whatsapp:wa_1:{peer}", "stopped": None})
            return self.contacts[-1]
        first = known[0]
        wishes = [contact["stopped"] for contact in known if contact["stopped"]]
        first["stopped"] = max(wishes, default=None)
        for contact in known:
            first["names"] |= contact["names"]
        first["names"] |= names
        self.contacts = [contact for contact in self.contacts if contact is first or contact not in known]
        return first


class Replicas:
    """Three processes' worth of runtime over one Valkey and one log."""

    def __init__(self, url: str, directory: Path) -> None:
        self.log = MemoryLog()
        self.clients = [Client(url) for _ in range(3)]
        # One clock, so that the reference knows which conversation began first.
        clock = itertools.count(1)
        self.stores = [Store(client, lambda: next(clock)) for client in self.clients]
        self.channel = build(Settings())
        self.accounts = AccountRegistry("whatsapp", KEY)
        blobs = Blobs(f"file://{directory}")
        replicas = [Common(self.channel, TOPICS, self.log, store, blobs, self.accounts) for store in self.stores]
        self.writer = replicas[0].writer
        self.normalisers = [NormaliseRole(replica).normaliser for replica in replicas]
        self._seen = 0

    async def start(self) -> None:
        await self.clients[0].call("FLUSHALL")
        await self.log.ensure_topics(topic_specs(TOPICS, "whatsapp", 1))
        record = seal_credentials({"access_token": "t"}, ACCOUNT, public_key(KEY))
        self.accounts.apply(record.account_id.encode(), record.to_json())

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    async def handle(self, steps: Sequence[tuple[int, Step]], *, at_once: bool = False) -> list[dict[str, Any]]:
        """The events that the replicas make of the webhooks, one after the other or all in the same moment."""
        before = len(self._of(TOPICS.raw("whatsapp")))
        for number, step in steps:
            await self.writer.write(self.channel.unbatch(WebhookRequest("POST", "", {}, {}, webhook(step, number))))
        records = self._of(TOPICS.raw("whatsapp"))[before:]
        turns = [
            self.normalisers[step.replica].handle(record) for (_, step), record in zip(steps, records, strict=True)
        ]
        if at_once:
            await asyncio.gather(*turns)
        else:
            for turn in turns:
                await turn
        new = self._of(TOPICS.inbound("whatsapp"))[self._seen :]
        self._seen += len(new)
        return [orjson.loads(record.value or b"") for record in new]

    def _of(self, topic: str) -> list[Record]:
        return self.log._topics[topic][0]


class Valkey(NamedTuple):
    runner: asyncio.Runner
    url: str


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with asyncio.Runner() as runner:
        server = ValkeyServer()
        runner.run(server.start())
        yield Valkey(runner, server.url)
        runner.run(server.stop())


async def one_after_the_other(url: str, directory: Path, steps: Sequence[Step]) -> None:
    replicas, model = Replicas(url, directory), Model()
    await replicas.start()
    merged: dict[str, str] = {}
    for number, step in enumerate(steps):
        before = {contact["conversation"] for contact in model.contacts}
        contact = model.of(step.names)
        if step.kind in ("stop", "resume"):
            contact["stopped"] = (number, step.kind == "stop")
        told = await replicas.handle([(number, step)])
        assert {event["conversation_id"] for event in told} == {contact["conversation"]}
        for event in told:
            if "merged_from" in event:
                merged[event["merged_from"]] = event["conversation_id"]
        gone = before - {contact["conversation"] for contact in model.contacts}
        assert gone <= merged.keys(), "an inbox is told which conversations have become one"
        kept = await replicas.stores[0].record(contact["conversation"])
        assert kept.get("opted_out", "0") == ("1" if contact["stopped"] and contact["stopped"][1] else "0")
    await replicas.close()


async def all_at_once(url: str, directory: Path, steps: Sequence[Step]) -> None:
    replicas = Replicas(url, directory)
    await replicas.start()
    told = await replicas.handle(list(enumerate(steps)), at_once=True)
    everything = Step("message", frozenset(NAMES), 0)
    told += await replicas.handle([(100, everything)])
    conversation = told[-1]["conversation_id"]
    probes = [Step(kind, frozenset({name}), replica) for kind in KINDS for name in NAMES for replica in range(3)]
    later = await replicas.handle(list(enumerate(probes, 200)))
    assert {event["conversation_id"] for event in later} == {conversation}
    others = {event["conversation_id"] for event in told} - {conversation}
    assert others <= {event.get("merged_from") for event in told + later}
    await replicas.close()


EXAMPLES = [10, pytest.param(100, marks=pytest.mark.chaos)]


@pytest.mark.parametrize("count", EXAMPLES)
def test_names_in_any_order_are_one_conversation(valkey: Valkey, count: int) -> None:
    _prove(one_after_the_other, valkey, count)


@pytest.mark.parametrize("count", EXAMPLES)
def test_replicas_that_learn_names_in_the_same_moment_agree(valkey: Valkey, count: int) -> None:
    _prove(all_at_once, valkey, count)


def _prove(holds: Callable[[str, Path, Sequence[Step]], Coroutine[Any, Any, None]], valkey: Valkey, count: int) -> None:
    @settings(max_examples=count, deadline=None)
    @given(steps=STEPS)
    def proved(steps: list[Step]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            valkey.runner.run(holds(valkey.url, Path(directory), steps))

    proved()
