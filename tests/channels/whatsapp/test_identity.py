"""What the runtime needs beside the events: peers, aliases, addresses, windows, references."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.whatsapp.channel import build
from services.whatsapp.identity import is_bsuid, phone_digits
from services.whatsapp.settings import Settings
from shared.channel import Event, HealthChange, Initiates, ReceivedItem, Refused, StatusUpdate, WebhookRequest
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, AliasKind
from shared.contract.errors import ErrorCode
from shared.contract.events import EventType, Health, Message
from tests.channels import goldens

BSUID = "BR.7f3K9mQ2"
BRAZIL = ids.personal_peer("5511955501234")
IDA = ids.personal_peer("15550100001")


def outcomes(case: str) -> list[Any]:
    channel = build(Settings())
    folder = goldens.HERE / "whatsapp" / "inbound"
    body = (folder / f"{case}.json").read_bytes()
    account = AccountRecord(account_id="wa", workspace_id="w", channel="whatsapp")
    return [
        outcome
        for item in channel.unbatch(WebhookRequest("POST", "", {}, {}, body))
        if item.body != b'"poison"'
        for outcome in channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
    ]


def first(case: str) -> Event:
    event = outcomes(case)[0]
    assert isinstance(event, Event)
    return event


def test_phone_and_user_id_in_one_payload_are_joined() -> None:
    event = first("text_with_phone_and_user_id")
    assert event.data.conversation_id.endswith(BSUID)
    assert event.peer_aliases == (BRAZIL,)
    assert event.address == {"bsuid": BSUID, "phone": "5511955501234"}


def test_the_parent_id_is_the_weakest_name() -> None:
    assert first("text_with_parent_user_id").peer_aliases == ("BR.ENT.44Parent",)


def test_both_brazilian_spellings_are_names_of_one_contact_and_neither_is_rewritten() -> None:
    event = first("text_from_brazil_with_and_without_ninth_digit")
    assert event.address == {"phone": "551155501234"}
    assert event.peer_aliases == (BRAZIL,)


def test_a_user_id_is_never_taken_for_a_number() -> None:
    assert is_bsuid("MY.2035123")
    assert phone_digits("MY.2035123") is None
    assert phone_digits("+55 (11) 95550-1234") == "5511955501234"
    assert phone_digits("١٢٣٤٥٦٧") is None


def test_no_phone_number_stands_in_a_conversation_id() -> None:
    for path in goldens.cases("whatsapp", "inbound"):
        for event in json.loads(path.with_name(path.stem + ".events.json").read_text()):
            conversation = event.get("data", {}).get("conversation_id") or ""
            peer = conversation.partition(":whatsapp_1")[2]
            assert "5550100001" not in peer, path.name
            assert "5511955501234" not in peer, path.name


def test_a_group_is_a_conversation_of_its_own() -> None:
    event = first("group_text")
    assert event.peer_aliases == ()
    assert event.address == {"group": "Y2FwaV9ncm91cDox"}


def test_a_rotated_user_id_takes_the_conversation_along() -> None:
    event = first("system_user_id_rotated")
    assert event.supersedes_peer == BSUID
    assert event.address == {"bsuid": "BR.9aaQ"}
    assert event.peer_aliases == ("BR.ENT.45Parent", BSUID, "BR.ENT.44Parent")


def test_a_changed_number_takes_the_conversation_along() -> None:
    event = first("system_number_changed")
    assert event.supersedes_peer == IDA
    assert event.address == {"phone": "15550100002"}
    both = first("system_number_and_user_id_changed")
    assert both.supersedes_peer == BSUID
    assert both.peer_aliases == (ids.personal_peer("5521955509876"), BSUID, BRAZIL)


def test_a_new_identity_key_changes_no_name() -> None:
    assert first("system_identity_changed").supersedes_peer is None


def test_a_number_shared_on_request_becomes_an_address() -> None:
    said, learned = outcomes("contacts_own_number_on_request")
    assert said.data.content.contacts[0].verified is True
    assert learned.type is EventType.CONTACT_UPDATED
    assert learned.address == {"bsuid": BSUID, "phone": "5511955501234"}
    assert learned.peer_aliases == (BRAZIL,)


@pytest.mark.parametrize(
    ("case", "opens"),
    [
        ("text_old_fixture_without_user_id", True),
        ("button_of_template", True),
        ("reaction_added", True),
        ("unsupported_with_real_type", True),
        ("order_without_text", True),
        ("standby_message_and_echo", True),
        ("reaction_removed_without_emoji", False),
        ("edit_text", False),
        ("revoke", False),
        ("request_welcome", False),
        ("system_of_unknown_type", False),
        ("system_number_changed", False),
        ("echo_text", False),
        ("history_chunk", False),
    ],
)
def test_only_what_the_contact_says_opens_the_window(case: str, opens: bool) -> None:
    assert first(case).opens_window is opens


def test_references_are_the_ids_whatsapp_uses() -> None:
    reply = first("text_reply")
    assert isinstance(reply.data, Message) and reply.data.reply_to is not None
    assert (reply.provider_ref, reply.data.reply_to.provider_message_id) == ("wamid.B1", "wamid.Q1")
    assert reply.data.message_id == ids.message_id("whatsapp", "wa", "wamid.B1")
    for case, target in (("reaction_added", "wamid.Q1"), ("edit_text", "wamid.A1")):
        assert first(case).data.message_id == ids.message_id("whatsapp", "wa", target)  # type: ignore[attr-defined]


def test_a_status_brings_our_callback_data_and_leaves_pricing_alone() -> None:
    (read,) = outcomes("status_read_with_callback_data")
    assert isinstance(read, StatusUpdate)
    assert read.correlation == "cmd_81:0"
    (sent,) = outcomes("status_sent_with_conversation")
    assert sent.pricing == {"billable": True, "pricing_model": "CBP", "category": "service"}
    (parent,) = outcomes("status_parent_user_id")
    assert parent.peer == BSUID
    assert parent.peer_aliases == (BRAZIL, "BR.ENT.44Parent")


def test_billing_changes_the_account_and_a_closed_window_does_not() -> None:
    status, health = outcomes("status_failed_billing")
    assert status.failure.code is ErrorCode.ACCOUNT_BILLING_BLOCKED
    assert isinstance(health, HealthChange)
    assert health.health is Health.BILLING_BLOCKED
    assert len(outcomes("status_failed_window")) == 1


def test_standby_is_observed_and_said_once_a_day() -> None:
    heard, echoed, notice = outcomes("standby_message_and_echo")
    assert heard.data.observed
    assert echoed.data.observed
    assert notice.provider_id == "standby:2026-11-22"


def test_the_business_can_write_first() -> None:
    channel = build(Settings())
    assert isinstance(channel, Initiates)
    phone = Alias(kind=AliasKind.PHONE, value="+55 11 95550-1234")
    assert channel.peer_of([phone])[0] == BRAZIL
    assert channel.peer_of([phone, Alias(kind=AliasKind.BSUID, value=BSUID)])[0] == BSUID
    with pytest.raises(Refused) as refused:
        channel.peer_of([Alias(kind=AliasKind.USERNAME, value="ida")])
    assert refused.value.code is ErrorCode.RECIPIENT_UNKNOWN
