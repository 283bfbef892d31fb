"""Reply markup: Telegram's limits on keyboards and buttons."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sandbox.simulators.telegram.errors import bad_request

Markup = dict[str, Any]

MAX_BUTTONS = 100
MAX_ROW = 8
_ACTIONS = (
    "url", "callback_data", "web_app", "login_url", "switch_inline_query", "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat", "copy_text", "callback_game", "pay",
)  # fmt: skip


def check_markup(markup: Markup | None) -> tuple[Markup | None, Markup | None]:
    """Split into (inline keyboard, any other markup), one of them None; raises `ApiError`."""
    if not markup:
        return None, None
    rows = markup.get("inline_keyboard")
    if rows is None:
        return None, markup
    buttons = [button for row in rows for button in row]
    if len(buttons) > MAX_BUTTONS or any(len(row) > MAX_ROW for row in rows):
        raise bad_request("reply markup is too long")
    for button in buttons:
        _check_button(button)
    return (markup if buttons else None), None


def _check_button(button: Markup) -> None:
    if not button.get("text"):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if sum(action in button for action in _ACTIONS) != 1:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    data = button.get("callback_data")
    if data is not None and not 1 <= len(data.encode()) <= 64:
        raise bad_request("BUTTON_DATA_INVALID")
    url = button.get("url")
    if url is not None and not _is_button_url(url):
        raise bad_request("BUTTON_URL_INVALID")
    copy = button.get("copy_text")
    if copy is not None and not 1 <= len(copy.get("text", "")) <= 256:
        raise bad_request("BUTTON_COPY_TEXT_INVALID")


def _is_button_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "tg" or (parts.scheme in ("http", "https") and "." in (parts.hostname or ""))
