"""Transfers that do not move, and how long another account's files and messages take beside them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import quantiles

from tests.e2e.providers import Connected, Person
from tests.e2e.topics import eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, image, number

Slow = list[tuple[Connected, list[Person]]]
Harm = Callable[[ChannelUnderTest, Slow, int], Awaitable[list[str]]]
PICTURE = 2_900_000  # bytes


async def slow_accounts(channel: ChannelUnderTest, accounts: int, people: int) -> Slow:
    """Accounts with somebody to write to."""
    found = []
    for _ in range(accounts):
        account = await channel.account()
        found.append((account, await channel.people(account, people)))
    return found


async def files_trickle(channel: ChannelUnderTest, slow: Slow, each: int) -> list[str]:
    """So many files come in for each account, of which a byte arrives every second."""
    for account, people in slow:
        channel.provider.slow_transfers("trickle", account)
        for at in range(each):
            handle = people[at % len(people)].handle
            await channel.provider.send_file(account, handle, "image", image(), "slow.jpg")
    return []


async def uploads_unread(channel: ChannelUnderTest, slow: Slow, each: int, size: int = PICTURE) -> list[str]:
    """So many pictures go out for each account, and nobody reads them; the ids of the commands."""
    picture = image()
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/pictures", picture + bytes(size - len(picture)))
    attachment = {"kind": "image", "blob": blob, "filename": "a.jpg", "mime_type": "image/jpeg"}
    content = {"kind": "media", "attachments": [attachment]}
    sent: list[str] = []
    for account, people in slow:
        channel.provider.slow_transfers("unread", account)
        commands = [await channel.command(people[at % len(people)], content=content) for at in range(each)]
        sent += [command.id for command in commands]
    return sent


async def file_latencies(channel: ChannelUnderTest, person: Person, files: int) -> list[float]:
    """Milliseconds from a file at the provider to its being told as stored, one after the other."""
    taken = []
    for _ in range(files):
        before = stored(channel, person)
        began = time.perf_counter()
        await channel.provider.send_file(person.account, person.handle, "image", image(), "a.jpg")
        await eventually(lambda b=before: stored(channel, person) > b, 60, every=0.002, what="the file")
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def stored(channel: ChannelUnderTest, person: Person) -> int:
    """How many of a person's files have been told as stored."""
    return sum(seen.type == "attachment.stored" for seen in channel.inbound.of(person.conversation_id))


async def message_latencies(channel: ChannelUnderTest, person: Person, sends: int) -> list[float]:
    """Milliseconds from a command on the topic to its text at the simulator, one after the other."""
    taken = []
    for _ in range(sends):
        text = f"probe {number()}"
        began = time.perf_counter()
        await channel.command(person, text=text)
        await eventually(lambda t=text: channel.texts(person)[-1:] == [t], 60, every=0.002, what=text)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def percentile(taken: list[float], which: int) -> int:
    """Milliseconds."""
    return round(quantiles(taken, n=100)[which - 1])
