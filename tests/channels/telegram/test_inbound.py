"""Authentication, the order of raw items, and what the goldens do not show of events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.telegram.peers import Peer, message_number, parse_peer
from services.telegram.receive import inbound, updates
from shared.channel import Account, Event, Forbidden, RawItem, ReceivedItem, UnknownRoute, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.events import EventType
from tests.channels import goldens

RECORD = AccountRecord(account_id="tg_1", workspace_id="ws_1", channel="telegram")
PERSON = {"id": 7001, "is_bot": False, "first_name": "Ida"}
CHAT = {"id": 7001, "type": "private", "first_name": "Ida"}
GROUP = {"id": -100123, "type": "supergroup", "title": "Neighbours"}


class Accounts:
    """The accounts a process knows."""

    def __init__(self, *accounts: Account) -> None:
        self._accounts = {account.account_id: account for account in accounts}

    def get(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)


def _request(secret: str | None, route: str = "tg_1") -> WebhookRequest:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    return WebhookRequest("POST", route, {}, headers, b"{}")


def test_the_secret_proves_the_sender() -> None:
    inbound.authenticate(_request("s1"), Accounts(Account(RECORD, {"webhook_secret": "s1"})))


def test_both_secrets_are_good_during_a_rotation() -> None:
    accounts = Accounts(Account(RECORD, {"webhook_secret": "new", "webhook_secret_previous": "old"}))
    inbound.authenticate(_request("new"), accounts)
    inbound.authenticate(_request("old"), accounts)


@pytest.mark.parametrize("secret", [None, "", "wrong", "s1 ", "ümlaut"])
def test_a_wrong_secret_is_forbidden(secret: str | None) -> None:
    with pytest.raises(Forbidden):
        inbound.authenticate(_request(secret), Accounts(Account(RECORD, {"webhook_secret": "s1"})))


@pytest.mark.parametrize("secret", [None, "", "anything"])
@pytest.mark.parametrize("credentials", [{}, {"webhook_secret": ""}])
def test_an_account_without_a_secret_lets_nobody_in(secret: str | None, credentials: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        inbound.authenticate(_request(secret), Accounts(Account(RECORD, credentials)))


def test_an_unknown_account_is_an_unknown_route() -> None:
    with pytest.raises(UnknownRoute):
        inbound.authenticate(_request("s1", "tg_2"), Accounts(Account(RECORD, {"webhook_secret": "s1"})))


def _items(body: Any) -> list[RawItem]:
    return inbound.unbatch(WebhookRequest("POST", "tg_1", {}, {}, json.dumps(body).encode()))


def _key(kind: str, payload: Any) -> str:
    return _items({"update_id": 1, kind: payload})[0].key


def test_everything_of_a_chat_has_one_key() -> None:
    message = {"message_id": 5, "chat": CHAT, "from": PERSON, "date": 1}
    keys = {
        _key("message", message),
        _key("edited_message", message),
        _key("callback_query", {"id": "1", "from": {"id": 99}, "message": message, "data": "x"}),
        _key("callback_query", {"id": "1", "from": PERSON, "inline_message_id": "x"}),
        _key("message_reaction", {"chat": CHAT, "message_id": 5, "user": PERSON}),
        _key("my_chat_member", {"chat": CHAT, "from": PERSON}),
        _key("poll_answer", {"poll_id": "1", "user": PERSON}),
        _key("purchased_paid_media", {"from": PERSON}),
        _key("chat_join_request", {"chat": GROUP, "from": PERSON, "user_chat_id": 7001}),
        _key("message", {**message, "chat": {"id": "7001"}}),
    }
    assert keys == {"telegram:tg_1:7001"}


def test_a_business_chat_keeps_to_itself() -> None:
    message = {"message_id": 5, "chat": CHAT, "from": PERSON, "business_connection_id": "biz"}
    keys = {
        _key("business_message", message),
        _key("edited_business_message", message),
        _key("deleted_business_messages", {"chat": CHAT, "business_connection_id": "biz", "message_ids": [5]}),
        _key("callback_query", {"id": "1", "from": PERSON, "message": message}),
    }
    assert keys == {"telegram:tg_1:7001:business:biz"}


def test_topics_share_the_order_of_their_chat() -> None:
    in_topic = {"message_id": 5, "chat": GROUP, "message_thread_id": 3, "is_topic_message": True}
    assert (
        _key("message", in_topic)
        == _key("message_reaction", {"chat": GROUP, "message_id": 5})
        == "telegram:tg_1:-100123"
    )


@pytest.mark.parametrize("payload", [{}, {"chat": {"id": "Ida Berg"}}, {"chat": {"id": True}}, {"chat": 5}, 7, None])
def test_a_key_holds_nothing_but_ids(payload: Any) -> None:
    assert _key("message", payload) == "telegram:tg_1"


def test_a_webhook_body_is_kept_byte_for_byte() -> None:
    body = b'{ "update_id": 1,\n "message": {"chat": {"id": 1}, "text": "\\u00e9"} }'
    (item,) = inbound.unbatch(WebhookRequest("POST", "tg_1", {}, {}, body))
    assert item.body == body


@pytest.mark.parametrize("body", [b"", b"null", b"17", b'"text"', b"{", b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_cannot_be_read_is_a_dead_letter(body: bytes) -> None:
    with pytest.raises(ValueError, match="body"):
        inbound.unbatch(WebhookRequest("POST", "tg_1", {}, {}, body))


def _events(kind: str, payload: Any, update_id: int = 1) -> list[Event]:
    body = json.dumps({"update_id": update_id, kind: payload}).encode()
    found = inbound.normalise(ReceivedItem(RECORD, body, goldens.RECEIVED_AT))
    return [outcome for outcome in found if isinstance(outcome, Event)]


def _message(**fields: Any) -> dict[str, Any]:
    return {"message_id": 5, "chat": CHAT, "from": PERSON, "date": 1763806800, "text": "hello", **fields}


def test_a_button_is_answered() -> None:
    (event,) = _events("callback_query", {"id": "77", "from": PERSON, "message": _message(), "data": "x"})
    assert event.answer is not None
    assert (event.answer.method, event.answer.params, event.answer.parts) == (
        "answerCallbackQuery",
        {"callback_query_id": "77"},
        0,
    )
    (message,) = _events("message", _message())
    assert event.data.reply_to.message_id == message.data.message_id  # type: ignore[attr-defined]


def test_an_event_says_how_to_write_back() -> None:
    topic = {"chat": GROUP, "message_thread_id": 3, "is_topic_message": True}
    addresses = [
        _events("message", _message())[0].address,
        _events("message", _message(**topic))[0].address,
        _events("business_message", _message(business_connection_id="biz"))[0].address,
    ]
    assert addresses == [
        {"chat_id": "7001", "kind": "private"},
        {"chat_id": "-100123", "message_thread_id": "3", "kind": "group"},
        {"chat_id": "7001", "business_connection_id": "biz", "kind": "business"},
    ]


def test_a_reply_points_at_the_reference_of_its_target() -> None:
    (target,) = _events("message", _message())
    (reply,) = _events("message", _message(message_id=6, reply_to_message=_message()))
    assert target.provider_ref == "7001:5"
    assert reply.data.reply_to.message_id == target.data.message_id  # type: ignore[attr-defined]


def test_business_and_ordinary_messages_with_one_number_are_two() -> None:
    (ordinary,) = _events("message", _message())
    (business,) = _events("business_message", _message(business_connection_id="biz"))
    assert ordinary.data.message_id != business.data.message_id  # type: ignore[attr-defined]


def test_a_migration_is_one_event_however_it_is_told() -> None:
    (old,) = _events("message", {**_message(), "chat": {"id": -44, "type": "group"}, "migrate_to_chat_id": -100123}, 1)
    (new,) = _events("message", {**_message(), "chat": GROUP, "migrate_from_chat_id": -44}, 2)
    assert old.provider_id == new.provider_id
    assert old.data.conversation_id == new.data.conversation_id == "telegram:tg_1:-100123"
    assert old.supersedes_peer == new.supersedes_peer == "-44"
    (later,) = _events("message", _message(chat=GROUP))
    assert later.peer_aliases == ("-100123",)


def test_two_edits_in_a_second_are_two_events() -> None:
    edit = _message(edit_date=1763806801)
    first, second, again = (_events("edited_message", edit, number)[0].provider_id for number in (1, 2, 1))
    assert first != second
    assert first == again


def test_only_what_the_contact_writes_opens_the_window() -> None:
    business = {"business_connection_id": "biz"}
    assert _events("business_message", _message(**business))[0].opens_window
    owner = {**business, "from": {"id": 8001, "first_name": "Olga"}}
    assert not _events("business_message", _message(**owner))[0].opens_window
    assert not _events("message", _message(text=None, chat=GROUP, new_chat_title="x"))[0].opens_window
    assert _events("message", _message(text=None, write_access_allowed={}))[0].opens_window


def test_an_update_of_two_kinds_is_read_twice() -> None:
    reaction = {"chat": CHAT, "message_id": 5, "new_reaction": [{"type": "emoji", "emoji": "👍"}]}
    body = {"update_id": 1, "message": _message(), "message_reaction": reaction}
    found = inbound.normalise(ReceivedItem(RECORD, json.dumps(body).encode(), goldens.RECEIVED_AT))
    assert [event.type for event in found if isinstance(event, Event)] == [
        EventType.MESSAGE_RECEIVED,
        EventType.REACTION_CHANGED,
    ]


def test_what_is_left_out_says_why() -> None:
    assert all(reason for reason in updates.LEFT_OUT.values())
    assert not set(updates.LEFT_OUT) & set(inbound.ALLOWED_UPDATES)


def test_deeply_nested_replies_and_blocks_are_survived() -> None:
    message: dict[str, Any] = _message()
    for _ in range(150):
        message = _message(reply_to_message=message)
    block: Any = "deep"
    for _ in range(150):
        block = {"type": "bold", "text": block}
    assert _events("message", message)
    assert _events("message", _message(text=None, rich_message={"blocks": [{"type": "paragraph", "text": block}]}))


@pytest.mark.parametrize(
    "peer",
    [
        Peer("7001"),
        Peer("-100123", topic_id="3"),
        Peer("7001", "biz-_A:b", kind="business"),
        Peer("7001", "biz", topic_id="3", kind="business"),
        Peer("-1003", direct_topic_id="7001"),
        Peer("@citynews"),
    ],
    ids=str,
)
def test_peers_are_read_as_they_are_written(peer: Peer) -> None:
    assert parse_peer(str(peer)) == peer


@pytest.mark.parametrize("value", ["", "Ida", "12 34", "1:2", "--5", "7001:topic:", "9" * 40])
def test_what_is_no_peer(value: str) -> None:
    assert parse_peer(value) is None


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("5", 5),
        ("7001:5", 5),
        ("7001:business:biz:5", 5),
        ("wamid.x", None),
        ("", None),
        ("-5", None),
        ("٣", None),
        ("7001:ephemeral:5", None),
        ("7001:update:5", None),
        ("callback:5", None),
        ("-100:5", 5),
    ],
)
def test_message_numbers(reference: str, number: int | None) -> None:
    assert message_number(reference) == number


@pytest.mark.parametrize(
    ("reference", "peer", "number"),
    [
        ("-44:5", Peer("-44"), 5),
        ("-44:5", Peer("-100123"), None),  # the group has moved since: 5 is another message there
        ("5", Peer("-100123"), 5),
        ("-100123:5", Peer("-100123", topic_id="3"), 5),
        ("7001:business:old:5", Peer("7001", "new"), 5),  # connected anew, the chat is the same
        ("7001:5", Peer("7001", "new"), None),  # the bot's own chat with the contact counts for itself
        ("7001:business:old:5", Peer("7001"), None),
        ("-1001:5", Peer("@citynews"), 5),
        ("@citynews:5", Peer("-1001"), 5),
    ],
)
def test_message_numbers_count_within_a_chat(reference: str, peer: Peer, number: int | None) -> None:
    assert message_number(reference, peer) == number


def test_an_edit_keeps_the_attachment_it_keeps_and_renames_the_one_it_replaces() -> None:
    """Same file, same id and blob: another file in its place must not overwrite it."""
    folder = goldens.HERE / "telegram" / "inbound"
    caption, photo = (
        json.loads((folder / f"{case}.json").read_text())["edited_message"]
        for case in ("edit_of_caption", "edit_replaces_a_photo")
    )
    told = [*_events("message", caption), *_events("edited_message", caption), *_events("edited_message", photo)]
    first, same, other = (event.data.content.attachments[0] for event in told)  # type: ignore[attr-defined]
    assert (same.attachment_id, same.blob) == (first.attachment_id, first.blob)
    assert other.attachment_id != first.attachment_id
    assert other.blob != first.blob
