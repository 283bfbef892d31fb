"""Answers that the contact taps: callback buttons, Web App forms, polls."""

from __future__ import annotations

import orjson

from services.telegram.receive import wire
from services.telegram.receive.content import Found
from services.telegram.receive.rich import button_label
from shared.contract.content import PostbackContent, PostbackSource


def web_app_answer(answer: wire.WebAppData) -> Found:
    """The form that a Web App sent; its fields as `values` where the data is a JSON object."""
    data = answer.data or ""
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        values = None
    content = PostbackContent(
        text=answer.button_text or data or "Form",
        source=PostbackSource.FORM,
        payload=data,
        title=answer.button_text,
        values=values if isinstance(values, dict) else None,
    )
    return Found("web_app_data", content)


def callback_answer(query: wire.CallbackQuery) -> Found:
    """A tapped inline button, with its label where the message under it was given."""
    payload = query.data or query.game_short_name
    title = _label(query)
    content = PostbackContent(
        text=title or payload or "Button",
        source=PostbackSource.CALLBACK,
        payload=payload,
        title=title,
    )
    return Found("callback_query", content)


def _label(query: wire.CallbackQuery) -> str | None:
    keyboard = query.message.reply_markup if query.message else None
    for row in (keyboard.inline_keyboard if keyboard else None) or ():
        for button in row:
            if button.callback_data is not None and button.callback_data == query.data:
                return button.text
    rich = query.message.rich_message if query.message else None
    return button_label(rich, query.data) if rich and query.data else None


def poll_vote(answer: wire.PollAnswer) -> Found:
    """A vote in a poll: Telegram gives the options' positions, not their text."""
    options = answer.option_ids or []
    chosen = ", ".join(str(option + 1) for option in options)
    content = PostbackContent(
        text=f"Poll vote: option {chosen}" if options else "Poll vote taken back",
        source=PostbackSource.LIST,
        payload=answer.poll_id,
        values={"poll_id": answer.poll_id, "option_ids": options}
        # Options come and go while a poll is open: their positions change, these ids do not.
        | ({"option_persistent_ids": answer.option_persistent_ids} if answer.option_persistent_ids else {}),
    )
    return Found("poll_answer", content)
