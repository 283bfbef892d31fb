"""Telegram in the sandbox: the Bot API simulator, or with TELEGRAM_BOT_TOKEN the real Telegram by long polling."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from sandbox.channels import WORKSPACE, Action, Bubble, ButtonView, Customers, FileView, Person, Upload, View
from sandbox.channels.control import Simulator, SimulatorRefused

BOT_ID = 110200543
_PEOPLE = (
    {"id": 701000001, "first_name": "Ada", "last_name": "Lindqvist", "username": "ada_l", "language_code": "sv"},
    {"id": 701000002, "first_name": "Bruno", "last_name": "Costa", "username": "bruno", "language_code": "pt"},
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

    def __init__(self, real_token: str | None) -> None:
        self._real = real_token is not None
        self._token = real_token or f"{BOT_ID}:{secrets.token_urlsafe(26)}"
        self.simulator_arguments = None if self._real else ("--bot", self._token)

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        # The service gets its token sealed, with the account.
        return {"TELEGRAM_BOT_TOKEN": "", **({"TELEGRAM_API_URL": simulator_url} if simulator_url else {})}

    async def prepare(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        if simulator is not None:
            for person in _PEOPLE:
                await simulator.post("setup/person", person)
        bot_id = self._token.partition(":")[0]
        account = {
            "account_id": f"bot{bot_id}",
            "workspace_id": WORKSPACE,
            "channel": "telegram",
            "external_id": bot_id,
            "display_name": "Real bot" if self._real else "Demo bot",
            "mode": "pull" if self._real else "webhook",
            "credentials": {"token": self._token, "webhook_secret": secrets.token_urlsafe(24)},
        }
        return [account]

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """The service registers its webhook itself, soon after it is ready."""
        if simulator is not None:
            registered = "state", lambda state: all(bot["webhook"]["url"] for bot in state["result"]["bots"])
            await simulator.until(*registered)

    def customers(self, simulator: Simulator) -> Customers:
        return TelegramCustomers(simulator)


class TelegramCustomers:
    """People with Telegram, each in a private chat with the demo bot."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._people = [_person(person) for person in _PEOPLE]
        self.actions: dict[str, Action] = {
            "write": self._write,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "press": self._press,
            "start": self._start,
            "block": self._block,
        }

    async def people(self) -> list[Person]:
        return list(self._people)

    async def add_person(self, name: str) -> None:
        first, _, last = name.partition(" ")
        answer = await self._simulator.post("setup/person", {"first_name": first, "last_name": last})
        self._people.append(_person(answer["result"]))

    async def view(self, person_id: str) -> View:
        try:
            answer = await self._simulator.get("conversation", bot_id=str(BOT_ID), chat_id=person_id)
        except SimulatorRefused:
            return View()  # nothing was ever said
        found = answer["result"]
        return View(
            tuple(_bubble(message, person_id) for message in found["messages"]),
            max((action["expires"] for action in found["actions"]), default=0.0),
            found["access"] == "blocked",
        )

    async def open_file(self, file_id: str) -> aiohttp.ClientResponse:
        return await self._simulator.open(f"/_sim/file?file_id={file_id}")

    async def _do(self, operation: str, person_id: str, **fields: Any) -> None:
        arguments = {"bot_id": BOT_ID, "person_id": int(person_id), **fields}
        await self._simulator.post(f"customer/{operation}", arguments)

    async def _write(self, person_id: str, fields: Mapping[str, Any], file: Upload | None) -> None:
        reply_to = {"reply_to": int(fields["reply_to"])} if fields.get("reply_to") else {}
        if file is None:
            await self._do("send", person_id, text=fields["text"], **reply_to)
            return
        arguments = {
            "bot_id": BOT_ID,
            "person_id": int(person_id),
            "kind": _kind_of(file),
            "caption": fields.get("text", ""),
            **reply_to,
        }
        form = {"arguments": orjson.dumps(arguments).decode()}
        await self._simulator.post_form("customer/send_file", form, file)

    async def _edit(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._do("edit", person_id, message_id=int(fields["message_id"]), text=fields["text"])

    async def _delete(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._do("delete", person_id, message_ids=[int(fields["message_id"])])

    async def _react(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        emoji = [fields["emoji"]] if fields.get("emoji") else []
        await self._do("react", person_id, message_id=int(fields["message_id"]), emoji=emoji)

    async def _press(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._do("press", person_id, message_id=int(fields["message_id"]), data=fields["data"])

    async def _start(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._do("start", person_id, payload=fields.get("payload", ""))

    async def _block(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        body = {"bot_id": BOT_ID, "person_id": int(person_id), "blocked": bool(fields["blocked"])}
        await self._simulator.post("setup/block", body)


def _person(user: Mapping[str, Any]) -> Person:
    name = f"{user['first_name']} {user.get('last_name', '')}".strip()
    detail = f"@{user['username']}" if user.get("username") else f"id {user['id']}"
    return Person(str(user["id"]), name, detail, (str(user["id"]),))


def _kind_of(file: Upload) -> str:
    """Telegram's app sends pictures as photos; GIFs and what is no picture keep their own kind."""
    if file.mime_type in ("image/jpeg", "image/png"):
        return "photo"
    return file.kind if file.kind in ("video", "audio") else "document"


def _bubble(message: Mapping[str, Any], person_id: str) -> Bubble:
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


def _other_content(message: Mapping[str, Any]) -> str:
    if place := message.get("location"):
        return f"📍 {place['latitude']}, {place['longitude']}"
    if contact := message.get("contact"):
        return f"👤 {contact.get('first_name', '')} {contact.get('phone_number', '')}"
    return ""


def _files(message: Mapping[str, Any]) -> tuple[FileView, ...]:
    kind = next((kind for kind in _MEDIA if kind in message), None)
    if kind is None:
        return ()
    media = message[kind][-1] if kind == "photo" else message[kind]
    shown: Any = _SHOWN_AS.get(kind, "file")
    return (FileView(media["file_id"], shown, media.get("file_name", kind), media.get("file_size")),)


def _buttons(markup: Mapping[str, Any]) -> tuple[tuple[ButtonView, ...], ...]:
    return tuple(
        tuple(ButtonView(b["text"], b.get("callback_data"), b.get("url")) for b in row)
        for row in markup.get("inline_keyboard", ())
    )
