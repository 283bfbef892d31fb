"""Row 4: the provider's time, direction and origin of everything; imported history says that it is."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from shared.channel import Event, ReceivedItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.base import rfc3339
from tests.channels import goldens
from tests.e2e.providers import Said
from tests.requirements.inside import Channel

AGO = 7 * 3600
# Provider payloads of imported history.
HISTORY = {"whatsapp": "history_chunk.json", "tiktok": "history_answer.json"}


@pytest.mark.asyncio(loop_scope="session")
async def test_an_echo_of_the_phone_app_keeps_its_time_to_the_second(channel: Channel) -> None:
    account = await channel.account()
    written = int(time.time()) - AGO
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 100, "On my way", at=written, echo=True)))
    (echo,) = await channel.events(account, 1)
    assert echo.data["occurred_at"] == echo.attributes["time"] == rfc3339(datetime.fromtimestamp(written, UTC))
    assert (echo.data["origin"], echo.data["direction"]) == ("native_app", "outbound")
    assert not echo.data["backfill"]


@pytest.mark.parametrize("name", HISTORY)
def test_everything_of_an_imported_history_says_backfill(name: str) -> None:
    channel = goldens.channel(name)
    account = AccountRecord(account_id="a", workspace_id="w", channel=name, external_id="-000BUSINESSopenid01")
    body = (goldens.HERE / name / "inbound" / HISTORY[name]).read_bytes()
    events = []
    for item in channel.unbatch(WebhookRequest("POST", "a", {}, {}, body)):
        try:
            outcomes = channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
        except ValueError:
            continue  # a poisoned entry of the golden: a dead letter
        events += [one for one in outcomes if isinstance(one, Event) and one.type != "account.notice"]
    assert len(events) >= 4
    assert all(event.data.backfill for event in events)
    assert {getattr(event.data, "direction", "inbound") for event in events} == {"inbound", "outbound"}


@pytest.mark.parametrize("name", goldens.channel_names())
def test_every_message_says_who_wrote_it_and_when(name: str) -> None:
    """Over all golden cases: inbound is the contact's, outbound never."""
    seen = 0
    for path in (goldens.HERE / name / "inbound").glob("*.events.json"):
        for event in json.loads(path.read_text()):
            data = event["data"]
            if "direction" in data and "origin" in data:
                seen += 1
                assert (data["origin"] == "contact") == (data["direction"] == "inbound"), path.name
                assert datetime.fromisoformat(data["occurred_at"]).tzinfo is not None
    assert seen >= len(list(goldens.cases(name, "inbound"))) / 2
