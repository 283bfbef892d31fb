"""Edits, deletions and reactions of a bot."""

from __future__ import annotations

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto, ReplyKeyboardRemove
from telegram.error import BadRequest

BUTTON = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])


async def test_text_edit_drops_the_keyboard_unless_it_is_given_again(stage):
    sent = await stage.bot.send_message(stage.person, "one", reply_markup=BUTTON)
    edited = await stage.bot.edit_message_text("two", stage.person, sent.message_id)
    assert (edited.text, edited.reply_markup) == ("two", None)
    assert edited.edit_date is not None
    assert stage.last()["earlier"] == ["one"]


async def test_caption_media_and_markup_edits(stage, image):
    sent = await stage.bot.send_photo(stage.person, image(), caption="one", filename="a.jpg")
    edited = await stage.bot.edit_message_caption(stage.person, sent.message_id, caption="two")
    assert edited.caption == "two"
    edited = await stage.bot.edit_message_media(
        InputMediaPhoto(image(90, 90), filename="b.jpg"), stage.person, sent.message_id
    )
    assert (edited.photo[-1].width, edited.caption) == (90, None)
    edited = await stage.bot.edit_message_reply_markup(stage.person, sent.message_id, reply_markup=BUTTON)
    assert edited.reply_markup == BUTTON


async def test_edits_that_change_nothing_or_find_nothing(stage, image):
    sent = await stage.bot.send_message(stage.person, "same")
    photo = await stage.bot.send_photo(stage.person, image(), filename="a.jpg")
    theirs = stage.sim.customer.send(stage.bot_id, stage.person, "mine")["message_id"]
    keyboard = await stage.bot.send_message(stage.person, "x", reply_markup=ReplyKeyboardRemove())
    for text, message_id, problem in (
        ("same", sent.message_id, "Message is not modified"),
        ("new", 99, "Message to edit not found"),
        ("new", photo.message_id, "There is no text in the message to edit"),
        ("new", theirs, "Message can't be edited"),
        ("new", keyboard.message_id, "Message can't be edited"),
    ):
        with pytest.raises(BadRequest, match=problem):
            await stage.bot.edit_message_text(text, stage.person, message_id)
    with pytest.raises(BadRequest, match="There is no caption in the message to edit"):
        await stage.bot.edit_message_caption(stage.person, sent.message_id, caption="x")
    with pytest.raises(BadRequest, match="Message_id_invalid"):
        await stage.bot.edit_message_text("x", inline_message_id="inline")


async def test_deletion_within_two_days(stage):
    first = await stage.bot.send_message(stage.person, "one")
    old = await stage.bot.send_message(stage.person, "two")
    theirs = stage.sim.customer.send(stage.bot_id, stage.person, "mine")["message_id"]
    assert await stage.bot.delete_message(stage.person, first.message_id)
    assert await stage.bot.delete_messages(stage.person, [theirs, 99])
    shown = {m["message_id"]: m["deleted"] for m in stage.sim.conversation(stage.bot_id, stage.person)["messages"]}
    assert shown == {1: False, first.message_id: True, old.message_id: False, theirs: True}
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await stage.bot.delete_message(stage.person, first.message_id)
    stage.sim.clock.advance(48 * 3600 + 1)
    with pytest.raises(BadRequest, match="Message can't be deleted"):
        await stage.bot.delete_message(stage.person, old.message_id)


async def test_reaction_is_one_of_the_known_emoji(stage):
    theirs = stage.sim.customer.send(stage.bot_id, stage.person, "mine")["message_id"]
    for emoji in ("👍", "❤️‍🔥"):
        assert await stage.bot.set_message_reaction(stage.person, theirs, emoji)
        assert stage.last()["reactions"]["bot"][0]["emoji"] == emoji
    await stage.bot.set_message_reaction(stage.person, theirs, [])
    assert stage.last()["reactions"]["bot"] == []
    with pytest.raises(BadRequest, match="Reaction_invalid"):
        await stage.bot.set_message_reaction(stage.person, theirs, "🧨")
    with pytest.raises(BadRequest, match="Reactions_too_many"):
        await stage.bot.set_message_reaction(stage.person, theirs, ["👍", "👎"])
    with pytest.raises(BadRequest, match="Message to react not found"):
        await stage.bot.set_message_reaction(stage.person, 99, "👍")


async def test_reaction_to_an_album_lands_on_its_first_message(stage, sim, image):
    files = [sim.upload(image(), f"{n}.jpg") for n in range(2)]
    first, second = await sim.customer.album(stage.bot_id, stage.person, "photo", files)
    await stage.bot.set_message_reaction(stage.person, second["message_id"], "👍")
    shown = sim.conversation(stage.bot_id, stage.person)["messages"]
    assert [bool(message["reactions"]) for message in shown[-2:]] == [True, False]
    assert first["media_group_id"] == second["media_group_id"]
