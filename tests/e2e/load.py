"""Traffic in both directions that can be counted: every text says whose it is and which one."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.contract.envelope import type_name
from tests.e2e.providers import Person
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, number

_TEXT = re.compile(rb"(in|out) (\d+) (\d+)/(\d+)")
AT_ONCE = 100


@dataclass
class Result:
    """What was counted. `uncertain` are parts reported so; they may or may not have arrived."""

    messages: int = 0
    commands: int = 0
    lost_in: int = 0
    repeated_in: int = 0
    ids_of_one_message: int = 0
    disordered_in: int = 0
    lost_out: int = 0
    duplicated_out: int = 0
    disordered_out: int = 0
    uncertain: int = 0
    uncertain_arrived: int = 0
    uncertain_for_ever: int = 0  # arrived, and no later status said so
    not_sent: Counter[str] = field(default_factory=Counter)

    def assert_exact(self) -> None:
        """Nothing lost, nothing twice, every conversation in order."""
        faults = {
            name: value
            for name in ("lost_in", "ids_of_one_message", "disordered_in", "lost_out", "duplicated_out")
            if (value := getattr(self, name))
        }
        assert not faults, f"{faults} of {self}"
        assert not self.disordered_out, self
        assert not self.not_sent, self


class Load:
    """`messages` from people and `commands` to them, spread over their conversations in turn."""

    def __init__(self, channel: ChannelUnderTest, people: list[Person], messages: int, commands: int) -> None:
        self.channel = channel
        self.people = people
        self.messages = messages
        self.commands = commands
        self.tag = number()
        self.command_ids: list[str] = []
        self.written = 0

    # --- making it

    async def write(self, per_second: float = 1000.0) -> None:
        """All messages from people, each conversation in order."""
        for index in range(self.messages):
            await self.channel.write(self.people[index % len(self.people)], self._text("in", index))
            self.written += 1
            if index % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(AT_ONCE / per_second)

    async def command(self, per_second: float = 2000.0) -> None:
        """All commands, each conversation in order; returns when they are on the topic."""
        while (left := self.commands - len(self.command_ids)) > 0:
            await self.command_some(min(AT_ONCE, left))
            await asyncio.sleep(AT_ONCE / per_second)

    async def command_some(self, count: int) -> None:
        """The next `count` commands; returns when they are on the topic."""
        first = len(self.command_ids)
        await asyncio.gather(*[await self._enqueue(index) for index in range(first, first + count)])

    async def _enqueue(self, index: int) -> asyncio.Future[Any]:
        person = self.people[index % len(self.people)]
        command_id = f"load{self.tag}-{index}"
        self.command_ids.append(command_id)
        data = {
            "command_id": command_id,
            "workspace_id": person.account.record.workspace_id,
            "account_id": person.account.id,
            "conversation_id": person.conversation_id,
            "content": {"kind": "text", "text": self._text("out", index)},
        }
        headers = (("ce_id", command_id.encode()), ("ce_type", type_name("message.send").encode()))
        world = self.channel.world
        topic, key = world.topics.outbound(self.channel.name), person.conversation_id.encode()
        return await world.log.enqueue(topic, key, orjson.dumps(data), headers)

    def _text(self, direction: str, index: int) -> str:
        return f"{direction} {self.tag} {index % len(self.people)}/{index // len(self.people)}"

    # --- counting it

    def arrived(self) -> int:
        """Messages of people that are on the inbound topic, each once."""
        return len({seen.text for seen in self.channel.inbound.all if seen.text.startswith(f"in {self.tag} ")})

    def ended(self) -> int:
        """Commands that have come to an end."""
        return sum(self.channel.statuses.ended(command_id) is not None for command_id in self.command_ids)

    async def settled(self, seconds: float) -> None:
        """Wait until all messages are on inbound and all commands have ended."""
        await eventually(
            lambda: self.arrived() >= self.messages and self.ended() >= self.commands,
            seconds,
            every=0.25 if self.messages + self.commands < 5000 else 1.0,
            what=self._missing,
        )

    def _missing(self) -> str:
        counted = f"{self.arrived()} of {self.messages} messages, {self.ended()} of {self.commands} commands"
        statuses = self.channel.statuses
        waiting = [command_id for command_id in self.command_ids if statuses.ended(command_id) is None][:5]
        return f"{counted}; {[(command_id, statuses.by_command.get(command_id)) for command_id in waiting]}"

    def result(self) -> Result:
        """Count at the simulator and on the topics."""
        result = Result(self.messages, self.commands)
        self._count_inbound(result)
        self._count_outbound(result)
        return result

    def _count_inbound(self, result: Result) -> None:
        ids: defaultdict[str, list[str]] = defaultdict(list)
        order: defaultdict[str, list[int]] = defaultdict(list)
        for seen in self.channel.inbound.all:
            if not seen.text.startswith(f"in {self.tag} ") or seen.type != "message.received":
                continue
            if seen.text not in ids:
                order[seen.key].append(int(seen.text.rpartition("/")[2]))
            ids[seen.text].append(seen.id)
        acknowledged = dict(self._order_of_raw())
        result.lost_in = self.messages - len(ids)
        result.repeated_in = sum(len(found) - 1 for found in ids.values())
        result.ids_of_one_message = sum(len(set(found)) - 1 for found in ids.values())
        for index, person in enumerate(self.people):
            result.disordered_in += order[person.conversation_id] != acknowledged.get(index, [])

    def _order_of_raw(self) -> Iterator[tuple[int, list[int]]]:
        """By person: the order in which their messages were acknowledged to the provider."""
        order: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for seen in self.channel.raw.all:
            for direction, tag, person, index in _TEXT.findall(seen.record.value or b""):
                if direction == b"in" and int(tag) == self.tag:
                    order[int(person)][int(index)] = None
        return ((person, list(indices)) for person, indices in order.items())

    def _count_outbound(self, result: Result) -> None:
        got: Counter[str] = Counter()
        for person in self.people:
            mine = [text for text in self.channel.texts(person) if text.startswith(f"out {self.tag} ")]
            got.update(mine)
            indices = [int(text.rpartition("/")[2]) for text in dict.fromkeys(mine)]
            result.disordered_out += indices != sorted(indices)
        for index, command_id in enumerate(self.command_ids):
            times = got[self._text("out", index)]
            ended = self.channel.statuses.ended(command_id)
            state = ended[0]["state"] if ended else "no end"
            result.duplicated_out += max(0, times - 1)
            if state == "uncertain":
                result.uncertain += 1
                result.uncertain_arrived += times > 0
                result.uncertain_for_ever += times > 0 and not self.channel.statuses.states(command_id) & SENT
            elif state in SENT:
                result.lost_out += times == 0
            else:
                result.not_sent[state] += 1
