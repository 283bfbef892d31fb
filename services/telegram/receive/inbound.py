"""From a webhook call or a batch of `getUpdates` to events: authentic, split, normalised. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from services.telegram.peers import conversation_key
from services.telegram.receive import business, messages, updates, wire
from services.telegram.receive.notices import notice
from services.telegram.receive.received import Received, Unreadable, received_of
from shared.channel import (
    Accounts,
    Event,
    Forbidden,
    LeftOut,
    Outcome,
    RawItem,
    ReceivedItem,
    UnknownRoute,
    WebhookRequest,
    bounded,
)
from shared.kit.json import read_json, read_shallow
from shared.kit.proof import proven

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  the header's name

_NOT_JSON = "the body is not JSON"

# Where the chat of an update stands; what is not here concerns the account.
_CHAT_PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "callback_query": (("message", "chat", "id"), ("from", "id")),
    "poll_answer": (("voter_chat", "id"), ("user", "id")),
    "purchased_paid_media": (("from", "id"),),
    "chat_join_request": (("user_chat_id",), ("from", "id")),
    "business_connection": (),
}
_ANY_CHAT = (("chat", "id"), ("from", "id"))
_BUSINESS_PATHS = (("business_connection_id",), ("message", "business_connection_id"))


def authenticate(request: WebhookRequest, accounts: Accounts) -> None:
    """Check the secret token that `setWebhook` gave Telegram; the route is the account id.

    During a rotation the previous secret is good as well. Raises Forbidden, UnknownRoute.
    """
    account = accounts.get(request.route)
    credentials = account.credentials if account else {}
    secrets = [credentials.get(name, "").encode() for name in ("webhook_secret", "webhook_secret_previous")]
    # Compared whatever happens: the time taken tells nothing about which accounts exist.
    genuine = proven(request.headers.get(SECRET_HEADER, ""), secrets)
    if account is None:
        raise UnknownRoute
    if not genuine:
        raise Forbidden


def unbatch(request: WebhookRequest) -> list[RawItem]:
    """One item per update: of a webhook body, of a list of updates, of an answer of `getUpdates`.

    Raises ValueError for a body that is no JSON object or list.
    """
    value = read_json(request.body, _NOT_JSON)
    if isinstance(value, dict) and isinstance(value.get("result"), list) and "update_id" not in value:
        value = value["result"]
    if isinstance(value, dict):
        return [RawItem(_key(request.route, value), request.body, account_id=request.route)]
    if not isinstance(value, list):
        raise ValueError("the body is neither an update nor a list of updates")
    return bounded(raw_item(request.route, update) for update in value)


def raw_item(account_id: str, update: Any) -> RawItem:
    """The raw item of one decoded update. Raises ValueError for one nested beyond what can be written again."""
    try:
        body = orjson.dumps(update)
    except orjson.JSONEncodeError:
        raise ValueError("nested too deeply") from None
    return RawItem(_key(account_id, update), body, account_id=account_id)


def _key(account_id: str, update: Any) -> str:
    for name, payload in update.items() if isinstance(update, dict) else ():
        if isinstance(payload, dict):
            return _payload_key(account_id, name, payload)
    return conversation_key(account_id, None)


def _payload_key(account_id: str, name: str, payload: dict[str, Any]) -> str:
    chat_id = _first(payload, _CHAT_PATHS.get(name, _ANY_CHAT), int)
    business = _first(payload, _BUSINESS_PATHS, str)
    return conversation_key(account_id, chat_id, business if chat_id is not None else None)


def _first(payload: dict[str, Any], paths: Sequence[tuple[str, ...]], kind: type) -> Any:
    for path in paths:
        value: Any = payload
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if kind is int and isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        if isinstance(value, kind) and not isinstance(value, bool) and value:
            return value
    return None


def normalise(item: ReceivedItem) -> list[Outcome]:
    """The events of one update. Raises ValueError for bytes that are no JSON."""
    update = read_shallow(item.body, _NOT_JSON)
    if not isinstance(update, dict):
        return [notice(received_of(item, {}), "unknown_update", "Telegram sent something that is no update")]
    received = received_of(item, update)
    found: list[Outcome] = []
    understood = False
    for name, payload in update.items():
        if payload is None:
            continue
        if name in updates.LEFT_OUT:
            found.append(LeftOut(name))
            understood = True
        elif (handler := _HANDLERS.get(name)) and isinstance(payload, dict):
            try:
                found.extend(handler(payload, received))
                understood = True
            except Unreadable:
                continue
    return found if understood else list(_unknown(update, received))


def _unknown(update: dict[str, Any], received: Received) -> Iterator[Event]:
    for name, payload in update.items():
        if name != "update_id" and payload is not None:
            yield from updates.unknown(name, payload, received)
            return
    yield notice(received, "unknown_update", "Telegram sent an empty update")


Handler = Callable[[dict[str, Any], Received], Iterator[Event]]


def _handler(model: type[wire.Wire], make: Callable[[Any, Received], Iterator[Event]]) -> Handler:
    return lambda payload, received: make(model.model_validate(payload), received)


_HANDLERS: dict[str, Handler] = {
    "message": _handler(wire.Message, messages.new),
    "business_message": _handler(wire.Message, messages.new),
    "channel_post": _handler(wire.Message, messages.new),
    "guest_message": _handler(wire.Message, messages.guest),
    "edited_message": _handler(wire.Message, messages.edited),
    "edited_business_message": _handler(wire.Message, messages.edited),
    "edited_channel_post": _handler(wire.Message, messages.edited),
    "callback_query": _handler(wire.CallbackQuery, updates.callback_query),
    "message_reaction": _handler(wire.ReactionUpdate, updates.message_reaction),
    "my_chat_member": _handler(wire.MemberUpdate, updates.my_chat_member),
    "business_connection": _handler(wire.BusinessConnection, business.business_connection),
    "deleted_business_messages": _handler(wire.DeletedMessages, business.deleted_business_messages),
    "poll_answer": _handler(wire.PollAnswer, updates.poll_answer),
    "purchased_paid_media": _handler(wire.PaidMediaPurchase, updates.purchased_paid_media),
    "chat_join_request": _handler(wire.JoinRequest, updates.chat_join_request),
    "shipping_query": updates.payment_query,
    "pre_checkout_query": updates.payment_query,
}

# Asked for explicitly: the list is a setting of the bot that outlives us, and reactions are not in its default.
ALLOWED_UPDATES: tuple[str, ...] = (
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "message_reaction",
    "guest_message",
)
