"""Proof of origin, the challenge, and how a body falls apart into items."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import SecretStr

from services.whatsapp.channel import WhatsApp, build
from services.whatsapp.receive.fields import FIELDS
from services.whatsapp.settings import App, Settings
from shared.channel import (
    Account,
    AnswersWebhook,
    Event,
    Forbidden,
    RawItem,
    ReceivedItem,
    UnknownRoute,
    WebhookRequest,
)
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.events import AccountNotice
from shared.runtime.accounts.registry import AccountRegistry
from tests.channels import goldens

BODY = b'{"object":"whatsapp_business_account","entry":[]}'


class NoAccounts:
    def get(self, account_id: str) -> Account | None:
        return None


@pytest.fixture
def channel() -> WhatsApp:
    shop = App(secret=SecretStr("new"), previous_secret=SecretStr("old"), verify_token=SecretStr("shop-token"))
    return build(Settings(apps={"shop": shop}, app_secret=SecretStr("only"), verify_token=SecretStr("let-me-in")))


def signed(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def posted(signature: str | None, route: str = "", body: bytes = BODY) -> WebhookRequest:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return WebhookRequest("POST", route, {}, headers, body)


@pytest.mark.parametrize(("route", "secret"), [("", "only"), ("default", "only"), ("shop", "new"), ("shop", "old")])
def test_a_signature_by_any_current_secret_of_the_app_is_taken(channel: WhatsApp, route: str, secret: str) -> None:
    channel.authenticate(posted(signed(secret), route), NoAccounts())


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        signed("wrong"),
        signed("new"),
        signed("only")[:-1],
        signed("only", BODY + b" "),
        signed("only").removeprefix("sha256="),
        "sha256=" + "é" * 64,
        "sha256=\udcff",
    ],
)
def test_anything_else_is_refused(channel: WhatsApp, signature: str | None) -> None:
    with pytest.raises(Forbidden):
        channel.authenticate(posted(signature), NoAccounts())


def test_one_app_does_not_sign_for_another(channel: WhatsApp) -> None:
    with pytest.raises(Forbidden):
        channel.authenticate(posted(signed("only"), "shop"), NoAccounts())


def test_unknown_apps_have_no_route(channel: WhatsApp) -> None:
    with pytest.raises(UnknownRoute):
        channel.authenticate(posted(signed("only"), "nobody"), NoAccounts())
    with pytest.raises(UnknownRoute):
        build(Settings()).authenticate(posted(signed("")), NoAccounts())


def test_a_rotation_of_the_only_app_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APP_SECRET", "VERIFY_TOKEN"):
        monkeypatch.setenv(f"WHATSAPP_{name}", "new")
        monkeypatch.setenv(f"WHATSAPP_{name}_PREVIOUS", "old")
    channel = build(Settings())
    for secret in ("new", "old"):
        channel.authenticate(posted(signed(secret)), NoAccounts())
        assert channel.challenge(asked(secret), NoAccounts()) == "1158201444"
    for secret in ("older", ""):
        with pytest.raises(Forbidden):
            channel.authenticate(posted(signed(secret)), NoAccounts())
        with pytest.raises(Forbidden):
            channel.challenge(asked(secret), NoAccounts())


def test_an_empty_secret_signs_nothing() -> None:
    channel = build(Settings(app_secret=SecretStr("")))
    with pytest.raises(Forbidden):
        channel.authenticate(posted(signed("")), NoAccounts())


def asked(token: str | None, route: str = "", **query: str) -> WebhookRequest:
    given = {"hub.mode": "subscribe", "hub.challenge": "1158201444", **query}
    if token is not None:
        given["hub.verify_token"] = token
    return WebhookRequest("GET", route, given, {}, b"")


def test_the_challenge_is_answered_to_whoever_knows_the_token(channel: WhatsApp) -> None:
    assert isinstance(channel, AnswersWebhook)
    assert channel.challenge(asked("let-me-in"), NoAccounts()) == "1158201444"
    assert channel.challenge(asked("shop-token", "shop"), NoAccounts()) == "1158201444"


@pytest.mark.parametrize("token", [None, "", "wrong", "let-me-in ", "\udcff", "shop-token"])
def test_the_challenge_is_refused_otherwise(channel: WhatsApp, token: str | None) -> None:
    with pytest.raises(Forbidden):
        channel.challenge(asked(token), NoAccounts())


def test_an_app_without_a_verify_token_answers_no_challenge() -> None:
    with pytest.raises(Forbidden):
        build(Settings(app_secret=SecretStr("s"))).challenge(asked(None), NoAccounts())
    with pytest.raises(Forbidden):
        build(Settings(app_secret=SecretStr("s"))).challenge(asked(""), NoAccounts())


def test_apps_come_from_one_json_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHATSAPP_APPS", '{"eu": {"secret": "s1", "previous_secret": "s0", "verify_token": "v"}}')
    settings = Settings()
    app = settings.app("eu")
    assert app is not None
    assert app.secrets == (b"s1", b"s0")
    assert settings.app("") is None
    assert "s1" not in repr(settings)


# ---------------------------------------------------------------------------------------------------- unbatch


def items_of(document: Any) -> list[RawItem]:
    return list(build(Settings()).unbatch(posted(None, body=json.dumps(document).encode())))


def golden(name: str) -> Any:
    return json.loads((goldens.HERE / "whatsapp" / "inbound" / f"{name}.json").read_text())


def test_seventy_two_items_go_to_six_numbers_and_one_is_poisoned() -> None:
    items = items_of(golden("batch_of_seventy_two_with_one_poisoned"))
    assert len(items) == 72
    assert {item.external_id for item in items} == {"555000", "555001", "555010", "555011", "555020", "555021"}
    assert [item.body for item in items].count(b'"poison"') == 1
    # A message stands by itself: its own contact and none of the others.
    first = json.loads(items[0].body)
    assert first["contact"]["profile"]["name"] == "Contact 1"
    assert len(items[0].body) < 500


def test_items_of_one_person_have_one_key_without_personal_data() -> None:
    message, status = items_of(golden("message_and_status_in_one_value"))
    assert message.key == status.key == "BR.7f3K9mQ2"
    (by_phone,) = items_of(golden("text_old_fixture_without_user_id"))
    assert by_phone.key == ids.personal_peer("15550100001")


@pytest.mark.parametrize(
    ("case", "key"),
    [
        ("group_text", "Y2FwaV9ncm91cDox"),
        ("status_of_group", "Y2FwaV9ncm91cDox"),
        ("system_user_id_rotated", "BR.7f3K9mQ2"),  # behind what was said under the old id
        ("template_paused", "102290129340398"),
        ("text_without_any_author", "55501"),
        ("echo_to_user_id", "BR.7f3K9mQ2"),
    ],
)
def test_keys(case: str, key: str) -> None:
    assert items_of(golden(case))[0].key == key


def test_fields_of_the_business_account_are_routed_by_its_id() -> None:
    (item,) = items_of(golden("account_banned"))
    assert item.external_id == "102290129340398"


def test_what_is_nested_beyond_publishing_is_a_dead_letter_and_its_neighbour_is_not() -> None:
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    document = golden("text_old_fixture_without_user_id")
    messages = document["entry"][0]["changes"][0]["value"]["messages"]
    messages.append({"id": "wamid.deep", "from": "15550100001", "type": "deep", "deep": deep})
    channel = build(Settings())
    good, bad = items_of(document)
    account = AccountRecord(account_id="a", workspace_id="w", channel="whatsapp")
    assert len(channel.normalise(ReceivedItem(account, good.body, goldens.RECEIVED_AT))) == 1
    with pytest.raises(ValueError, match="nested too deeply"):
        channel.normalise(ReceivedItem(account, bad.body, goldens.RECEIVED_AT))


@pytest.mark.parametrize("depth", [100, 200, 240, 248, 250, 251, 252, 253, 254, 255])
def test_whatever_is_normalised_can_be_published(depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    document = golden("text_old_fixture_without_user_id")
    messages = document["entry"][0]["changes"][0]["value"]["messages"]
    messages.append({"id": "wamid.deep", "from": "15550100001", "type": "deep", "deep": deep})
    channel = build(Settings())
    account = AccountRecord(account_id="a", workspace_id="w", channel="whatsapp")
    _, item = items_of(document)
    try:
        outcomes = channel.normalise(ReceivedItem(account, item.body, goldens.RECEIVED_AT))
    except ValueError:
        return
    for outcome in outcomes:
        assert isinstance(outcome, Event)
        assert outcome.data.to_json()


# ------------------------------------------------------------------------------------------------ whose a fact is

WABA = "102290129340398"


def _about_the_business_account() -> dict[str, list[bytes]]:
    """Bodies of the golden cases by webhook field: those of a business account, which name no number's id."""
    found: dict[str, list[bytes]] = {}
    for path in goldens.cases("whatsapp", "inbound"):
        try:
            document = json.loads(path.read_bytes())
            (entry,) = document["entry"]
            (change,) = entry["changes"]
            value = change["value"]
            known = {**value, **change}["field"] in FIELDS and not {"metadata", "recipient"} & set(value)
        except (ValueError, KeyError, TypeError):
            continue
        if known:
            found.setdefault({**value, **change}["field"], []).append(path.read_bytes())
    return found


ABOUT = _about_the_business_account()


def test_every_field_about_a_business_account_has_a_case() -> None:
    of_groups = {field for field in FIELDS if field.startswith("group_")}
    assert set(ABOUT) == set(FIELDS) - of_groups - {"messaging_handovers"}  # these name the number's id


@pytest.mark.parametrize("body", [pytest.param(body, id=field) for field in ABOUT for body in ABOUT[field]])
def test_what_is_told_of_a_business_account_reaches_each_of_its_numbers(channel: WhatsApp, body: bytes) -> None:
    accounts = AccountRegistry("whatsapp", None)
    for number in range(3):
        record = AccountRecord(
            account_id=f"wa_{number}",
            workspace_id="w",
            channel="whatsapp",
            external_id=f"5550{number}",
            parent_id=WABA if number else "another",
        )
        accounts.apply(record.account_id.encode(), record.to_json())
    (item,) = channel.unbatch(posted(None, body=body))
    told = accounts.find(item.account_id, item.external_id)
    assert [account.account_id for account in told] == ["wa_1", "wa_2"]
    for account in told:
        received = ReceivedItem(account.record, item.body, goldens.RECEIVED_AT, 0)
        (event,) = [o for o in channel.normalise(received) if isinstance(o, Event)]
        assert isinstance(event.data, AccountNotice)
        assert event.data.account_id == account.account_id
        assert event.data.notice != "webhook.unknown"


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (Settings(), ["WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"]),
        (Settings(app_secret=SecretStr("")), ["WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"]),
        (Settings(app_secret=SecretStr("s")), ["WHATSAPP_VERIFY_TOKEN"]),
        (Settings(app_secret=SecretStr("s"), verify_token=SecretStr("v")), []),
        (Settings(apps={"shop": App(secret=SecretStr("s"))}), []),
    ],
)
def test_it_knows_which_secrets_were_forgotten(settings: Settings, missing: list[str]) -> None:
    assert list(build(settings).missing_secrets()) == missing
