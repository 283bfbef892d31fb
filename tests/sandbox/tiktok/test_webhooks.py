"""Signed webhooks: every event, redelivery for 72 hours, duplicates and disorder."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.faults import CallFault
from sandbox.simulators.tiktok.webhooks import redelivery_delays, sign
from tests.sandbox.tiktok.conftest import BUSINESS, Client, Receiver

pytestmark = pytest.mark.usefixtures("client")


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (
            b'{"client_key":"app_1","event":"im_receive_msg","content":"{}"}',
            "2e184b4b0e75b7b319eb3003118d7d9b65ada4f65c53cc9b687a6b2f22fef285",
        ),
        (
            '{"event":"im_receive_msg","content":"{\\"text\\":{\\"body\\":\\"héllo 👍\\"}}"}'.encode(),
            "bb33fec2241e8f0bbc5f637001a5a57bad5c8f047af8cc7d68238e275e3999b2",
        ),
    ],
)
def test_signature_vectors(body: bytes, digest: str) -> None:
    assert sign("app_secret_value", 1_700_000_000, body) == f"t=1700000000,s={digest}"


async def test_a_message_in_full(sim: TikTokSimulator, receiver: Receiver, clock: Clock) -> None:
    message = await sim.people.writes(BUSINESS, "lena", content={"body": "still open? 👍"})
    conversation = sim.platform.world.thread(BUSINESS, "lena")
    event = (await receiver.events(1))[0]
    user_id = conversation.customer.user_id
    assert event == {
        "client_key": sim.options.app_id,
        "event": "im_receive_msg",
        "create_time": int(clock.now()),
        "user_openid": BUSINESS,
        "content": {
            "from": "lena",
            "to": "acme",
            "unique_identifier": user_id,
            "from_user": {"id": user_id, "role": "personal_account"},
            "to_user": {"id": BUSINESS, "role": "business_account"},
            "conversation_id": conversation.conversation_id,
            "message_id": message.message_id,
            "timestamp": int(clock.now() * 1000),
            "type": "text",
            "text": {"body": "still open? 👍"},
            "scene_type": 0,
            "is_follower": False,
            "message_tag": {"source": "APP"},
        },
    }
    assert set("+/=") <= set(conversation.conversation_id)


@pytest.mark.parametrize(
    ("kind", "content", "field"),
    [
        ("image", {}, "media_id"),
        ("video", {}, "media_id"),
        ("share_post", {"item_id": "73"}, "embed_url"),
        ("sticker", {}, "url"),
        ("emoji", {"url": "https://example.com/e.png"}, "url"),
        ("poll", {"question": "?"}, "question"),
    ],
)
async def test_every_type_of_content(
    sim: TikTokSimulator, receiver: Receiver, kind: str, content: dict[str, Any], field: str
) -> None:
    await sim.people.writes(BUSINESS, "lena", kind, content=content)
    got = (await receiver.events(1))[0]["content"]
    assert got["type"] == kind
    assert got[kind][field]


async def test_quote_and_card_tap(sim: TikTokSimulator, client: Client, receiver: Receiver, thread: str) -> None:
    first = await sim.people.writes(BUSINESS, "lena")
    await sim.people.writes(BUSINESS, "lena", references=first.message_id)
    card = {
        "type": "QA_BUTTON_CARD",
        "title": "When?",
        "buttons": [{"type": "REPLY", "title": "Now", "id": "b1"}],
    }
    sent = await client.send(thread, message_type="TEMPLATE", template=card)
    await sim.people.taps(thread, sent["data"]["message"]["message_id"])
    _, quote, tap = (event["content"] for event in await receiver.events(3))
    assert quote["referenced_message_info"] == {"referenced_message_id": first.message_id}
    assert (tap["type"], tap["text"]) == ("text", {"body": "Now"})
    assert tap["reply_source_payload"] == {
        "reply_source_msg_id": sent["data"]["message"]["message_id"],
        "reply_source_unique_id": "b1",
    }
    with pytest.raises(ValueError, match="only a card"):
        await sim.people.taps(thread, first.message_id)
    with pytest.raises(LookupError):
        await sim.people.writes(BUSINESS, "lena", references="unknown")


async def test_reactions_come_and_go(sim: TikTokSimulator, client: Client, receiver: Receiver, thread: str) -> None:
    target = (await client.send(thread))["data"]["message"]["message_id"]
    window = sim.platform.world.conversation(thread).last_inbound
    await sim.people.reacts(thread, target, emoji="🔥")
    await sim.people.reacts(thread, target)
    await sim.people.reacts(thread, target, emoji="🔥", remove=True)
    changes = [event["content"] for event in await receiver.events(3)]
    assert [c["type"] for c in changes] == ["reaction"] * 3
    assert [c["reaction"][0]["operation"] for c in changes] == ["ADD", "ADD", "REMOVE"]
    assert [c["reaction"][0]["type"] for c in changes] == ["EMOJI", "AI_EMOJI", "EMOJI"]
    assert all(c["reaction"][0]["original_msg_id"] == target for c in changes)
    conversation = sim.platform.world.conversation(thread)
    left = conversation.find(target)
    assert left is not None
    assert [r["type"] for r in left.reactions] == ["AI_EMOJI"]
    assert conversation.last_inbound == window


async def test_read_receipt_and_referrals(sim: TikTokSimulator, receiver: Receiver, thread: str) -> None:
    await sim.people.reads(thread, 1_794_999_999_000)
    await sim.people.arrives(BUSINESS, "lena", "ad", ad_id="17")
    await sim.people.arrives(BUSINESS, "lena", "short_link", ref="spring_2=")
    read, ad, link = await receiver.events(3)
    assert read["event"] == "im_mark_read_msg"
    assert read["content"]["read"] == {"last_read_timestamp": 1_794_999_999_000}
    assert ad["event"] == link["event"] == "im_referral_msg"
    assert ad["content"]["referral"]["source"] == "ad"
    assert ad["content"]["referral"]["ad"]["ad_id"] == "17"
    assert ad["content"]["referral"]["ad"]["timestamp"] > 10**11
    assert link["content"]["referral"]["short_link"]["ref"] == "spring_2="
    assert "message_id" not in ad["content"]
    assert "type" not in ad["content"]
    with pytest.raises(ValueError, match="ref is longer"):
        await sim.people.arrives(BUSINESS, "lena", "short_link", ref="x" * 2084)


async def test_a_european_sender_leaves_only_our_side(sim: TikTokSimulator, receiver: Receiver) -> None:
    message = await sim.people.writes(BUSINESS, "lena", european=True)
    event = (await receiver.events(1))[0]
    assert event["event"] == "im_receive_msg_eu"
    assert event["content"] == {
        "to": "acme",
        "to_user": {"id": BUSINESS, "role": "business_account"},
        "timestamp": message.timestamp,
    }


@pytest.mark.parametrize(
    ("source", "automatic"), [("APP", None), ("WEB", None), ("OTHERS", "AUTO_REPLY"), ("OTHERS", "WELCOME_MESSAGE")]
)
async def test_echoes_of_what_others_sent(
    sim: TikTokSimulator, receiver: Receiver, thread: str, source: str, automatic: str | None
) -> None:
    await sim.people.owner_writes(thread, "image", source=source, auto_message_type=automatic)
    event = (await receiver.events(1))[0]
    assert event["event"] == "im_send_msg"
    assert event["content"]["message_tag"] == {"source": source}
    assert event["content"].get("auto_message_type") == automatic
    assert event["content"]["to_user"]["role"] == "personal_account"


async def test_account_events(sim: TikTokSimulator, client: Client, receiver: Receiver, thread: str) -> None:
    await sim.people.owner_configures(BUSINESS, "im_auto_message_config_update")
    await sim.people.owner_removes_app(BUSINESS)
    assert [e["event"] for e in await receiver.events(2)] == [
        "im_auto_message_config_update",
        "authorization.removed",
    ]
    assert (await client.send(thread))["code"] == 40105


def test_redelivery_doubles_and_ends_after_72_hours() -> None:
    delays = list(redelivery_delays())
    assert delays[:4] == [1, 2, 4, 8]
    assert sum(delays) == 72 * 3600


@pytest.mark.parametrize("keeps", [True, False])
async def test_what_is_refused_comes_again(sim: TikTokSimulator, receiver: Receiver, clock: Clock, keeps: bool) -> None:
    sim.options.redelivery_keeps_timestamp = keeps
    receiver.refuse = 2
    began = int(clock.now())
    await sim.people.writes(BUSINESS, "lena", content={"body": "first"})
    await receiver.attempts(1)
    await sim.platform.webhooks.settled()
    await sim.people.writes(BUSINESS, "noah", content={"body": "second"}, silent=True)
    for attempt in (2, 3):
        clock.advance(2 ** (attempt - 2))
        await receiver.attempts(attempt)
        await _calm(sim, redelivering=attempt == 2)
    assert (await receiver.events(1))[0]["content"]["text"] == {"body": "first"}
    assert receiver.stamps == [began] * 3 if keeps else [began, began + 1, began + 3]
    assert receiver.forged == 0


async def _calm(sim: TikTokSimulator, *, redelivering: bool) -> None:
    """Let the answer of the last attempt reach the sender."""
    async with asyncio.timeout(5):
        while bool(sim.platform.clock.live) != redelivering or bool(sim.platform.webhooks.redelivering) != redelivering:
            await asyncio.sleep(0)


async def test_a_refused_delivery_does_not_hold_up_the_next(sim: TikTokSimulator, receiver: Receiver) -> None:
    receiver.refuse = 1
    await sim.people.writes(BUSINESS, "lena", content={"body": "first"})
    await sim.people.writes(BUSINESS, "lena", content={"body": "second"})
    assert (await receiver.events(1))[0]["content"]["text"] == {"body": "second"}


async def test_after_72_hours_it_is_gone(sim: TikTokSimulator, receiver: Receiver, clock: Clock) -> None:
    receiver.refuse = 1_000
    await sim.people.writes(BUSINESS, "lena")
    await receiver.attempts(1)
    for attempt, delay in enumerate(redelivery_delays(), start=2):
        await _calm(sim, redelivering=True)
        clock.advance(delay)
        await receiver.attempts(attempt)
    await _calm(sim, redelivering=False)
    assert sim.platform.webhooks.totals["expired"] == 1
    assert receiver.bodies == []


async def test_duplicates_and_disorder(sim: TikTokSimulator, receiver: Receiver, clock: Clock) -> None:
    faults = sim.platform.faults
    faults.active.append(CallFault(kind="duplicate", where={"event": "im_receive_msg"}, count=1))
    await sim.people.writes(BUSINESS, "lena", content={"body": "twice"})
    assert len({e["content"]["message_id"] for e in await receiver.events(2)}) == 1
    faults.active.append(CallFault(kind="reorder", count=1, seconds=5))
    await sim.people.writes(BUSINESS, "lena", content={"body": "late"})
    await sim.people.writes(BUSINESS, "lena", content={"body": "early"})
    await receiver.events(3)
    clock.advance(5)
    assert [e["content"]["text"]["body"] for e in await receiver.events(4)][2:] == ["early", "late"]


async def test_raw_webhooks(sim: TikTokSimulator, client: Client, receiver: Receiver) -> None:
    await client.control("webhooks/raw", {"account": BUSINESS, "event": "im_new_thing", "content": {"a": 1}})
    event = (await receiver.events(1))[0]
    assert (event["event"], event["content"]) == ("im_new_thing", {"a": 1})
    await client.control("webhooks/raw", {"body": "not json", "timestamp": 5})
    assert (await receiver.attempts(2))[1] == 5
    assert receiver.bodies[1] == b"not json"
    await client.control("webhooks/raw", {"body": "{}", "signature": "t=1,s=00"})
    await sim.platform.webhooks.settled()
    assert receiver.forged == 1


async def test_without_a_subscription_nothing_is_sent(sim: TikTokSimulator) -> None:
    await sim.people.writes(BUSINESS, "lena")
    await sim.platform.webhooks.settled()
    assert sim.platform.webhooks.totals["unsubscribed"] == 1
    assert sim.platform.webhooks.redelivering == 0
