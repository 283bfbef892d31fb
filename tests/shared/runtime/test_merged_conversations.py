"""Two conversations that turn out to be one contact's: the first goes on with the state of both, and links live."""

from __future__ import annotations

import pytest

from shared.contract.commands import CommandType
from tests.shared.runtime.plain_channel import item
from tests.shared.runtime.world import World

FIRST, SECOND = "plain:acc_1:phone", "plain:acc_1:user"
MARKETING = {"kind": "template", "name": "sale", "language": "en", "category": "MARKETING"}


@pytest.fixture
async def merged(world: World) -> World:
    """Both names were used apart, the second said stop; then they came together."""
    await world.receive(item(id="m1", peer="phone", name="Ove", address={"phone": "1"}))
    world.clock.advance(1)
    await world.receive(item(id="m2", peer="user", address={"user": "2"}))
    await world.receive(item("consent", peer="user", id="stop", consent="opted_out"))
    world.clock.advance(1)
    await world.receive(item(id="m3", peer="user", names=["phone"], address={"user": "2"}))
    return world


async def test_an_inbox_is_told_once_which_conversation_has_become_part(merged: World) -> None:
    await merged.receive(item(id="m4", peer="user"), item(id="m5", peer="phone"))
    events = await merged.events()
    assert [data["conversation_id"] for _, data in events] == [FIRST, SECOND, SECOND, FIRST, FIRST, FIRST, FIRST]
    [told] = [data for name, data in events if name == "contact.updated"]
    assert (told["merged_from"], told["reason"]) == (SECOND, "conversations_merged")


async def test_a_stop_said_under_the_other_name_holds_and_is_lifted_by_either(merged: World) -> None:
    for number, conversation in enumerate((FIRST, SECOND)):
        await merged.send(command_id=f"no{number}", conversation_id=conversation, content=MARKETING)
        assert await merged.states(f"no{number}") == ["rejected"]
    assert (await merged.feed(FIRST))[-1]["opted_out"] is True
    await merged.receive(item("consent", peer="user", id="resume", consent="opted_in"))
    await merged.send(command_id="yes", conversation_id=SECOND, content=MARKETING)
    assert (await merged.states("yes"))[-1] == "sent"


async def test_a_link_to_either_leads_to_the_one(merged: World) -> None:
    await merged.send(command_id="c1", conversation_id=SECOND)
    assert {status["conversation_id"] for status in await merged.statuses("c1")} == {FIRST}
    await merged.send(CommandType.CONTACT_BLOCK, conversation_id=SECOND)
    await merged.receive(item(id="m6", peer="phone"))
    assert (await merged.events())[-1][1]["contact_blocked"] is True


async def test_what_was_said_before_is_replied_to_and_not_told_again(merged: World) -> None:
    before = len(await merged.events())
    await merged.receive(item(id="m2", peer="user", address={"user": "2"}))
    assert len(await merged.events()) == before, "a redelivered webhook"
    await merged.receive(item(id="m7", peer="phone", reply_to="user:m2"))
    assert (await merged.events())[-1][1]["reply_to"]["resolved"] is True
    old = next(data for _, data in await merged.events() if data["conversation_id"] == SECOND)
    await merged.send(command_id="c1", conversation_id=FIRST, reply_to={"message_id": old["message_id"]})
    assert merged.provider.made[-1].params["reply"] == "user:m2"


async def test_what_is_known_of_either_is_known_of_the_one(merged: World) -> None:
    kept = await merged.store.record(FIRST)
    assert kept["name"] == "Ove"
    assert kept["last_ref"] == "user:m3"
    assert kept["replied"] == "1"
    await merged.receive(item(id="m8", peer="user"))
    assert (await merged.events())[-1][1]["sender"]["display_name"] == "Ove"


async def test_a_command_that_began_in_the_other_one_is_not_made_twice(world: World) -> None:
    await world.receive(item(id="m1", peer="phone"), item(id="m2", peer="user"))
    command = await world.command(command_id="c1", conversation_id=SECOND)
    await world.handle(command)
    await world.receive(item(id="m3", peer="user", names=["phone"]))
    await world.restart()
    await world.handle(command)
    assert len(world.provider.made) == 1


async def test_a_status_that_names_whom_it_reached_names_the_conversation(world: World) -> None:
    await world.receive(item(id="m1", peer="phone"))
    await world.send(command_id="c1", conversation_id=FIRST)
    [sent] = [status for status in await world.statuses("c1") if status["state"] == "sent"]
    await world.receive(item("status", id=sent["provider_message_id"], state="delivered", peer="user"))
    await world.receive(item(id="m2", peer="user"))
    assert (await world.events())[-1][1]["conversation_id"] == FIRST


async def test_a_number_that_passed_on_joins_nobody(world: World) -> None:
    def person(user: str) -> dict[str, object]:
        return {"peer": user, "names": ["number"], "aliases": [{"kind": "bsuid", "value": user}]}

    await world.receive(item(id="m1", **person("DE.A1")))
    await world.receive(item(id="m2", peer="DE.B2", aliases=[{"kind": "bsuid", "value": "DE.B2"}]))
    await world.receive(item(id="m3", **person("DE.B2")), item(id="m4", peer="DE.A1"), item(id="m5", peer="number"))
    told = [data for name, data in await world.events() if name == "message.received"]
    assert [data["conversation_id"].rpartition(":")[2] for data in told] == [
        "DE.A1", "DE.B2", "DE.B2", "DE.A1", "DE.B2",
    ]  # fmt: skip
