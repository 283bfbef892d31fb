"""Telegram in the sandbox: the Bot API simulator, or with TELEGRAM_BOT_TOKEN the real Telegram by long polling."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.channels.control import WORKSPACE, Simulator
from sandbox.channels.customers import Bubble, ButtonView, Customers, FileView, Person, Row, Share, View
from sandbox.channels.scenarios import usual

BOT_ID = 110200543
_PEOPLE = (
    {"id": 701000001, "name": "Ada Lindqvist", "username": "ada_l", "language_code": "sv"},
    {"id": 701000002, "name": "Bruno Costa", "username": "bruno", "language_code": "pt"},
)
_MEDIA = ("photo", "video", "animation", "audio", "voice", "video_note", "document", "sticker")
_SHOWN_AS = {
    "photo": "image",
    "sticker": "image",
    "video": "video",
    "animation": "video",
    "video_note": "video",
    "audio": "audio",
    "voice": "audio",
}


def describe(environment: Mapping[str, str]) -> Telegram:
    return Telegram(environment.get("TELEGRAM_BOT_TOKEN") or None)


class Telegram:
    title = "Telegram"
    colour = "#229ed9"
    subjects = False
    has_templates = False
    scenarios = usual(
        "sendMessage",
        {"status": 400, "description": "Bad Request: message can't be sent"},
        {"status": 429, "retry_after": 3},
    )
    untold: Mapping[str, str] = {"delete": "Telegram does not tell a bot: the agent still has it."}

    def __init__(self, real_token: str | None) -> None:
        self._real = real_token is not None
        self._token = real_token or f"{BOT_ID}:{secrets.token_urlsafe(26)}"
        self._webhook_secret = secrets.token_urlsafe(24)
        self.simulator_arguments = None if self._real else ("--bot", self._token)

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        # The service gets its token sealed, with the account.
        return {"TELEGRAM_BOT_TOKEN": "", **({"TELEGRAM_API_URL": simulator_url} if simulator_url else {})}

    async def prepare(self, simulator: Simulator) -> None:
        for person in _PEOPLE:
            await simulator.post("people", person)

    async def connected(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        bot_id = self._token.partition(":")[0]
        if simulator is not None:
            self._token = f"{bot_id}:{secrets.token_urlsafe(26)}"
            await simulator.post("accounts", {"token": self._token})
        account = {
            "account_id": f"bot{bot_id}",
            "workspace_id": WORKSPACE,
            "channel": "telegram",
            "external_id": bot_id,
            "display_name": "Real bot" if self._real else "Demo bot",
            "mode": "pull" if self._real else "webhook",
            "credentials": {"token": self._token, "webhook_secret": self._webhook_secret},
        }
        return [account]

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """The service registers its webhook itself, soon after it is ready."""
        if simulator is not None:
            await simulator.until("accounts", lambda bots: all(bot["webhook"]["url"] for bot in bots))

    def customers(self, simulator: Simulator) -> Customers:
        deeds = ("write", "edit", "delete", "react", "press", "start", "block")
        return Customers(simulator, deeds, _person, _view, _SHARES)


def _person(user: Row) -> Person:
    detail = f"@{user['username']}" if user.get("username") else f"id {user['id']}"
    return Person(user["id"], user["name"], detail, (user["id"],))


def _view(found: Row) -> View:
    person_id = str(found["chat"]["id"])
    return View(
        tuple(_bubble(message, person_id) for message in found["messages"]),
        max((action["expires"] for action in found["actions"]), default=0.0),
        found["access"] == "blocked",
    )


def _bubble(message: Row, person_id: str) -> Bubble:
    at, bubble_id, mine = message.get("date", 0), str(message["message_id"]), not message["outgoing"]
    if message["deleted"]:
        return Bubble(bubble_id, mine, at, deleted=True)
    reactions = message["reactions"]
    own = [r["emoji"] for r in reactions.get(person_id, []) if r.get("type") == "emoji"]
    reply_to = message.get("reply_to_message", {}).get("message_id")
    return Bubble(
        bubble_id,
        mine,
        at,
        text=message.get("text") or message.get("caption") or _other_content(message),
        reply_to=str(reply_to) if reply_to else None,
        files=_files(message),
        buttons=_buttons(message.get("reply_markup") or {}),
        reactions=tuple(r.get("emoji", "★") for given in reactions.values() for r in given),
        my_reaction=own[0] if own else None,
        edited="edit_date" in message,
        read=message["read"],
    )


def _other_content(message: Row) -> str:
    if place := message.get("location"):
        return f"📍 {place['latitude']}, {place['longitude']}"
    if contact := message.get("contact"):
        return f"👤 {contact.get('first_name', '')} {contact.get('phone_number', '')}"
    return ""


def _files(message: Row) -> tuple[FileView, ...]:
    kind = next((kind for kind in _MEDIA if kind in message), None)
    if kind is None:
        return ()
    media = message[kind][-1] if kind == "photo" else message[kind]
    shown: Any = _SHOWN_AS.get(kind, "file")
    return (FileView(media["file_id"], shown, media.get("file_name", kind), media.get("file_size")),)


def _buttons(markup: Row) -> tuple[tuple[ButtonView, ...], ...]:
    return tuple(
        tuple(ButtonView(b["text"], b.get("callback_data"), b.get("url")) for b in row)
        for row in markup.get("inline_keyboard", ())
    )


def _send(person: str, **fields: Any) -> Share:
    return Share("customer/send", {"bot_id": BOT_ID, "person_id": int(person), "fields": fields})


def _send_file(person: str, kind: str, sample: str, **options: Any) -> Share:
    body = {"bot_id": BOT_ID, "person_id": int(person), "kind": kind, "options": options}
    return Share("customer/send_file", body, sample)


def _location(person: str, given: Row) -> Share:
    return _send(person, location={"latitude": float(given["latitude"]), "longitude": float(given["longitude"])})


def _contact(person: str, given: Row) -> Share:
    return _send(person, contact={"phone_number": given["phone"], "first_name": given["name"]})


_SHARES = {
    "location": _location,
    "contact": _contact,
    "sticker": lambda person, given: _send_file(person, "sticker", "sticker.webp", emoji="☀️"),
    "voice": lambda person, given: _send_file(person, "voice", "voice.ogg", duration=2),
}
