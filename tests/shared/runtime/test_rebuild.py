"""Rebuild: what Valkey has lost comes back from the topics, as it was."""

from __future__ import annotations

import pytest

from shared.contract.commands import CommandType
from shared.runtime.tools.rebuild import rebuild
from shared.state.client import StateUnavailable
from tests.shared.runtime.plain_channel import item
from tests.shared.runtime.world import CONVERSATION, World


async def again(world: World) -> dict[str, int]:
    return dict(await rebuild(world.channel, world.accounts, world.log, world.store, world.blobs, world.topics))


async def known(world: World) -> dict[str, str]:
    return (await world.store.observe(CONVERSATION)).conversation


async def test_a_conversation_is_as_it_was(world: World) -> None:
    await world.receive(item(id="m1", peer="p1", name="Ida"), item(id="m2", peer="p1"))
    await world.send(text="hello", command_id="c1")
    before = await known(world)
    await world.client.call("FLUSHALL")
    used = await again(world)
    assert used["raw"] == 2
    assert await known(world) == before
    await world.send(text="hello", command_id="c1")
    assert world.provider.texts() == ["hello"], "sent a second time"


async def test_a_flag_that_no_message_brings_back_comes_from_the_feed(world: World) -> None:
    await world.receive(item(id="m1", peer="p1"))
    await world.send(CommandType.CONTACT_BLOCK)
    await world.client.call("FLUSHALL")
    await again(world)
    assert (await known(world))["blocked"] == "1"


@pytest.mark.parametrize("gone", ["acc_9"])
async def test_items_of_an_account_that_is_gone_are_passed_over(
    world: World, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep(seconds: float) -> None:
        world.clock.advance(seconds)

    monkeypatch.setattr("shared.runtime.tools.rebuild.asyncio.sleep", sleep)
    await world.raw(item(id="m1", account=gone), item(id="m2", peer="p1"))
    assert (await again(world))["raw"] == 2
    assert await known(world)


async def test_without_the_store_it_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.raw(item(id="m1", peer="p1"))

    async def away(*_: object) -> None:
        raise StateUnavailable("away")

    monkeypatch.setattr(world.client, "script", away)
    with pytest.raises(StateUnavailable):
        await again(world)
