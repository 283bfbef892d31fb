"""What the platform does with a well-formed send: window, quota, types, echoes, rates and comment replies."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from tests.sandbox.tiktok.conftest import BUSINESS, Client, Receiver

HOUR = 3600
CARD = {
    "type": "QA_LINK_CARD",
    "title": "When?",
    "buttons": [{"type": "REPLY", "title": "Today", "id": "b1"}, {"type": "REPLY", "title": "Never"}],
}


async def test_the_message_id_is_nested_and_the_send_is_accounted(
    sim: TikTokSimulator, client: Client, thread: str
) -> None:
    answer = await client.send(thread, "Hello")
    assert answer["code"] == 0
    assert answer["message"] == "OK"
    message_id = answer["data"]["message"]["message_id"]
    assert set("+/=") <= set(message_id)
    assert [(s.message_id, s.message_type, s.text) for s in sim.sent(thread)] == [(message_id, "TEXT", "Hello")]


async def test_the_window_lasts_48_hours_and_ten_messages_and_every_inbound_resets_both(
    sim: TikTokSimulator, client: Client, clock: Clock, thread: str
) -> None:
    async def sends(count: int) -> list[int]:
        return [(await client.send(thread))["code"] for _ in range(count)]

    remaining = sim.platform.world.conversation(thread).remaining
    assert await sends(4) == [0] * 4
    assert remaining(sim.platform.now_ms(), sim.options) == 6
    clock.advance(6 * HOUR)
    await sim.people.writes(BUSINESS, "lena")
    assert await sends(11) == [0] * 10 + [40064]
    clock.advance(HOUR)
    await sim.people.writes(BUSINESS, "lena")
    clock.advance(2 * HOUR)
    assert await sends(1) == [0]
    assert remaining(sim.platform.now_ms(), sim.options) == 9
    clock.advance(46 * HOUR - 1)
    client.token = sim.platform.tokens.issue(BUSINESS).access_token
    assert await sends(1) == [0]
    clock.advance(1)
    assert await sends(1) == [40064]
    assert sim.violations == []


async def test_an_older_inbound_arriving_late_does_not_move_the_window_back(
    sim: TikTokSimulator, client: Client, thread: str
) -> None:
    await client.send(thread)
    conversation = sim.platform.world.conversation(thread)
    anchor = conversation.last_inbound
    await sim.people.writes(BUSINESS, "lena", age=HOUR)
    assert conversation.last_inbound == anchor
    assert conversation.sent_since == 1


async def test_the_business_cannot_begin(sim: TikTokSimulator, client: Client) -> None:
    conversation_id = await sim.people.arrives(BUSINESS, "noah", "ad")
    assert (await client.send(conversation_id))["code"] == 40064
    assert (await client.send("unknown+/=="))["code"] == 40002


async def test_what_the_owner_writes_uses_up_the_quota(sim: TikTokSimulator, client: Client, thread: str) -> None:
    for source in ("APP", "WEB", "OTHERS"):
        for _ in range(3):
            await sim.people.owner_writes(thread, source=source)
    assert [(await client.send(thread))["code"] for _ in range(2)] == [0, 40064]


@pytest.mark.parametrize(("count", "left"), [(True, 9), (False, 10)])
async def test_whether_automatic_messages_count_is_an_option(
    sim: TikTokSimulator, thread: str, count: bool, left: int
) -> None:
    sim.options.automatic_messages_count = count
    await sim.people.owner_writes(thread, source="OTHERS", auto_message_type="WELCOME_MESSAGE")
    conversation = sim.platform.world.conversation(thread)
    assert conversation.remaining(sim.platform.now_ms(), sim.options) == left


async def test_sender_actions_have_no_id_and_cost_nothing(
    sim: TikTokSimulator, client: Client, clock: Clock, thread: str
) -> None:
    for action in ("TYPING", "MARK_READ"):
        answer = await client.send(thread, message_type="SENDER_ACTION", sender_action=action)
        assert answer["data"]["message"]["message_id"] == ""
    assert sim.sent(thread) == []
    shown = (await client.control("conversations", method="GET"))[0]
    assert shown["remaining"] == 10
    assert shown["typing"] is True
    assert shown["read_by_business"] == sim.platform.now_ms()
    clock.advance(5)
    assert (await client.control("conversations", method="GET"))[0]["typing"] is False


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"message_type": "SHARE_POST", "share_post": {"item_id": "7301234567890123456"}}, 0),
        ({"message_type": "SHARE_POST", "share_post": {"item_id": "7000000000000000000"}}, 40007),
        ({"message_type": "TEMPLATE", "template": CARD}, 0),
        ({"message_type": "IMAGE", "image": {"media_id": "unknown"}}, 40007),
    ],
)
async def test_other_types(
    sim: TikTokSimulator, client: Client, thread: str, fields: dict[str, Any], code: int
) -> None:
    assert (await client.send(thread, **fields))["code"] == code
    assert [s.message_type for s in sim.sent(thread)] == ([fields["message_type"]] if code == 0 else [])


async def test_only_text_image_and_post_can_be_quoted(sim: TikTokSimulator, client: Client, thread: str) -> None:
    async def quote(message_id: str) -> int:
        info = {"referenced_message_id": message_id}
        return int((await client.send(thread, referenced_message_info=info))["code"])

    assert await quote((await sim.people.writes(BUSINESS, "lena", "image")).message_id) == 0
    assert await quote((await sim.people.writes(BUSINESS, "lena", "sticker")).message_id) == 40002
    assert await quote("unknown") == 40007


async def test_an_account_that_left_business_status_cannot_send(
    sim: TikTokSimulator, client: Client, thread: str
) -> None:
    sim.platform.world.account(BUSINESS).is_business = False
    assert (await client.send(thread))["code"] == 40001


async def test_ten_calls_a_second_for_the_whole_app(sim: TikTokSimulator, client: Client, thread: str) -> None:
    sim.options.queries_per_second = 10
    codes = [(await client.get("/business/get/", business_id=BUSINESS))["code"] for _ in range(10)]
    assert codes == [0] * 10
    assert (await client.send(thread))["code"] == 40100
    assert sim.sent(thread) == []
    sim.options.queries_per_second = 0
    assert (await client.send(thread))["code"] == 0


async def test_an_echo_can_overtake_the_answer(
    sim: TikTokSimulator, client: Client, receiver: Receiver, thread: str
) -> None:
    sim.options.echo = "before"
    answer = await client.send(thread, "Hello")
    assert len(receiver.bodies) == 1, "the echo had to be there before the answer"
    echo = (await receiver.events(1))[0]
    assert echo["event"] == "im_send_msg"
    assert echo["content"]["message_id"] == answer["data"]["message"]["message_id"]
    assert echo["content"]["message_tag"] == {"source": "API"}
    assert echo["content"]["from_user"] == {"id": BUSINESS, "role": "business_account"}


async def test_an_echo_usually_follows_the_answer(
    sim: TikTokSimulator, client: Client, receiver: Receiver, thread: str
) -> None:
    sim.options.echo, sim.options.echo_delay = "after", 0.01
    answer = await client.send(thread, message_type="TEMPLATE", template=CARD)
    content = (await receiver.events(1))[0]["content"]
    assert content["message_id"] == answer["data"]["message"]["message_id"]
    assert content["template"] == {
        "type": "qa_link_card",
        "elements": [
            {
                "title": "When?",
                "buttons": [
                    {"text": "Today", "type": "REPLY", "id": "b1"},
                    {"text": "Never", "type": "REPLY", "id": ""},
                ],
            }
        ],
    }


class TestCommentToMessage:
    """The only way to write first, under all of its conditions."""

    @pytest.fixture(autouse=True)
    def _enabled(self, sim: TikTokSimulator, client: Client) -> None:
        account = sim.platform.world.account(BUSINESS)
        account.country, account.comment_to_message = "VN", True

    async def reply(self, client: Client, comment_id: str) -> int:
        body = {
            "business_id": BUSINESS,
            "message_type": "TEXT",
            "text": {"body": "Hello"},
            "direct_reply": {"reply_type": "COMMENT_REPLY", "comment_reply": {"comment_id": comment_id}},
        }
        return int((await client.post("/business/message/send/", body))["code"])

    async def test_a_comment_is_answered_once(self, sim: TikTokSimulator, client: Client, receiver: Receiver) -> None:
        comment_id = await sim.people.comments(BUSINESS, "minh", "How much?")
        event = (await receiver.events(1))[0]
        assert event["event"] == "im_receive_high_intent_comment"
        assert event["content"]["comment_id"] == int(comment_id)
        assert await self.reply(client, comment_id) == 0
        assert await self.reply(client, comment_id) == 40064
        assert await self.reply(client, "1") == 40007

    async def test_not_after_48_hours(self, sim: TikTokSimulator, client: Client, clock: Clock) -> None:
        comment_id = await sim.people.comments(BUSINESS, "minh", "How much?")
        clock.advance(48 * HOUR)
        client.token = sim.platform.tokens.issue(BUSINESS).access_token
        assert await self.reply(client, comment_id) == 40064

    async def test_not_within_24_hours_of_a_message(self, sim: TikTokSimulator, client: Client) -> None:
        await sim.people.writes(BUSINESS, "minh")
        comment_id = await sim.people.comments(BUSINESS, "minh", "How much?")
        assert await self.reply(client, comment_id) == 40064

    async def test_not_when_switched_off(self, sim: TikTokSimulator, client: Client) -> None:
        setting = {"business_id": BUSINESS, "direct_reply_type": "COMMENT_TO_MESSAGE"}
        path = "/business/message/direct_reply/"
        assert (await client.get(path + "get/", **setting))["data"]["operation_status"] == "ENABLE"
        await client.post(path + "update/", {**setting, "operation_status": "DISABLE"})
        assert (await client.get(path + "get/", **setting))["data"]["operation_status"] == "DISABLE"
        comment_id = await sim.people.comments(BUSINESS, "minh", "How much?")
        assert await self.reply(client, comment_id) == 40001

    async def test_not_outside_three_countries(self, sim: TikTokSimulator, client: Client) -> None:
        sim.platform.world.account(BUSINESS).country = "SG"
        body = {
            "business_id": BUSINESS,
            "direct_reply_type": "COMMENT_TO_MESSAGE",
            "operation_status": "ENABLE",
        }
        assert (await client.post("/business/message/direct_reply/update/", body))["code"] == 40001
