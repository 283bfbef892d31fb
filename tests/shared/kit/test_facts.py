"""What all channels' events share."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.channel import ReceivedItem
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.events import EventType, Health
from shared.kit.facts import account_notice, attachment_names, facts, message_id

ACCOUNT = AccountRecord(account_id="acc", workspace_id="ws", channel="line")
NOW, THEN = datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
ITEM = ReceivedItem(ACCOUNT, b"{}", NOW, 7)


def test_an_event_is_of_its_conversation_or_of_the_account() -> None:
    shared = {"channel": "line", "workspace_id": "ws", "account_id": "acc", "received_at": NOW, "sequence": 7}
    assert facts(ITEM, "U1", THEN) == {**shared, "conversation_id": "line:acc:U1", "occurred_at": THEN}
    assert facts(ITEM, None, THEN)["conversation_id"] == "line:acc"


def test_ids_are_those_of_the_contract() -> None:
    ours = message_id(ACCOUNT, "m1")
    assert ours == ids.message_id("line", "acc", "m1")
    names = attachment_names(ACCOUNT, ours, 2)
    assert names["attachment_id"] == ids.attachment_id(ours, 2)
    assert ids.is_blob_of("ws", names["blob"])


def test_a_notice_is_about_the_account() -> None:
    event = account_notice(ITEM, "quality", "Low", "q1", severity="warning", health=Health.DEGRADED)
    assert (event.type, event.provider_id) == (EventType.ACCOUNT_NOTICE, "q1")
    assert (event.data.conversation_id, event.data.occurred_at) == ("line:acc", NOW)
