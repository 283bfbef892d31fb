"""Service messages: what happened in a chat, as a sentence. Values are raw JSON of unknown shape.

Names of the fields: core.telegram.org/bots/api#message, Bot API 10.3 and the older twins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.telegram import wire
from services.telegram.people import name_of_user


def _get(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _quoted(value: Any, otherwise: str) -> str:
    return f"“{value}”" if isinstance(value, str) and value else otherwise


def _name(value: Any) -> str | None:
    return name_of_user(wire.User.model_validate(value)) if isinstance(value, dict) else None


def _user(value: Any) -> str:
    return _name(value) or "Somebody"


def _users(value: Any) -> str:
    return ", ".join(_user(user) for user in value) if isinstance(value, list) and value else "Somebody"


def _shared(users: Any) -> str:
    """Users by name, or by id where the bot did not ask for names."""
    known = users if isinstance(users, list) else []
    return ", ".join(_name(user) or _text(_get(user, "user_id") or user) or "Somebody" for user in known) or "Somebody"


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


def _gift(value: Any) -> str:
    note = _get(value, "text")
    stars = _get(value, "gift", "star_count")
    worth = f" worth {stars} Stars" if isinstance(stars, int) else ""
    return f"A gift{worth}: {note}" if isinstance(note, str) and note else f"A gift{worth}"


def _tasks(value: Any) -> str:
    done = _count(_get(value, "marked_as_done_task_ids"))
    undone = _count(_get(value, "marked_as_not_done_task_ids"))
    return f"Checklist: {done} tasks done, {undone} reopened"


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
    "chat_owner_left": _fixed("The owner left the chat"),
    "chat_owner_changed": lambda v: f"{_user(_get(v, 'new_owner'))} is the new owner of the chat",
    "message_auto_delete_timer_changed": lambda v: (
        f"Messages are deleted after {_text(_get(v, 'message_auto_delete_time')) or '?'} seconds"
        if _get(v, "message_auto_delete_time")
        else "Messages are no longer deleted automatically"
    ),
    "pinned_message": lambda v: f"Pinned: {_text(_get(v, 'text') or _get(v, 'caption')) or 'a message'}",
    "successful_payment": lambda v: f"Paid {money(v)}".rstrip(),
    "refunded_payment": lambda v: f"Refunded {money(v)}".rstrip(),
    "users_shared": lambda v: f"Shared contacts: {_shared(_get(v, 'users') or _get(v, 'user_ids'))}",
    "user_shared": lambda v: f"Shared contacts: {_shared([v])}",
    "chat_shared": lambda v: f"Shared the chat {_quoted(_get(v, 'title'), _text(_get(v, 'chat_id')))}",
    "gift": _gift,
    "gift_upgrade_sent": lambda v: f"Upgraded: {_gift(v)}",
    "unique_gift": lambda v: f"A unique gift: {_text(_get(v, 'gift', 'base_name')) or 'unnamed'}",
    "connected_website": lambda v: f"Logged in on {_text(v) or 'a website'}",
    "write_access_allowed": _fixed("Allowed the bot to write"),
    "passport_data": _fixed("Shared Telegram Passport data"),
    "proximity_alert_triggered": lambda v: (
        f"{_user(_get(v, 'traveler'))} is within {_text(_get(v, 'distance')) or '?'} m of {_user(_get(v, 'watcher'))}"
    ),
    "boost_added": lambda v: f"Boosted the chat ({_text(_get(v, 'boost_count')) or '1'} ×)",
    "chat_background_set": _fixed("The chat has a new background"),
    "checklist_tasks_done": _tasks,
    "checklist_tasks_added": lambda v: f"Checklist: {_count(_get(v, 'tasks'))} tasks added",
    "direct_message_price_changed": _fixed("The price of direct messages changed"),
    "paid_message_price_changed": _fixed("The price of messages changed"),
    "poll_option_added": _fixed("An option was added to the poll"),
    "poll_option_deleted": _fixed("An option was removed from the poll"),
    "forum_topic_created": lambda v: f"Topic created: {_text(_get(v, 'name'))}",
    "forum_topic_edited": lambda v: f"Topic changed: {_text(_get(v, 'name'))}".rstrip(": "),
    "forum_topic_closed": _fixed("The topic was closed"),
    "forum_topic_reopened": _fixed("The topic was reopened"),
    "general_forum_topic_hidden": _fixed("The general topic was hidden"),
    "general_forum_topic_unhidden": _fixed("The general topic is shown again"),
    "giveaway_created": _fixed("A giveaway was announced"),
    "giveaway_completed": lambda v: f"The giveaway ended with {_text(_get(v, 'winner_count')) or '?'} winners",
    "managed_bot_created": lambda v: f"The bot {_user(_get(v, 'bot'))} was created",
    "suggested_post_approved": _fixed("The suggested post was approved"),
    "suggested_post_approval_failed": _fixed("The suggested post could not be approved"),
    "suggested_post_declined": lambda v: f"The suggested post was declined. {_text(_get(v, 'comment'))}".rstrip(),
    "suggested_post_paid": _fixed("The suggested post was paid for"),
    "suggested_post_refunded": _fixed("The suggested post was refunded"),
    "video_chat_scheduled": _fixed("A video chat was scheduled"),
    "voice_chat_scheduled": _fixed("A video chat was scheduled"),
    "video_chat_started": _fixed("A video chat started"),
    "voice_chat_started": _fixed("A video chat started"),
    "video_chat_ended": lambda v: f"The video chat ended after {_text(_get(v, 'duration')) or '?'} seconds",
    "voice_chat_ended": lambda v: f"The video chat ended after {_text(_get(v, 'duration')) or '?'} seconds",
    "video_chat_participants_invited": lambda v: f"Invited to the video chat: {_users(_get(v, 'users'))}",
    "voice_chat_participants_invited": lambda v: f"Invited to the video chat: {_users(_get(v, 'users'))}",
    "community_chat_added": _fixed("The chat was added to a community"),
    "community_chat_joined": _fixed("Joined the chat from a community"),
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


def _winners(value: Any) -> str:
    return f"Giveaway winners: {_users(_get(value, 'winners'))}"


# Content that has no model of its own: a readable text, and the raw value beside it.
CUSTOM_CONTENT: Mapping[str, Callable[[Any], str]] = {
    "poll": _poll,
    "dice": lambda v: f"{_text(_get(v, 'emoji')) or '🎲'} {_text(_get(v, 'value'))}".rstrip(),
    "game": lambda v: ". ".join(filter(None, (f"Game: {_text(_get(v, 'title'))}", _text(_get(v, "description"))))),
    "checklist": _checklist,
    "invoice": _invoice,
    "giveaway": lambda v: f"Giveaway: {_text(_get(v, 'prize_description')) or _text(_get(v, 'winner_count'))}",
    "giveaway_winners": _winners,
}
