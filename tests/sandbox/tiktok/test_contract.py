"""Every request is held against the tables; what breaks them is refused and remembered."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.server import HANDLERS
from sandbox.simulators.tiktok.tables import ENDPOINTS
from tests.sandbox.tiktok.conftest import BUSINESS, ROOT, Client, message

CARD = {
    "type": "QA_BUTTON_CARD",
    "title": "When?",
    "buttons": [{"type": "REPLY", "title": "Today", "id": "b1"}],
}


def card(**changes: Any) -> dict[str, Any]:
    return {"message_type": "TEMPLATE", "template": {**CARD, **changes}}


def test_every_endpoint_has_a_handler_and_a_trailing_slash() -> None:
    assert {endpoint.name for endpoint in ENDPOINTS} == HANDLERS.keys()
    assert all(endpoint.path.endswith("/") for endpoint in ENDPOINTS)


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("POST", "/business/message/send", 404, "trailing slash"),
        ("GET", "/business/message/send/", 405, "wrong method"),
        ("POST", "/business/message/invented/", 404, "no such path"),
    ],
)
async def test_wrong_paths(
    sim: TikTokSimulator, client: Client, method: str, path: str, status: int, problem: str
) -> None:
    async with client.session.request(method, client.base_url + ROOT + path, json={}) as answer:
        assert answer.status == status
    assert problem in sim.violations[0].problem


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"message_type": "VIDEO"}, "message_type must be one of"),
        ({"message_type": "IMAGE", "image": {}}, "image.media_id is required"),
        ({"message_type": "IMAGE", "image": {"media_id": "m"}, "text": {"body": "x"}}, "no other content"),
        ({"message_type": "TEXT", "image": {"media_id": "m"}}, "no other content"),
        ({"message_type": "IMAGE"}, "takes image"),
        ({"recipient_type": "USER"}, "recipient_type must be one of"),
        ({"recipient": 5}, "recipient must be a string"),
        ({"business_id": ""}, "business_id must be within"),
        ({"message_tag": "HUMAN_AGENT"}, "message_tag is not a parameter"),
        (card(title="x" * 41), "template.title must be within"),
        (card(buttons=[]), "template.buttons must be within"),
        (card(buttons=CARD["buttons"] * 4), "template.buttons must be within"),
        (card(buttons=[{"type": "REPLY", "title": "x" * 21}]), "template.buttons.title must be within 1 and 20"),
        (card(buttons=[{"type": "URL", "title": "x"}]), "template.buttons.type must be one of"),
        (card(buttons=["x"]), "template.buttons must be"),
        (card(buttons=[{"title": "x"}]), "template.buttons.type is required"),
        (
            {
                "message_type": "IMAGE",
                "image": {"media_id": "m"},
                "referenced_message_info": {"referenced_message_id": "m"},
            },
            "TEXT only",
        ),
        ({"message_type": "SENDER_ACTION", "sender_action": "TYPING_OFF"}, "sender_action must be one of"),
        (
            {"direct_reply": {"reply_type": "COMMENT_REPLY", "comment_reply": {"comment_id": "1"}}},
            "excludes recipient",
        ),
    ],
)
async def test_a_send_that_breaks_the_contract(
    sim: TikTokSimulator, client: Client, thread: str, fields: dict[str, Any], problem: str
) -> None:
    answer = await client.send(thread, **fields)
    assert answer["code"] == 40002
    assert answer["request_id"]
    assert problem in sim.violations[0].problem
    assert sim.sent(thread) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("x" * 6000, 0), ("x" * 6001, 40002), ("é" * 6000, 0), ("👍" * 3000, 0), ("👍" * 3001, 40002), ("", 40002)],
)
async def test_text_length(client: Client, thread: str, text: str, code: int) -> None:
    assert (await client.send(thread, text))["code"] == code


@pytest.mark.parametrize(
    ("headers", "code", "problem"),
    [
        ({}, 40104, "Access-Token header is missing"),
        ({"Authorization": "Bearer {token}"}, 40002, "Authorization"),
        ({"Access-Token": "{token}", "Content-Type": "text/plain"}, 40002, "Content-Type"),
    ],
)
async def test_credentials_in_the_wrong_place(
    sim: TikTokSimulator, client: Client, thread: str, headers: dict[str, str], code: int, problem: str
) -> None:
    filled = {name: value.format(token=client.token) for name, value in headers.items()}
    url = client.base_url + ROOT + "/business/message/send/"
    async with client.session.post(url, json=message(thread), headers=filled) as answer:
        assert (await answer.json())["code"] == code
    assert problem in sim.violations[0].problem


async def test_app_endpoints_refuse_the_account_token_and_a_secret_in_the_query(
    sim: TikTokSimulator, client: Client
) -> None:
    body = {"app_id": sim.options.app_id, "secret": sim.options.app_secret, "event_type": "DIRECT_MESSAGE"}
    assert (await client.get("/business/webhook/list/", **body))["code"] == 40002
    url = client.base_url + ROOT + "/business/webhook/delete/"
    async with client.session.post(url, json=body, params={"secret": "x"}) as answer:
        assert (await answer.json())["code"] == 40002
    assert [v.problem for v in sim.violations] == [
        "webhook_list takes no Access-Token header",
        "a POST takes no query parameters",
    ]


@pytest.mark.parametrize("body", ["", "[]", "{", '"x"'])
async def test_a_body_that_is_no_object(sim: TikTokSimulator, client: Client, body: str) -> None:
    headers = {"Access-Token": client.token, "Content-Type": "application/json"}
    url = client.base_url + ROOT + "/business/message/send/"
    async with client.session.post(url, data=body, headers=headers) as answer:
        assert (await answer.json())["code"] == 40002
    assert len(sim.violations) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"conversation_type": "SINGLE", "limit": "0"},
        {"conversation_type": "SINGLE", "limit": "101"},
        {"conversation_type": "SINGLE", "limit": "ten"},
        {"conversation_type": "GROUP"},
        {"conversation_type": "SINGLE", "access_token": "x"},
        {},
    ],
)
async def test_queries_are_checked_too(sim: TikTokSimulator, client: Client, params: dict[str, str]) -> None:
    answer = await client.get("/business/message/conversation/list/", business_id=BUSINESS, **params)
    assert answer["code"] == 40002
    assert len(sim.violations) == 1


async def test_a_list_in_a_query_is_json(sim: TikTokSimulator, client: Client) -> None:
    answer = await client.get("/business/get/", business_id=BUSINESS, fields='["username","display_name"]')
    assert answer["data"] == {"username": "acme", "display_name": "Acme Ltd"}
    assert (await client.get("/business/get/", business_id=BUSINESS, fields="username"))["code"] == 40002
    assert (await client.get("/business/get/", business_id=BUSINESS, fields='["email"]'))["code"] == 40002
