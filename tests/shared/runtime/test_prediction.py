"""An inbox that reads only the state feed and the capabilities knows what the connector will accept."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from shared.contract.commands import CommandType, parse_command
from shared.contract.envelope import type_name
from shared.contract.state import ConversationState
from shared.stream.records import Record
from tests.shared.policy.test_judge import predict, some_capabilities, some_command
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, failure, item
from tests.shared.runtime.world import World

CHANNELS = 12
HISTORY = 60
PEERS = 4


class Inbox:
    """Reads the feed as it comes."""

    def __init__(self) -> None:
        self.states: dict[str, ConversationState] = {}
        self._read = 0

    async def catch_up(self, world: World) -> None:
        records: list[Record] = [record async for record in world.records(world.topics.state(CHANNEL))]
        for record in records[self._read :]:
            state = ConversationState.model_validate_json(record.value or b"")
            self.states[state.conversation_id] = state
        self._read = len(records)


async def something_happens(chance: random.Random, world: World) -> None:
    peer, name = f"p{chance.randrange(PEERS)}", str(chance.random())
    match chance.randrange(10):
        case 0:
            world.clock.advance(chance.choice([30, 3000, 60_000, 90_000]))
        case 1 | 2 | 3:
            world.clock.advance(1)
            await world.receive(item(id=name, peer=peer))
        case 4:
            await world.receive(item("echo", id=name, peer=peer))
        case 5:
            await world.receive(item(chance.choice(["blocked", "unblocked"]), id=name, peer=peer))
        case 6:
            await world.receive(item("consent", id=name, peer=peer, consent=chance.choice(["opted_in", "opted_out"])))
        case 7:
            await world.send(chance.choice(["contact.block", "contact.unblock"]), conversation_id=f"plain:acc_1:{peer}")
        case 8:
            code = chance.choice(["window_closed", "quota_exhausted", "recipient_blocked", "opted_out"])
            world.provider.will("refused", failure(code))  # type: ignore[arg-type]
            await world.send(text="refused", conversation_id=f"plain:acc_1:{peer}")
            world.provider.script["refused"].clear()


def wire(kind: str, made: Any) -> dict[str, Any]:
    """A command as the core would write it, for this conversation and with a file that exists."""
    data: dict[str, Any] = made.model_dump(mode="json", exclude_none=True, exclude={"command_id", "conversation_id"})
    if "message_id" in data:
        data["provider_message_id"] = "given"
    return data


async def test_it_is_never_wrong(make_world: MakeWorld) -> None:
    chance = random.Random(11)
    answers: Counter[bool] = Counter()
    for _ in range(CHANNELS):
        channel = PlainChannel()
        channel.capabilities = some_capabilities(chance)
        world = await make_world(channel)
        await world.client.call("FLUSHALL")
        await world.blob(b"text", key="b")
        inbox = Inbox()
        for turn in range(HISTORY):
            await something_happens(chance, world)
            await inbox.catch_up(world)
            kind, made = some_command(chance)
            if str(kind).startswith("typing") or kind is CommandType.MESSAGE_RESEND:  # of what the feed says nothing
                continue
            conversation = f"plain:acc_1:p{chance.randrange(PEERS)}"
            data = wire(str(kind), made)
            data |= {"command_id": f"q{turn}", "conversation_id": conversation}
            for file in data.get("content", {}).get("attachments", ()):
                file["mime_type"] = None
            _, sent = parse_command(type_name(str(kind)), data)
            expected = predict(channel.capabilities, inbox.states.get(conversation), kind, sent, world.clock.now)
            await world.send(kind, **data)
            states = {status["state"] for status in await world.statuses(f"q{turn}")}
            if "cancelled" in states:
                continue  # a cancel of the same moment has covered it
            if {status.get("error", {}).get("code") for status in await world.statuses(f"q{turn}")} & FILES:
                continue  # what a file is, only its bytes can say
            assert ("rejected" not in states) == expected, (kind, sent, inbox.states.get(conversation), states)
            answers[expected] += 1
    assert min(answers.values()) > 100


FILES = frozenset({"file_type_mismatch", "file_unavailable"})
