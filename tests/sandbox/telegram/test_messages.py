"""Messages without files, sent with the real SDK."""

from __future__ import annotations

import pytest
from telegram import (
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from telegram.error import BadRequest

from sandbox.simulators.common import mark

BEGINNING = "Entity beginning at utf-16 offset 1"


async def test_text_comes_back_as_a_message_and_reaches_the_customer(stage):
    sent = await stage.bot.send_message(
        stage.person, "Hello 😀 example.com", link_preview_options=LinkPreviewOptions(is_disabled=True)
    )
    assert sent.message_id == 2  # /start was the first
    assert (sent.chat.id, sent.chat.username, sent.from_user.id) == (stage.person, "ada", stage.bot_id)
    assert int(sent.date.timestamp()) == 1_800_000_000
    assert [(e.type, e.offset, e.length) for e in sent.entities] == [("url", 9, 11)]
    assert stage.last()["text"] == "Hello 😀 example.com"
    assert stage.last()["outgoing"] is True


async def test_message_ids_grow_by_one_in_each_chat(stage):
    other = stage.sim.setup.person()["id"]
    stage.sim.customer.start(stage.bot_id, other)
    first = [(await stage.bot.send_message(stage.person, "a")).message_id for _ in range(3)]
    second = (await stage.bot.send_message(other, "b")).message_id
    assert (first, second) == ([2, 3, 4], 2)


async def test_given_entities_are_kept_and_blanks_around_the_text_are_cut(stage):
    sent = await stage.bot.send_message(stage.person, "  bold end \n", entities=[MessageEntity("bold", 2, 4)])
    assert sent.text == "bold end"
    assert [(e.type, e.offset, e.length) for e in sent.entities] == [("bold", 0, 4)]


@pytest.mark.parametrize(
    ("text", "entities", "problem"),
    [
        ("x" * 4097, [], "Message is too long"),
        ("x" * 32_769, [], "Text is too long"),
        ("\u200b \u2060", [], "Text must be non-empty"),
        (
            "😀",
            [MessageEntity("bold", 1, 1)],
            f"{BEGINNING} ends in a middle of a utf-16 symbol",
        ),
        ("ab", [MessageEntity("bold", 1, 2)], f"{BEGINNING} ends after the end of the text"),
    ],
)
async def test_text_outside_the_limits_is_refused(stage, text, entities, problem):
    with pytest.raises(BadRequest) as refused:
        await stage.bot.send_message(stage.person, text, entities=entities)
    assert refused.value.message == problem
    assert stage.sim.sent(stage.person) == []


async def test_the_length_limit_counts_code_points_after_parsing(stage):
    sent = await stage.bot.send_message(stage.person, "<b>" + "😀" * 4096 + "</b>", parse_mode="HTML")
    assert len(sent.text) == 4096
    assert sent.entities[0].length == 8192


async def test_reply_shows_the_message_it_answers(stage):
    question = stage.sim.customer.send(stage.bot_id, stage.person, "When do you open?")
    parameters = ReplyParameters(question["message_id"], quote="do you")
    sent = await stage.bot.send_message(stage.person, "At nine", reply_parameters=parameters)
    assert sent.reply_to_message.text == "When do you open?"
    assert (sent.quote.text, sent.quote.position) == ("do you", 5)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (ReplyParameters(99), "Message to be replied not found"),
        (ReplyParameters(1, quote="not there"), "Quote_text_invalid"),
    ],
)
async def test_reply_to_something_absent_is_refused(stage, parameters, problem):
    with pytest.raises(BadRequest, match=problem):
        await stage.bot.send_message(stage.person, "hi", reply_parameters=parameters)


async def test_reply_may_be_given_up(stage):
    parameters = ReplyParameters(99, allow_sending_without_reply=True)
    sent = await stage.bot.send_message(stage.person, "hi", reply_parameters=parameters)
    assert sent.reply_to_message is None


async def test_inline_keyboard_is_part_of_the_message_and_a_reply_keyboard_is_not(stage):
    inline = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])
    sent = await stage.bot.send_message(stage.person, "Sure?", reply_markup=inline)
    assert sent.reply_markup.inline_keyboard[0][0].callback_data == "y"
    sent = await stage.bot.send_message(stage.person, "Sure?", reply_markup=ReplyKeyboardMarkup([["Yes", "No"]]))
    assert sent.reply_markup is None
    assert stage.last()["keyboard"]["keyboard"] == [[{"text": "Yes"}, {"text": "No"}]]
    await stage.bot.send_message(stage.person, "Name?", reply_markup=ForceReply())
    assert stage.last()["keyboard"] == {"force_reply": True}


@pytest.mark.parametrize(
    ("buttons", "problem"),
    [
        ([[{"text": "x", "callback_data": "ä" * 33}]], "Button_data_invalid"),
        ([[{"text": "x", "url": "not a url"}]], "Button_url_invalid"),
        ([[{"text": "x"}]], "Can't parse inline keyboard button"),
        ([[{"text": "x", "callback_data": "1"}]] * 101, "Reply markup is too long"),
    ],
)
async def test_buttons_outside_the_limits_are_refused(stage, buttons, problem):
    with pytest.raises(BadRequest, match=problem):
        await stage.call("sendMessage", chat_id=stage.person, text="x", reply_markup={"inline_keyboard": buttons})


async def test_location_venue_contact_and_poll(stage):
    location = (await stage.bot.send_location(stage.person, 48.2, 16.4)).location
    assert (location.latitude, location.longitude) == (48.2, 16.4)
    venue = await stage.bot.send_venue(stage.person, 48.2, 16.4, "Office", "Ring 1")
    assert venue.venue.title == "Office"
    assert venue.location.longitude == 16.4
    assert (await stage.bot.send_contact(stage.person, "+431", "Eva")).contact.first_name == "Eva"
    poll = (await stage.bot.send_poll(stage.person, "Tea?", ["Yes", "No"])).poll
    assert [option.text for option in poll.options] == ["Yes", "No"]
    assert [sent.kind for sent in stage.sim.sent(stage.person)] == ["location", "venue", "contact", "poll"]


async def test_impossible_location_and_short_poll_are_refused(stage):
    with pytest.raises(BadRequest, match="Invalid location"):
        await stage.bot.send_location(stage.person, 91, 0)
    with pytest.raises(BadRequest, match="Poll must have at least 2 option"):
        await stage.bot.send_poll(stage.person, "Tea?", ["Yes"])


async def test_copy_and_forward(stage):
    source = stage.sim.customer.send(stage.bot_id, stage.person, "Keep this")
    copied = await stage.bot.copy_message(stage.person, stage.person, source["message_id"])
    assert stage.last()["message_id"] == copied.message_id
    assert stage.last()["text"] == "Keep this"
    forwarded = await stage.bot.forward_message(stage.person, stage.person, source["message_id"])
    assert forwarded.forward_origin.sender_user.id == stage.person
    with pytest.raises(BadRequest, match="Message to copy not found"):
        await stage.bot.copy_message(stage.person, stage.person, 77)


async def test_chat_action_shows_for_five_seconds_or_until_a_message(stage):
    def actions() -> list[str]:
        conversation = stage.sim.conversation(stage.bot_id, stage.person)
        return [shown["action"] for shown in conversation["actions"]]

    await stage.bot.send_chat_action(stage.person, "typing")
    assert actions() == ["typing"]
    stage.sim.clock.advance(5)
    assert actions() == []
    await stage.bot.send_chat_action(stage.person, "upload_photo")
    await stage.bot.send_message(stage.person, "done")
    assert actions() == []
    with pytest.raises(BadRequest, match="Wrong parameter action in request"):
        await stage.call("sendChatAction", chat_id=stage.person, action="dancing")


async def test_sent_messages_are_accounted_with_their_hidden_marker(stage):
    for number in (1, 2, 2):
        await stage.bot.send_message(stage.person, mark("Hello", f"m{number}"))
    sent = stage.sim.sent(stage.person)
    assert [one.marker for one in sent] == ["m1", "m2", "m2"]
    assert sent[0].text.startswith("Hello")
