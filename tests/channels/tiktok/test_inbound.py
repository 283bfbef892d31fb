"""What the goldens cannot show: windows, correlations, keys, and ids that survive a redelivery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tiktok.channel import build
from services.tiktok.receive.history import history_items, referral_items
from services.tiktok.receive.wire import moment
from services.tiktok.settings import Settings
from shared.channel import Call, Event, HealthChange, Outcome, PlanContext, ReceivedItem, StatusUpdate, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.commands import parse_command
from shared.contract.events import ConversationReferred, EventType, Health
from tests.channels.goldens import HERE, RECEIVED_AT

ACCOUNT = AccountRecord(
    account_id="tiktok_1", workspace_id="ws_1", channel="tiktok", external_id="-000BUSINESSopenid01"
)
CHANNEL = build(Settings())


def outcomes(body: bytes) -> list[Outcome]:
    items = CHANNEL.unbatch(WebhookRequest("POST", "", {}, {}, body))
    return [o for item in items for o in CHANNEL.normalise(ReceivedItem(ACCOUNT, item.body, RECEIVED_AT))]


def golden(name: str) -> bytes:
    return (HERE / "tiktok" / "inbound" / f"{name}.json").read_bytes()


def events(found: Sequence[Outcome]) -> list[Event]:
    return [outcome for outcome in found if isinstance(outcome, Event)]


@pytest.mark.parametrize(
    ("name", "opens"),
    [
        ("text", True),
        ("image", True),
        ("text_after_a_card_button", True),
        ("voice_of_unknown_type", True),
        ("reaction_added", False),
        ("read_up_to_a_point", False),
        ("referral_from_an_ad", False),
        ("echo_from_the_app", False),
        ("eu_message", False),
        ("event_unknown_in_a_conversation", False),
        ("high_intent_comment_with_a_19_digit_number", False),
    ],
)
def test_only_what_the_contact_writes_opens_the_window(name: str, opens: bool) -> None:
    assert [event.opens_window for event in events(outcomes(golden(name)))] == [opens]


@pytest.mark.parametrize("name", ["text", "text_beside_the_envelope"])
def test_an_item_is_keyed_by_its_conversation_and_routed_by_its_business(name: str) -> None:
    [item] = CHANNEL.unbatch(WebhookRequest("POST", "", {}, {}, golden(name)))
    assert (item.key, item.external_id) == ("u5JhpselBAhoPOlnH0tZ9y07kg+/==", "-000BUSINESSopenid01")
    assert item.body == golden(name)


def test_events_without_a_conversation_are_keyed_by_the_business() -> None:
    [item] = CHANNEL.unbatch(WebhookRequest("POST", "", {}, {}, golden("eu_message")))
    assert item.key == "-000BUSINESSopenid01"


def test_a_poisoned_item_keeps_its_place_among_its_neighbours() -> None:
    items = CHANNEL.unbatch(WebhookRequest("POST", "", {}, {}, golden("batch_of_events_with_a_poisoned_one")))
    assert len(items) == 4
    with pytest.raises(ValueError, match="not JSON"):
        CHANNEL.normalise(ReceivedItem(ACCOUNT, items[1].body, RECEIVED_AT))


def test_a_read_watermark_covers_the_conversation() -> None:
    [status, _] = outcomes(golden("read_up_to_a_point"))
    assert isinstance(status, StatusUpdate)
    assert status.provider_message_id is None
    assert status.peer == "u5JhpselBAhoPOlnH0tZ9y07kg+/=="
    assert status.until == datetime(2026, 11, 22, 9, 32, 21, 123000, tzinfo=UTC)


def test_a_withdrawn_authorization_disconnects_the_account() -> None:
    [health, notice] = outcomes(golden("authorization_removed"))
    assert isinstance(health, HealthChange)
    assert health.health is Health.DISCONNECTED
    assert isinstance(notice, Event)


def test_an_address_is_left_for_the_answer() -> None:
    [event] = events(outcomes(golden("text")))
    assert event.address == {"conversation_id": "u5JhpselBAhoPOlnH0tZ9y07kg+/=="}


def test_a_reply_and_its_target_have_the_same_reference() -> None:
    [reply] = events(outcomes(golden("text_replying_to_a_message")))
    assert reply.data.reply_to.provider_message_id == "u5Earlier+1=="  # type: ignore[attr-defined]
    assert reply.provider_ref == "u5Buqc6lAghuOelnHUZV88DK2A=="


def test_a_redelivery_in_another_envelope_is_the_same_event() -> None:
    for name in ("text", "text_without_message_id", "reaction_added", "event_unknown_in_a_conversation"):
        again = json.loads(golden(name))
        again["create_time"] += 3600
        first, second = events(outcomes(golden(name))), events(outcomes(json.dumps(again).encode()))
        assert [e.provider_id for e in first] == [e.provider_id for e in second], name


def test_a_referral_in_seconds_is_the_one_in_milliseconds() -> None:
    [webhook] = events(outcomes(golden("referral_from_an_ad")))
    [rest] = events(outcomes(golden("referral_from_an_ad_in_seconds")))
    assert webhook.provider_id == rest.provider_id


def test_history_has_the_ids_of_the_webhooks_and_says_backfill() -> None:
    webhook = json.loads(json.loads(golden("text"))["content"])
    row = {
        "message_id": webhook["message_id"],
        "conversation_id": webhook["conversation_id"],
        "timestamp": webhook["timestamp"],
        "message_type": "TEXT",
        "text": webhook["text"],
        "sender": "lena.k",
        "from_user": {"id": webhook["from_user"]["id"], "role": "PERSONAL_ACCOUNT"},
    }
    [item] = history_items({"messages": [row]}, "-000BUSINESSopenid01")
    [old] = events(CHANNEL.normalise(ReceivedItem(ACCOUNT, item.body, RECEIVED_AT)))
    [live] = events(outcomes(golden("text")))
    assert (old.provider_id, old.data.backfill, live.data.backfill) == (live.provider_id, True, False)
    assert item.key == webhook["conversation_id"]


def test_a_row_of_the_history_that_names_no_conversation_belongs_to_the_one_asked_for() -> None:
    named, unnamed = {"message_id": "a", "conversation_id": "c1", "timestamp": 1}, {"message_id": "b", "timestamp": 2}
    items = history_items({"messages": [named, unnamed]}, "-biz", "c2")
    assert [(item.key, json.loads(item.body)["content"]["conversation_id"]) for item in items] == [
        ("c1", "c1"),
        ("c2", "c2"),
    ]


def test_referrals_of_the_history_happened_when_they_happened() -> None:
    conversation = {
        "conversation_id": "c1",
        "update_time": 1795340001123,
        "referral": {"ad": [{"ad_id": "7", "timestamp": 1795000000}]},
    }
    [item] = referral_items(conversation, "b")
    [event] = events(CHANNEL.normalise(ReceivedItem(ACCOUNT, item.body, RECEIVED_AT)))
    assert isinstance(event.data, ConversationReferred)
    assert event.data.occurred_at.timestamp() == 1795000000
    assert referral_items({"conversation_id": "c1", "referral": {}}, "b") == []


# -------------------------------------------------------------------------------------------------------- echoes


def planned(content: dict[str, Any]) -> Call:
    data = {"command_id": "c", "workspace_id": "w", "account_id": "a", "conversation_id": "tiktok:a:p"}
    kind, command = parse_command("channels.message.send.v1", {**data, "content": content})
    [call] = CHANNEL.plan(kind, command, PlanContext(ACCOUNT))
    return call


def echo(**parts: Any) -> StatusUpdate:
    content = {
        "conversation_id": "p",
        "message_id": "m",
        "timestamp": 1795340001123,
        "message_tag": {"source": "API"},
        **parts,
    }
    [status] = outcomes(
        json.dumps({"event": "im_send_msg", "user_openid": "b", "content": json.dumps(content)}).encode()
    )
    assert isinstance(status, StatusUpdate)
    return status


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"kind": "text", "text": "We open at nine. "}, {"type": "text", "text": {"body": "We open at nine."}}),
        ({"kind": "text", "text": "Cafe\u0301"}, {"type": "text", "text": {"body": "Café"}}),
        (
            {"kind": "interactive", "text": "Which size?", "buttons": [{"title": "S"}]},
            {"type": "template", "template": {"type": "qa_button_card", "elements": [{"title": "Which size?"}]}},
        ),
        (
            {"kind": "shared_post", "post_id": "7301234567890123456"},
            {
                "type": "share_post",
                "share_post": {"embed_url": "https://www.tiktok.com/player/v1/7301234567890123456?a=1"},
            },
        ),
        ({"kind": "media", "attachments": [{"blob": "b"}]}, {"type": "image", "image": {"media_id": "another"}}),
    ],
)
def test_the_echo_of_a_call_carries_its_key(content: dict[str, Any], parts: dict[str, Any]) -> None:
    assert echo(**parts).correlation == CHANNEL.echo_key(planned(content))


def test_another_text_has_another_key() -> None:
    other = echo(type="text", text={"body": "We open at ten."})
    assert other.correlation != CHANNEL.echo_key(planned({"kind": "text", "text": "We open at nine."}))


# -------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1795340001, 1795340001.0),
        (1795340001123, 1795340001.123),
        ("1795340001123", 1795340001.123),
        (1795340001.5, 1795340001.5),
        (0, None),
        (-1, None),
        (True, None),
        (10**15, None),
        ("soon", None),
        ([1795340001], None),
        (float("nan"), None),
        (900000000, None),
    ],
)
def test_times_are_seconds_or_milliseconds_or_none(value: Any, expected: float | None) -> None:
    found = moment(value)
    assert (found.timestamp() if found else None) == expected


@given(st.binary(max_size=300))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        items = CHANNEL.unbatch(WebhookRequest("POST", "", {}, {}, body))
    except ValueError:
        return
    assert items


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_of_a_message_can_be_published(text: str) -> None:
    content = {"type": "text", "text": {"body": text}, "conversation_id": "c", "message_id": "m"}
    [event] = events(outcomes(json.dumps({"event": "im_receive_msg", "content": json.dumps(content)}).encode()))
    assert event.type is EventType.MESSAGE_RECEIVED
    assert event.data.to_json()
