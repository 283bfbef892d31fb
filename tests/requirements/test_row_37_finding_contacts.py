"""Row 37: a contact's names as they can be searched: a phone in E.164 or none, never a part of one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.channel import Event, ReceivedItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from tests.channels import goldens
from tests.e2e.providers import Connected, Said
from tests.e2e.providers.telegram import telegram
from tests.e2e.providers.whatsapp import phone, user_id, whatsapp

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
RULES = {
    "phone": E164,
    "email": re.compile(r"[^\sA-Z]+@[^\sA-Z]+"),
    "username": re.compile(r"[^@\s].*"),
    "bsuid": re.compile(r"[A-Z]{2}\.[A-Za-z0-9]+"),
    "provider_id": re.compile(r"\S.*"),
}


def _aliases(value: Any) -> list[dict[str, str]]:
    """Every alias anywhere in an event."""
    if isinstance(value, list):
        return [alias for inner in value for alias in _aliases(inner)]
    if not isinstance(value, dict):
        return []
    if set(value) == {"kind", "value"} and isinstance(value["value"], str):
        return [value]
    return [alias for inner in value.values() for alias in _aliases(inner)]


@pytest.mark.parametrize("name", goldens.channel_names())
def test_every_name_in_every_golden_has_its_form(name: str) -> None:
    found = [
        alias
        for path in (goldens.HERE / name / "inbound").glob("*.events.json")
        for alias in _aliases([event["data"] for event in json.loads(path.read_text())])
    ]
    assert len(found) >= len(list(goldens.cases(name, "inbound"))) / 2
    for alias in found:
        if alias["kind"] in RULES:
            assert RULES[alias["kind"]].fullmatch(alias["value"]), alias


_NUMBERISH = st.text("0123456789+-() .xabc\u0660\u00b2", max_size=24) | st.integers(-5, 10**22).map(str)


def _phones(name: str, body: Any) -> list[str]:
    channel = goldens.channel(name)
    account = AccountRecord(account_id="a", workspace_id="w", channel=name, external_id="1")
    phones: list[str] = []
    for item in channel.unbatch(WebhookRequest("POST", "a", {}, {}, json.dumps(body).encode())):
        for outcome in channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT)):
            if isinstance(outcome, Event):
                aliases = _aliases(json.loads(outcome.data.to_json()))
                phones += [alias["value"] for alias in aliases if alias["kind"] == "phone"]
    return phones


ACCOUNT = Connected(AccountRecord(account_id="a", workspace_id="w", channel="whatsapp"), "1")


@settings(max_examples=400, deadline=None)
@given(number=_NUMBERISH)
def test_whatsapp_takes_a_number_whole_or_not_at_all(number: str) -> None:
    body = json.loads(json.dumps(whatsapp(ACCOUNT, Said(1, 1))).replace(phone(1), "the-number"))
    text = json.dumps(body).replace('"the-number"', json.dumps(number))
    digits = re.sub(r"\D", "", number, flags=re.ASCII)
    for found in _phones("whatsapp", json.loads(text)):
        assert E164.fullmatch(found)
        assert found == f"+{digits}"


@settings(max_examples=400, deadline=None)
@given(number=_NUMBERISH)
def test_so_does_telegram_with_a_shared_contact(number: str) -> None:
    card = {"phone_number": number, "first_name": "Ida", "user_id": 9_000_001}
    for found in _phones("telegram", telegram(ACCOUNT, Said(1, 1, type="contact", content=card))):
        assert E164.fullmatch(found)
        assert found == "+" + re.sub(r"\D", "", number, flags=re.ASCII)


def test_a_missing_phone_is_legal() -> None:
    body = json.loads(json.dumps(whatsapp(ACCOUNT, Said(1, 1))).replace(f'"from": "{phone(1)}", ', ""))
    del body["entry"][0]["changes"][0]["value"]["contacts"][0]["wa_id"]
    assert _phones("whatsapp", body) == []
    channel = goldens.channel("whatsapp")
    (item,) = channel.unbatch(WebhookRequest("POST", "", {}, {}, json.dumps(body).encode()))
    account = AccountRecord(account_id="a", workspace_id="w", channel="whatsapp")
    (event,) = channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
    assert isinstance(event, Event)
    assert event.data.conversation_id == f"whatsapp:a:{user_id(1)}"


def test_telegrams_names_are_kept_apart() -> None:
    update = telegram(ACCOUNT, Said(1, 1))
    update["message"]["from"] |= {"first_name": "Ida", "last_name": "Berg", "username": "idaberg"}
    channel = goldens.channel("telegram")
    (item,) = channel.unbatch(WebhookRequest("POST", "a", {}, {}, json.dumps(update).encode()))
    account = AccountRecord(account_id="a", workspace_id="w", channel="telegram")
    (event,) = channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
    assert isinstance(event, Event)
    sender = json.loads(event.data.to_json())["sender"]
    assert (sender["given_name"], sender["family_name"], sender["display_name"]) == ("Ida", "Berg", "Ida Berg")
    assert {"kind": "username", "value": "idaberg"} in sender["aliases"]
