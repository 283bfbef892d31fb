"""This release beside the one before it in one group, over one state and one broker; and back to that one, over what
this one wrote."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sandbox.channels import ROOT
from tests.chaos.conftest import Measured, count
from tests.chaos.test_replicas import coming_and_going, loaded, numbers
from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load
from tests.e2e.providers import Person
from tests.e2e.replicas import Service
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, Command, World, image, number

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

# The release before this one. Until there is a tag it is a commit that stands for it.
PREVIOUS = "0808e3f46be9bf60ef0bdc133b72d781f39d2676"
PEOPLE = 60


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before. It runs on today's libraries: one environment is brought, not two."""
    directory = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the release before: {PREVIOUS[:7]} is not in the history of this clone")
    subprocess.run(["tar", "-x"], cwd=directory, input=archive.stdout, check=True)
    return directory


@dataclass
class Told:
    """What one release has left behind for another: a message that it took in, as the provider and as we call it, and
    a command that waits."""

    question: str
    message_id: str
    waiting: Command


async def told(channel: ChannelUnderTest, person: Person, tired: Person, before: Told | None) -> Told:
    """A person writes and sends a file; the agent answers what `before` took in, and has something wait.

    `tired` is somebody of an account that cannot send.
    """
    text = f"question {number()}"
    question = await channel.write(person, text)
    received = await channel.inbound.one(person.conversation_id, lambda seen: seen.text == text)
    stored = partial(channel.inbound.of, person.conversation_id, "attachment.stored")
    files = len(stored())
    await channel.provider.send_file(person.account, person.handle, "image", image(), "photo.jpg")
    await eventually(lambda: len(stored()) > files, what="the file")
    target = {} if before is None else {"reply_to": {"message_id": before.message_id}}
    (status,) = await channel.sends(person, f"answer {number()}", **target)
    assert status["state"] in SENT
    if before is not None and channel.name != "tiktok":  # which has no replies
        assert channel.provider.got(person)[-1].reply_to == before.question
    waiting = await channel.command(tired, text=f"later {number()}")
    await channel.statuses.state(waiting.id, "deferred")
    return Told(question, received.data["message_id"], waiting)


async def changed_over(service: Service, code: Path) -> None:
    """A rollout: one replica after the other."""
    for replica in service.replicas:
        await service.let_go(replica)
        replica.code = code
        await service.bring_back(replica)


@pytest.mark.parametrize("world", [KAFKA], indirect=True)
@pytest.mark.parametrize("name", ["telegram", "tiktok", "whatsapp"])  # email is younger than the release before
async def test_two_releases_side_by_side_and_back(world: World, name: str, previous: Path, measured: Measured) -> None:
    channel = await loaded(world, name, 0)
    service = channel.service
    await asyncio.gather(*(service.add(previous) for _ in range(3)))
    account, poor = await channel.account(), await channel.account()
    people = await channel.people(account, PEOPLE)
    person, tired = people[0], await channel.person(poor)
    channel.provider.revoke(poor)
    loads: list[Load] = []
    traffic: list[asyncio.Task[None]] = []

    def flows() -> None:
        """From now on, beside what comes: messages both ways, for ten seconds at least."""
        load = Load(channel, people[1:], messages=count(1500), commands=count(1500))
        loads.append(load)
        traffic.extend(asyncio.create_task(way(per_second=150)) for way in (load.write, load.command))

    flows()
    old = await told(channel, person, tired, None)
    service.replicas[0].code = service.replicas[1].code = ROOT
    flows()
    left = await coming_and_going(service, asyncio.create_task(asyncio.sleep(20)), random.Random(4))
    mixed = await told(channel, person, tired, old)
    flows()
    await changed_over(service, ROOT)
    new = await told(channel, person, tired, mixed)
    flows()
    await changed_over(service, previous)
    back = await told(channel, person, tired, new)

    await channel.change(poor, channel.provider.reauthorise(poor))
    waited = [one.waiting for one in (old, mixed, new, back)]
    for command in waited:
        assert {status["state"] for status in await channel.statuses.end(command.id)} <= SENT
    assert channel.texts(tired) == [command.text for command in waited]
    await asyncio.gather(*traffic)
    counted: Counter[str] = Counter()
    for load in loads:
        await load.settled(300)
        result = load.result()
        counted.update(numbers(result))
        result.assert_exact()
        assert (result.uncertain, result.repeated_in) == (0, 0)
    measured(**counted, times_a_replica_left=left + 2 * len(service.replicas), waited_for_another_release=len(waited))
    assert channel.dead.all == []
    assert channel.provider.bad_requests() == []
