"""Business connections: the window, the rights, echoes and deletions."""

from __future__ import annotations

import pytest
from telegram.error import BadRequest


@pytest.fixture
def shop(stage, sim):
    """A business connection, and a customer who has just written."""
    owner = sim.setup.person(first_name="Owner")["id"]
    connection = sim.setup.connection(stage.bot_id, owner)["id"]
    customer = sim.setup.person(first_name="Carl")["id"]
    question = sim.customer.send(stage.bot_id, customer, "Open today?", connection_id=connection)
    return {"connection": connection, "owner": owner, "customer": customer, "question": question["message_id"]}


async def test_updates_of_a_connection(stage, sim, shop):
    echo = sim.customer.owner_sends(shop["connection"], shop["customer"], "Yes, by hand")
    sim.customer.edit(stage.bot_id, shop["customer"], shop["question"], "Open?", connection_id=shop["connection"])
    sim.customer.delete(stage.bot_id, shop["customer"], [shop["question"]], connection_id=shop["connection"])
    sim.setup.change_connection(shop["connection"], is_enabled=False)
    linked, question, reply, edited, deleted, unlinked = await stage.bot.get_updates()
    assert (linked.business_connection.is_enabled, linked.business_connection.rights.can_reply) == (True, True)
    assert question.business_message.from_user.id == shop["customer"]
    assert reply.business_message.from_user.id == shop["owner"]
    assert reply.business_message.message_id == echo["message_id"]
    assert edited.edited_business_message.text == "Open?"
    assert deleted.deleted_business_messages.message_ids == (shop["question"],)
    assert unlinked.business_connection.is_enabled is False


async def test_the_bot_answers_in_the_owners_name(stage, sim, shop):
    sent = await stage.bot.send_message(shop["customer"], "Yes", business_connection_id=shop["connection"])
    assert (sent.from_user.id, sent.sender_business_bot.id) == (shop["owner"], stage.bot_id)
    assert sent.business_connection_id == shop["connection"]
    edited = await stage.bot.edit_message_text(
        "Yes!", shop["customer"], sent.message_id, business_connection_id=shop["connection"]
    )
    assert edited.text == "Yes!"
    assert await stage.bot.send_chat_action(shop["customer"], "typing", business_connection_id=shop["connection"])
    shown = sim.conversation(stage.bot_id, shop["customer"], shop["connection"])
    assert [message["text"] for message in shown["messages"]] == ["Open today?", "Yes!"]


async def test_the_window_closes_after_a_day_without_a_message_of_the_customer(stage, sim, shop):
    sim.clock.advance(86_400)
    await stage.bot.send_message(shop["customer"], "last", business_connection_id=shop["connection"])
    sim.clock.advance(1)
    with pytest.raises(BadRequest, match="Business_peer_usage_missing"):
        await stage.bot.send_message(shop["customer"], "late", business_connection_id=shop["connection"])
    sim.customer.send(stage.bot_id, shop["customer"], "still there?", connection_id=shop["connection"])
    await stage.bot.send_message(shop["customer"], "yes", business_connection_id=shop["connection"])


async def test_who_may_be_written_to(stage, sim, shop):
    stranger = sim.setup.person()["id"]
    for chat_id, connection, problem in (
        (shop["customer"], "nothing", "Business connection not found"),
        (shop["owner"], shop["connection"], "Messages must not be sent to self"),
        (-100500, shop["connection"], "Chat must be a private chat"),
        (stranger, shop["connection"], "Business_peer_invalid"),
    ):
        with pytest.raises(BadRequest, match=problem):
            await stage.bot.send_message(chat_id, "hi", business_connection_id=connection)


async def test_rights(stage, sim, shop):
    def business(**more):
        return {"business_connection_id": shop["connection"], **more}

    sent = await stage.bot.send_message(shop["customer"], "Yes", business_connection_id=shop["connection"])
    assert await stage.bot.read_business_message(shop["connection"], shop["customer"], shop["question"])
    shown = sim.conversation(stage.bot_id, shop["customer"], shop["connection"])["messages"]
    assert shown[0]["read"] is True
    sim.setup.change_connection(shop["connection"], rights=["can_delete_sent_messages"])
    for method, parameters in (
        ("sendMessage", business(chat_id=shop["customer"], text="x")),
        ("readBusinessMessage", business(chat_id=shop["customer"], message_id=shop["question"])),
        ("deleteBusinessMessages", business(message_ids=[shop["question"]])),
    ):
        with pytest.raises(BadRequest, match="Bot_access_forbidden"):
            await stage.call(method, **parameters)
    assert await stage.bot.delete_business_messages(shop["connection"], [sent.message_id])
    assert (await stage.bot.get_business_connection(shop["connection"])).rights.can_reply is None


async def test_ids_are_unique_within_a_business_account(stage, sim, shop):
    other = sim.setup.person()["id"]
    message = sim.customer.send(stage.bot_id, other, "me too", connection_id=shop["connection"])
    assert message["message_id"] == shop["question"] + 1
    assert await stage.bot.delete_business_messages(shop["connection"], [message["message_id"]])
    assert sim.conversation(stage.bot_id, other, shop["connection"])["messages"][0]["deleted"] is True


async def test_without_the_connection_id_the_bot_is_a_stranger(stage, shop):
    with pytest.raises(Exception, match="can't initiate conversation"):
        await stage.bot.send_message(shop["customer"], "hi")
