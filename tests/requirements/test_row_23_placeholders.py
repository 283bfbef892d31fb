"""Row 23: what a provider sends and we do not know is shown as such: never dropped, never a crash, counted by type."""

from __future__ import annotations

import random
import string

import pytest

from tests.e2e.providers import NAMES, Said
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
TYPES = 200
WITH_TYPES = [name for name in NAMES if name != "email"]  # what a mail has of unknown types are its files


def _fuzzed(rng: random.Random, depth: int = 0) -> object:
    """Any JSON a provider may come up with."""
    leaves = (None, True, -1, 2**62, 0.5, "", "text", "\ud83d".encode("utf-16", "surrogatepass").hex(), "Ünï\u0000")
    if depth > 2 or rng.random() < 0.4:
        return rng.choice(leaves)
    if rng.random() < 0.4:
        return [_fuzzed(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {"".join(rng.choices(string.ascii_lowercase, k=6)): _fuzzed(rng, depth + 1) for _ in range(rng.randrange(5))}


@pytest.mark.parametrize("channel", WITH_TYPES, indirect=True)
async def test_two_hundred_unknown_types_are_two_hundred_placeholders(channel: Channel) -> None:
    rng = random.Random(23)
    account = await channel.account()
    dead = len(channel.dead.all)
    names = [f"zz_{number}_{''.join(rng.choices(string.ascii_lowercase, k=8))}" for number in range(TYPES)]
    for number, name in enumerate(names):
        said = Said(number % 20, 1000 + number, type=name, content={"value": _fuzzed(rng)})
        await channel.webhook(account, channel.provider.wrote(account, said))
    events = await channel.events(account, TYPES)
    assert len(events) == TYPES
    assert {event.type for event in events} == {"message.received"}
    assert {event.data["content"]["kind"] for event in events} <= {"unsupported", "custom_payload"}
    assert all(event.text for event in events)
    assert {event.data["provider"]["type"] for event in events} == set(names)
    assert len(channel.dead.all) == dead
    for name in rng.sample(names, 10):
        labels = {"channel": channel.name, "type": name}
        assert await channel.service.metric("connector_unsupported_messages_total", **labels) == 1


async def test_what_the_provider_keeps_to_itself_is_unsupported_with_a_reason(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    content = {"type": "poll_creation"}
    await whatsapp.webhook(account, whatsapp.provider.wrote(account, Said(1, 1, type="unsupported", content=content)))
    (event,) = await whatsapp.events(account, 1)
    assert event.data["content"]["kind"] == "unsupported"
    assert event.data["content"]["reason"]
    assert event.data["provider"]["type"]


@pytest.mark.parametrize("channel", WITH_TYPES, indirect=True)
async def test_content_that_is_not_modelled_is_kept_whole(channel: Channel) -> None:
    account = await channel.account()
    content = {"deep": [{"er": {"still": 1}}], "name": "Zähler"}
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 1, type="zz_gadget", content=content)))
    (event,) = await channel.events(account, 1)
    assert event.data["content"]["kind"] == "custom_payload"
    assert _holds(event.data["content"]["raw"], content)


def _holds(value: object, wanted: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == wanted or any(_holds(one, wanted) for one in inner)
