"""getUpdates, and what customers' acts look like to a bot."""

from __future__ import annotations

import asyncio

import pytest
from telegram.error import BadRequest, Conflict

from sandbox.simulators.common import ControlError


async def test_offset_confirms_and_limit_limits(stage, sim):
    for number in range(5):
        sim.customer.send(stage.bot_id, stage.person, f"m{number}")
    first = await stage.bot.get_updates(limit=2)
    assert [update.message.text for update in first] == ["m0", "m1"]
    assert await stage.bot.get_updates(limit=2) == first  # not confirmed: the same again
    rest = await stage.bot.get_updates(offset=first[-1].update_id + 1)
    assert [update.message.text for update in rest] == ["m2", "m3", "m4"]
    assert [u.message.text for u in await stage.bot.get_updates(offset=-1)] == ["m4"]
    assert await stage.bot.get_updates(offset=rest[-1].update_id + 1) == ()
    assert sim.counters["updates_delivered"] == 5


async def test_long_poll_waits_for_a_message_and_ends_by_timeout(stage, sim):
    poll = asyncio.create_task(stage.bot.get_updates(timeout=30))
    await waiting(sim)
    sim.customer.send(stage.bot_id, stage.person, "now")
    (update,) = await poll
    assert update.message.text == "now"
    poll = asyncio.create_task(stage.bot.get_updates(offset=update.update_id + 1, timeout=30))
    await waiting(sim)
    sim.clock.advance(30)
    assert await poll == ()


async def waiting(sim) -> None:
    """Until a long poll is waiting on the clock."""
    async with asyncio.timeout(5):
        while not sim.clock.live:
            await asyncio.sleep(0)


async def test_updates_live_for_a_day_and_callbacks_for_150_seconds(stage, sim):
    button = {"inline_keyboard": [[{"text": "x", "callback_data": "d"}]]}
    sent = await stage.call("sendMessage", chat_id=stage.person, text="press", reply_markup=button)
    sim.customer.press(stage.bot_id, stage.person, sent["message_id"], "d")
    sim.customer.send(stage.bot_id, stage.person, "hello")
    sim.clock.advance(150)
    (update,) = await stage.bot.get_updates()
    assert update.message.text == "hello"
    sim.clock.advance(86_400)
    assert await stage.bot.get_updates() == ()
    assert sim.counters["updates_expired"] == 2


async def test_the_older_of_two_polls_is_ended(stage, sim):
    older = asyncio.create_task(stage.bot.get_updates(timeout=30))
    await waiting(sim)
    newer = asyncio.create_task(stage.bot.get_updates(timeout=0))
    with pytest.raises(Conflict, match="terminated by other getUpdates request"):
        await older
    assert await newer == ()


async def test_a_webhook_and_getupdates_exclude_each_other(stage, sim):
    poll = asyncio.create_task(stage.bot.get_updates(timeout=30))
    await waiting(sim)
    await stage.bot.set_webhook("http://127.0.0.1:9/hook")
    with pytest.raises(Conflict, match="terminated by setWebhook request"):
        await poll
    with pytest.raises(Conflict, match="can't use getUpdates method while webhook is active"):
        await stage.bot.get_updates()
    await stage.bot.delete_webhook()
    assert await stage.bot.get_updates() == ()


async def test_reactions_must_be_asked_for_and_the_list_persists(stage, sim):
    message = sim.customer.send(stage.bot_id, stage.person, "hi")["message_id"]
    sim.customer.react(stage.bot_id, stage.person, message, ["👍"])
    (update,) = await stage.bot.get_updates(allowed_updates=["message_reaction", "no_such_kind"])
    assert update.message is not None  # the reaction came before it was wanted
    sim.customer.send(stage.bot_id, stage.person, "no longer wanted")
    sim.customer.react(stage.bot_id, stage.person, message, ["🔥"])
    (update,) = await stage.bot.get_updates(offset=update.update_id + 1)
    assert update.message_reaction.old_reaction[0].emoji == "👍"
    assert update.message_reaction.new_reaction[0].emoji == "🔥"
    assert (await stage.bot.get_webhook_info()).allowed_updates == ("message_reaction",)


async def test_what_a_customer_does(stage, sim, image):
    send = sim.customer
    start = send.start(stage.bot_id, stage.person, "campaign-7")
    reply = send.send(stage.bot_id, stage.person, "about this", reply_to=start["message_id"])
    send.edit(stage.bot_id, stage.person, reply["message_id"], "about that")
    photo = await send.send_file(
        stage.bot_id, stage.person, "photo", sim.upload(image(400, 300), "p.jpg"), caption="see #1"
    )
    send.send(stage.bot_id, stage.person, fields={"dice": {"emoji": "🎲", "value": 6}})
    send.update(stage.bot_id, {"subscription": {"new": "kind"}})
    updates = await stage.bot.get_updates()
    assert updates[0].message.text == "/start campaign-7"
    assert updates[0].message.entities[0].type == "bot_command"
    assert updates[1].message.reply_to_message.message_id == start["message_id"]
    assert updates[2].edited_message.text == "about that"
    assert updates[2].edited_message.edit_date is not None
    assert updates[3].message.photo[-1].file_id == photo["photo"][-1]["file_id"]
    assert updates[3].message.caption == "see #1"
    assert updates[4].message.dice.value == 6
    assert updates[5].api_kwargs == {"subscription": {"new": "kind"}}


async def test_button_press_is_answered_once_and_in_time(stage, sim):
    button = {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]}
    sent = await stage.call("sendMessage", chat_id=stage.person, text="Sure?", reply_markup=button)
    sim.customer.press(stage.bot_id, stage.person, sent["message_id"], "yes")
    (update,) = await stage.bot.get_updates()
    query = update.callback_query
    assert (query.data, query.message.message_id) == ("yes", sent["message_id"])
    assert await stage.bot.answer_callback_query(query.id, "Noted")
    with pytest.raises(BadRequest, match="Query is too old"):
        await stage.bot.answer_callback_query(query.id)
    late = sim.customer.press(stage.bot_id, stage.person, sent["message_id"], "yes")
    sim.clock.advance(151)
    with pytest.raises(BadRequest, match="Query is too old"):
        await stage.bot.answer_callback_query(late)
    with pytest.raises(ControlError, match="no such button"):
        sim.customer.press(stage.bot_id, stage.person, sent["message_id"], "other")


async def test_privacy_mode_hides_group_talk(sim):
    shy = sim.setup.bot(privacy_mode=True)["id"]
    group = sim.setup.group("Team", bot_ids=[shy])["id"]
    person = sim.setup.person()["id"]
    sim.customer.send(shy, person, "just talking", chat_id=group)
    sim.customer.send(shy, person, "/help", chat_id=group)
    assert len(sim.world.bots[shy].updates.pending) == 1


async def test_a_customer_cannot_do_what_telegram_does_not_offer(stage, sim):
    sent = await stage.bot.send_message(stage.person, "mine")
    with pytest.raises(ControlError, match="only their own"):
        sim.customer.edit(stage.bot_id, stage.person, sent.message_id, "hacked")
    with pytest.raises(ControlError, match="no such message"):
        sim.customer.react(stage.bot_id, stage.person, 99, ["👍"])
    sim.setup.block(stage.bot_id, stage.person)
    with pytest.raises(ControlError, match="has blocked the bot"):
        sim.customer.send(stage.bot_id, stage.person, "hi")
