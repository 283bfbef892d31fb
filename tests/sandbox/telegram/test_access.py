"""Whom a bot may write to, and what it is told when it may not."""

from __future__ import annotations

import pytest
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken


async def refusal(stage, chat_id) -> str:
    with pytest.raises((Forbidden, BadRequest)) as refused:
        await stage.bot.send_message(chat_id, "hi")
    return refused.value.message


async def test_private_chats(stage, sim):
    stranger = sim.setup.person()["id"]
    assert await refusal(stage, stranger) == "Forbidden: bot can't initiate conversation with a user"
    assert await refusal(stage, 999) == "Chat not found"
    assert await refusal(stage, "@nobody") == "Chat not found"
    assert await refusal(stage, sim.setup.bot()["id"]) == "Forbidden: bot can't send messages to bots"
    sim.setup.block(stage.bot_id, stage.person)
    assert await refusal(stage, stage.person) == "Forbidden: bot was blocked by the user"
    sim.customer.start(stage.bot_id, stage.person)
    await stage.bot.send_message(stage.person, "welcome back")
    sim.setup.deactivate(stage.person)
    assert await refusal(stage, stage.person) == "Forbidden: user is deactivated"


async def test_block_and_unblock_are_told_as_my_chat_member(stage, sim):
    sim.setup.block(stage.bot_id, stage.person)
    sim.setup.block(stage.bot_id, stage.person)  # blocked already: nothing to tell
    sim.setup.block(stage.bot_id, stage.person, blocked=False)
    updates = await stage.bot.get_updates()
    states = [(u.my_chat_member.old_chat_member.status, u.my_chat_member.new_chat_member.status) for u in updates]
    assert states == [("member", "kicked"), ("kicked", "member")]


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("kicked", "Forbidden: bot was kicked from the supergroup chat"),
        ("left", "Forbidden: bot is not a member of the supergroup chat"),
        ("restricted", "Not enough rights to send text messages to the chat"),
    ],
)
async def test_group_membership(stage, sim, status, problem):
    group = sim.setup.group("Team", bot_ids=[stage.bot_id])["id"]
    await stage.bot.send_message(group, "hi")
    sim.setup.membership(stage.bot_id, group, status)
    assert await refusal(stage, group) == problem
    update = (await stage.bot.get_updates())[0]
    assert update.my_chat_member.new_chat_member.status == status


async def test_groups_deleted_unknown_and_topics(stage, sim):
    group = sim.setup.group("Forum", username="forum", is_forum=True, bot_ids=[stage.bot_id])["id"]
    sim.setup.topic(group, 7)
    assert (await stage.bot.send_message("@Forum", "hi", message_thread_id=7)).is_topic_message is True
    with pytest.raises(BadRequest, match="Message thread not found"):
        await stage.bot.send_message(group, "hi", message_thread_id=8)
    sim.setup.delete_group(group)
    assert await refusal(stage, group) == "Forbidden: the group chat was deleted"
    assert await refusal(stage, sim.setup.group("Other")["id"]) == "Chat not found"


async def test_channel_posts_come_from_the_channel(stage, sim):
    channel = sim.setup.group("News", type="channel", bot_ids=[stage.bot_id])["id"]
    sent = await stage.bot.send_message(channel, "hi")
    assert (sent.sender_chat.id, sent.from_user) == (channel, None)
    sim.setup.membership(stage.bot_id, channel, "member")
    assert "administrator rights" in await refusal(stage, channel)


async def test_migrated_group_names_its_successor(stage, sim):
    group = sim.setup.group("Small", type="group", bot_ids=[stage.bot_id])["id"]
    new = sim.setup.migrate(group)["id"]
    with pytest.raises(ChatMigrated) as moved:
        await stage.bot.send_message(group, "hi")
    assert moved.value.new_chat_id == new
    assert (await stage.bot.send_message(new, "hi")).chat.type == "supergroup"
    updates = await stage.bot.get_updates()
    assert updates[0].message.migrate_to_chat_id == new
    assert updates[1].message.migrate_from_chat_id == group


async def test_get_chat_and_get_me(stage, sim):
    assert (await stage.bot.get_chat(stage.person)).username == "ada"
    me = await stage.bot.get_me()
    assert (me.id, me.can_connect_to_business) == (stage.bot_id, True)
    with pytest.raises(BadRequest, match="Chat not found"):
        await stage.bot.get_chat(sim.setup.person()["id"])


@pytest.mark.parametrize(
    ("path", "status", "description"),
    [
        ("bot1:unknown/getMe", 401, "Unauthorized"),
        ("botnonsense/getMe", 401, "Unauthorized: invalid token specified"),
        ("bot{token}/sendTelepathy", 404, "Not Found: method not found"),
        ("other", 404, "Not Found"),
    ],
)
async def test_what_does_not_exist(stage, http, path, status, description):
    answer = await http("GET", f"/{path.format(token=stage.token)}")
    assert (answer.status, answer.json["description"]) == (status, description)
    stage.sim.world.violations.clear()


async def test_a_bot_that_logged_out_is_away_for_ten_minutes(stage, sim):
    assert await stage.bot.log_out()
    with pytest.raises(BadRequest, match="Logged out"):
        await stage.bot.get_me()
    sim.clock.advance(601)
    assert await stage.bot.close()


async def test_a_new_token_revokes_the_old_one(stage, sim):
    sim.setup.bot(token=f"{stage.bot_id}:new")
    with pytest.raises(InvalidToken):
        await stage.bot.get_me()


async def test_a_revoked_bot_gets_a_new_token(stage, sim):
    sim.setup.revoke(stage.bot_id)
    assert sim.setup.bot(token=f"{stage.bot_id}:new")["id"] == stage.bot_id
    with pytest.raises(InvalidToken):
        await stage.bot.get_me()
