"""Service messages: what happened in a chat, as a sentence. Values are raw JSON of unknown shape.

Names of the fields: core.telegram.org/bots/api#message, Bot API 10.3 and the older twins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from services.telegram.receive import wire
from services.telegram.receive.people import name_of_user
from shared.contract.content import ContactCard


def _get(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _quoted(value: Any, otherwise: str) -> str:
    return f"“{value}”" if isinstance(value, str) and value else otherwise


def _name(value: Any) -> str | None:
    return name_of_user(wire.User.model_validate(value)) if isinstance(value, dict) else None


def _user(value: Any) -> str:
    return _name(value) or "Somebody"


def _users(value: Any) -> str:
    return ", ".join(_user(user) for user in value) if isinstance(value, list) and value else "Somebody"


def _shared(users: Any) -> str:
    """Users by name and username, or by id where the bot did not ask for them."""
    known = users if isinstance(users, list) else []
    return ", ".join(_shared_user(user) for user in known) or "Somebody"


def _shared_user(user: Any) -> str:
    name, username = _name(user), _text(_get(user, "username"))
    if name and username and name != username:
        return f"{name} (@{username})"
    return name or _text(_get(user, "user_id") or user) or "Somebody"


def shared_users(value: Any) -> tuple[ContactCard, ...]:
    """The users of a `users_shared` as cards: by the id that each has, and the names that the bot has asked for."""
    users = _get(value, "users") or _get(value, "user_ids") or [value]
    cards = []
    for user in users if isinstance(users, list) else ():
        known = _get(user, "user_id") if isinstance(user, dict) else user
        if isinstance(known, int) and not isinstance(known, bool):
            facts = {"given_name": _get(user, "first_name"), "family_name": _get(user, "last_name")}
            names = {name: fact for name, fact in facts.items() if isinstance(fact, str)}
            cards.append(ContactCard(name=_name(user), **names, provider_id=str(known)))
    return tuple(cards)


def _when(value: Any) -> str:
    """A Unix time in words, or nothing."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**35:
        return ""
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"


def money(value: Any) -> str:
    """An amount, which Telegram gives in the smallest units of its currency: 1050 of USD is `10.50 USD`."""
    currency, amount = _text(_get(value, "currency")), _get(value, "total_amount")
    if not isinstance(amount, int) or isinstance(amount, bool):
        return currency
    if currency == "XTR":
        return f"{amount} Stars"
    # Currencies without a hundredth (core.telegram.org/bots/payments/currencies.json).
    digits = 0 if currency in {"JPY", "KRW", "VND", "CLP", "ISK", "UGX", "PYG"} else 2
    return f"{amount / 10**digits:.{digits}f} {currency}".strip()


def _with(sentence: str, detail: Any) -> str:
    """The sentence, and what it is about where Telegram says so."""
    return f"{sentence}: {detail}" if _text(detail) else sentence


def _stars(value: Any) -> str:
    return f"{value} Stars" if isinstance(value, int) and not isinstance(value, bool) and value else ""


def _gift(value: Any) -> str:
    stars = _stars(_get(value, "gift", "star_count"))
    return _with(f"A gift worth {stars}" if stars else "A gift", _get(value, "text"))


def _unique_gift(value: Any) -> str:
    number = _text(_get(value, "gift", "number"))
    name = _text(_get(value, "gift", "base_name")) or "unnamed"
    return _with(f"A unique gift: {name} #{number}" if number else f"A unique gift: {name}", _get(value, "text"))


def _paid(value: Any) -> str:
    """The amount, what it was for, and the order as far as the shop asked the buyer for it."""
    order = _get(value, "order_info")
    address = _get(order, "shipping_address")
    known = [_get(order, name) for name in ("name", "phone_number", "email")]
    known += [_get(address, name) for name in ("street_line1", "street_line2", "post_code", "city", "state")]
    known.append(_get(address, "country_code"))
    until = _when(_get(value, "subscription_expiration_date"))
    paid = f"{_for_order('Paid', value)} until {until}" if until else _for_order("Paid", value)
    return _with(paid, ", ".join(filter(None, map(_text, known))))


def _for_order(what: str, value: Any) -> str:
    # The payload is the shop's own name of the order.
    order = _text(_get(value, "invoice_payload"))
    return " ".join(filter(None, (what, money(value), order and f"for {order}")))


def _passport(value: Any) -> str:
    """The kinds of documents; of them, only an address and a number come unencrypted."""
    listed = _get(value, "data")
    documents = [
        " ".join(filter(None, (_text(_get(d, "type")).replace("_", " "), *(_text(_get(d, n)) for n in _PLAIN))))
        for d in (listed if isinstance(listed, list) else ())
    ]
    return _with("Shared Telegram Passport data", ", ".join(filter(None, documents)))


def _pinned(value: Any) -> str:
    said = _text(_get(value, "text") or _get(value, "caption"))
    shown = (say(_get(value, name)) for name, say in CUSTOM_CONTENT.items() if isinstance(_get(value, name), dict))
    kind = next((name.replace("_", " ") for name in _SHOWN if _get(value, name)), "a message")
    return f"Pinned: {said or next(shown, kind)}"


def _approved(value: Any) -> str:
    published = _when(_get(value, "send_date"))
    details = (_amount(_get(value, "price")), published and f"published {published}")
    return _with(f"{_post(value)} was approved", ", ".join(filter(None, details)))


def _amount(value: Any) -> str:
    """An amount of Stars, or of Toncoins, of which Telegram counts the billionths."""
    currency, amount = _get(value, "currency"), _get(value, "amount")
    if amount is None:
        amount = _get(value, "star_amount", "amount")
    if not isinstance(amount, int) or isinstance(amount, bool):
        return ""
    return f"{amount / 10**9:.9f}".rstrip("0").rstrip(".") + " TON" if currency == "TON" else _stars(amount)


def _tasks(value: Any) -> str:
    listed = _get(value, "checklist_message", "checklist", "tasks")
    tasks = listed if isinstance(listed, list) else []
    names = {id_: _text(_get(task, "text")) for task in tasks if isinstance(id_ := _get(task, "id"), int)}
    done, reopened = (
        [names.get(id_) if isinstance(id_, int) else None for id_ in (ids if isinstance(ids, list) else ())]
        for ids in (_get(value, "marked_as_done_task_ids"), _get(value, "marked_as_not_done_task_ids"))
    )
    if names and all([*done, *reopened]):
        marked = [f"{mark} {name}" for mark, names_ in (("☑", done), ("☐", reopened)) for name in names_]
        return "\n".join([_checklist_title(value), *marked])
    return f"{_checklist_title(value)}: {len(done)} tasks done, {len(reopened)} reopened"


def _added(value: Any) -> str:
    tasks = _get(value, "tasks")
    names = [_text(_get(task, "text")) for task in (tasks if isinstance(tasks, list) else ())]
    return _with(f"{_checklist_title(value)}: {len(names)} tasks added", ", ".join(filter(None, names)))


def _checklist_title(value: Any) -> str:
    return _text(_get(value, "checklist_message", "checklist", "title")) or "Checklist"


def _poll_of(value: Any) -> str:
    question = _text(_get(value, "poll_message", "poll", "question"))
    return f"the poll “{question}”" if question else "the poll"


def _post(value: Any) -> str:
    """The post that was suggested, by its first words."""
    post = _get(value, "suggested_post_message")
    said = _text(_get(post, "text") or _get(post, "caption"))
    shown = said if len(said) <= _EXCERPT else f"{said[:_EXCERPT]}…"
    return f"The suggested post “{shown}”" if said else "The suggested post"


def suggested_post(value: Any) -> str:
    """What the sender of a post that waits for approval asks for."""
    published = _when(_get(value, "send_date"))
    details = (_amount(_get(value, "price")), published and f"to be published {published}")
    return _with("Suggested as a post", ", ".join(filter(None, details)))


def _direct_price(value: Any) -> str:
    if _get(value, "are_direct_messages_enabled") is False:
        return "Direct messages are switched off"
    return _price("direct messages", _get(value, "direct_message_star_count"))


def _price(what: str, stars: Any) -> str:
    return _with(f"The price of {what} changed", _stars(stars) or ("free" if stars == 0 else ""))


# Content that has no words of its own, the telling field before its twin; and what of a passport is not encrypted.
_SHOWN = (
    *("animation", "live_photo", "photo", "video", "video_note", "voice", "audio", "document", "sticker"),
    *("paid_media", "venue", "location", "contact", "story", "rich_message"),
)
_PLAIN = ("email", "phone_number")
_EXCERPT = 200  # characters


def _fixed(sentence: str) -> Callable[[Any], str]:
    return lambda _: sentence


# In this order: the first field that is present names the event.
SERVICE_MESSAGES: Mapping[str, Callable[[Any], str]] = {
    "new_chat_members": lambda v: f"{_users(v)} joined the chat",
    "new_chat_member": lambda v: f"{_user(v)} joined the chat",
    "new_chat_participant": lambda v: f"{_user(v)} joined the chat",
    "left_chat_member": lambda v: f"{_user(v)} left the chat",
    "left_chat_participant": lambda v: f"{_user(v)} left the chat",
    "new_chat_title": lambda v: f"The chat is now called {_quoted(v, 'something else')}",
    "new_chat_photo": _fixed("The chat has a new photo"),
    "delete_chat_photo": _fixed("The chat photo was removed"),
    "group_chat_created": _fixed("The group was created"),
    "supergroup_chat_created": _fixed("The supergroup was created"),
    "channel_chat_created": _fixed("The channel was created"),
    "chat_owner_left": lambda v: (
        f"The owner left the chat; {_user(_get(v, 'new_owner'))} will own it unless they return"
        if _get(v, "new_owner")
        else "The owner left the chat"
    ),
    "chat_owner_changed": lambda v: f"{_user(_get(v, 'new_owner'))} is the new owner of the chat",
    "message_auto_delete_timer_changed": lambda v: (
        f"Messages are deleted after {_text(_get(v, 'message_auto_delete_time')) or '?'} seconds"
        if _get(v, "message_auto_delete_time")
        else "Messages are no longer deleted automatically"
    ),
    "pinned_message": _pinned,
    "successful_payment": _paid,
    "refunded_payment": lambda v: _for_order("Refunded", v),
    "users_shared": lambda v: f"Shared contacts: {_shared(_get(v, 'users') or _get(v, 'user_ids'))}",
    "user_shared": lambda v: f"Shared contacts: {_shared([v])}",
    "chat_shared": lambda v: (
        f"Shared the chat {_quoted(_get(v, 'title') or _get(v, 'username'), _text(_get(v, 'chat_id')))}"
    ),
    "gift": _gift,
    "gift_upgrade_sent": lambda v: f"Upgraded: {_gift(v)}",
    "unique_gift": _unique_gift,
    "connected_website": lambda v: f"Logged in on {_text(v) or 'a website'}",
    "write_access_allowed": lambda v: _with("Allowed the bot to write", _get(v, "web_app_name")),
    "passport_data": _passport,
    "proximity_alert_triggered": lambda v: (
        f"{_user(_get(v, 'traveler'))} is within {_text(_get(v, 'distance')) or '?'} m of {_user(_get(v, 'watcher'))}"
    ),
    "boost_added": lambda v: f"Boosted the chat ({_text(_get(v, 'boost_count')) or '1'} ×)",
    "chat_background_set": _fixed("The chat has a new background"),
    "checklist_tasks_done": _tasks,
    "checklist_tasks_added": _added,
    "direct_message_price_changed": _direct_price,
    "paid_message_price_changed": lambda v: _price("messages", _get(v, "paid_message_star_count")),
    "poll_option_added": lambda v: _with(f"An option was added to {_poll_of(v)}", _get(v, "option_text")),
    "poll_option_deleted": lambda v: _with(f"An option was removed from {_poll_of(v)}", _get(v, "option_text")),
    "forum_topic_created": lambda v: f"Topic created: {_text(_get(v, 'name'))}",
    "forum_topic_edited": lambda v: f"Topic changed: {_text(_get(v, 'name'))}".rstrip(": "),
    "forum_topic_closed": _fixed("The topic was closed"),
    "forum_topic_reopened": _fixed("The topic was reopened"),
    "general_forum_topic_hidden": _fixed("The general topic was hidden"),
    "general_forum_topic_unhidden": _fixed("The general topic is shown again"),
    "giveaway_created": _fixed("A giveaway was announced"),
    "giveaway_completed": lambda v: f"The giveaway ended with {_text(_get(v, 'winner_count')) or '?'} winners",
    "managed_bot_created": lambda v: f"The bot {_user(_get(v, 'bot'))} was created",
    "suggested_post_approved": _approved,
    "suggested_post_approval_failed": lambda v: _with(f"{_post(v)} could not be approved", _amount(_get(v, "price"))),
    "suggested_post_declined": lambda v: f"{_post(v)} was declined. {_text(_get(v, 'comment'))}".rstrip(),
    "suggested_post_paid": lambda v: _with(f"{_post(v)} was paid for", _amount(v)),
    "suggested_post_refunded": lambda v: _with(f"{_post(v)} was refunded", _text(_get(v, "reason")).replace("_", " ")),
    "video_chat_scheduled": lambda v: _with("A video chat was scheduled", _when(_get(v, "start_date"))),
    "voice_chat_scheduled": lambda v: _with("A video chat was scheduled", _when(_get(v, "start_date"))),
    "video_chat_started": _fixed("A video chat started"),
    "voice_chat_started": _fixed("A video chat started"),
    "video_chat_ended": lambda v: f"The video chat ended after {_text(_get(v, 'duration')) or '?'} seconds",
    "voice_chat_ended": lambda v: f"The video chat ended after {_text(_get(v, 'duration')) or '?'} seconds",
    "video_chat_participants_invited": lambda v: f"Invited to the video chat: {_users(_get(v, 'users'))}",
    "voice_chat_participants_invited": lambda v: f"Invited to the video chat: {_users(_get(v, 'users'))}",
    "community_chat_added": lambda v: _with("The chat was added to a community", _get(v, "community", "name")),
    "community_chat_joined": lambda v: _with("Joined the chat from a community", _get(v, "community", "name")),
    "community_chat_removed": _fixed("The chat was removed from a community"),
}


def _checklist(value: Any) -> str:
    tasks = _get(value, "tasks")
    lines = [
        f"{'☑' if _get(task, 'completion_date') else '☐'} {_text(_get(task, 'text'))}"
        for task in (tasks if isinstance(tasks, list) else ())
    ]
    return "\n".join([_text(_get(value, "title")) or "Checklist", *lines])


def _poll(value: Any) -> str:
    options = _get(value, "options")
    lines = [f"• {_text(_get(option, 'text'))}" for option in (options if isinstance(options, list) else ())]
    about = _text(_get(value, "description"))
    return "\n".join(filter(None, [f"Poll: {_text(_get(value, 'question'))}".rstrip(": "), about, *lines]))


def _invoice(value: Any) -> str:
    about = _text(_get(value, "description"))
    line = f"Invoice: {_text(_get(value, 'title'))}, {money(value)}".rstrip(": ,")
    return f"{line}\n{about}" if about else line


def _giveaway(value: Any) -> str:
    winners, months = _text(_get(value, "winner_count")), _text(_get(value, "premium_subscription_month_count"))
    known = (
        _text(_get(value, "prize_description")),
        _stars(_get(value, "prize_star_count")),
        months and f"Telegram Premium for {months} months",
        winners and f"{winners} winners",
    )
    return f"Giveaway: {', '.join(filter(None, known))}".rstrip(": ")


def _winners(value: Any) -> str:
    winners, count = _get(value, "winners"), _get(value, "winner_count")
    others = count - len(winners) if isinstance(count, int) and isinstance(winners, list) and winners else 0
    return f"Giveaway winners: {_users(winners)}" + (f" and {others} others" if others > 0 else "")


def text_of_item(value: Any, items: str, key: str, wanted: int | str | None) -> str | None:
    """The text of the one task of a checklist or option of a poll whose `key` is the wanted one."""
    listed = _get(value, items)
    for item in listed if isinstance(listed, list) and wanted is not None else ():
        if _text(_get(item, key)) == str(wanted):
            return _text(_get(item, "text")) or None
    return None


# Content that has no model of its own: a readable text, and the raw value beside it.
CUSTOM_CONTENT: Mapping[str, Callable[[Any], str]] = {
    "poll": _poll,
    "dice": lambda v: f"{_text(_get(v, 'emoji')) or '🎲'} {_text(_get(v, 'value'))}".rstrip(),
    "game": lambda v: ". ".join(
        filter(None, (f"Game: {_text(_get(v, 'title'))}", _text(_get(v, "description")), _text(_get(v, "text"))))
    ),
    "checklist": _checklist,
    "invoice": _invoice,
    "giveaway": _giveaway,
    "giveaway_winners": _winners,
}
