"""TikTok in the sandbox: the Business Messaging simulator, with one business account and people who write to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from sandbox.channels import WORKSPACE, Action, Bubble, ButtonView, Customers, FileView, Person, Upload, View
from sandbox.channels.control import Simulator

APP_ID = "7611000000000000001"
BUSINESS_ID = "-000demoShop"
_PEOPLE = {"lena.k": "Lena Krause", "omar_b": "Omar Badawi"}


def describe(environment: Mapping[str, str]) -> TikTok:
    return TikTok()


class TikTok:
    title = "TikTok"
    colour = "#e8264f"

    def __init__(self) -> None:
        self._secret = secrets.token_hex(20)
        self.simulator_arguments = ("--app-id", APP_ID, "--app-secret", self._secret)

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        return {
            "TIKTOK_API_URL": f"{simulator_url}/open_api/v1.3",
            "TIKTOK_APP_ID": APP_ID,
            "TIKTOK_APP_SECRET": self._secret,
            "TIKTOK_MEDIA_HOSTS": '["127.0.0.1"]',
        }

    async def prepare(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        tokens: dict[str, Any] = {}
        if simulator is not None:
            shop = {"business_id": BUSINESS_ID, "username": "demo.shop", "display_name": "Demo shop"}
            tokens = await simulator.post("accounts", shop)
        account = {
            "account_id": "tt_demo_shop",
            "workspace_id": WORKSPACE,
            "channel": "tiktok",
            "external_id": BUSINESS_ID,
            "display_name": "@demo.shop",
            "credentials": {name: tokens[name] for name in ("access_token", "refresh_token") if name in tokens},
        }
        return [account]

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """The service registers its webhook itself, soon after it is ready."""
        if simulator is not None:
            await simulator.until("state", lambda state: state["callback_url"])

    def customers(self, simulator: Simulator) -> Customers:
        return TikTokCustomers(simulator)


class TikTokCustomers:
    """People with TikTok; a thread exists from somebody's first message on."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._people = dict(_PEOPLE)
        self.actions: dict[str, Action] = {
            "write": self._write,
            "react": self._react,
            "press": self._press,
            "read": self._read,
        }

    async def people(self) -> list[Person]:
        threads = await self._threads()
        return [
            Person(user, name, f"@{user}", (threads[user]["conversation_id"],) if user in threads else ())
            for user, name in self._people.items()
        ]

    async def add_person(self, name: str) -> None:
        user = "".join(c for c in name.lower() if c.isascii() and c.isalnum()) or "user"
        self._people[f"{user}{len(self._people)}"] = name

    async def view(self, person_id: str) -> View:
        thread = (await self._threads()).get(person_id)
        if thread is None:
            return View()
        found = await self._simulator.get("conversation", conversation_id=thread["conversation_id"])
        me, read = found["customer"]["user_id"], found["read_by_business"]
        messages = found["messages"]
        # In the app a message ends the typing before it; how long it would last is not shown, so the page asks again.
        answered = messages and not messages[-1]["inbound"] and time.time() - messages[-1]["timestamp"] / 1000 < 5
        typing_until = time.time() + 1 if found["typing"] and not answered else 0.0
        return View(tuple(_bubble(message, me, read) for message in messages), typing_until)

    async def open_file(self, file_id: str) -> aiohttp.ClientResponse:
        return await self._simulator.open(file_id)

    async def _threads(self) -> dict[str, dict[str, Any]]:
        found = await self._simulator.get("conversations", business_id=BUSINESS_ID)
        return {thread["customer"]["username"]: thread for thread in found}

    async def _deed(self, name: str, person_id: str, **fields: Any) -> None:
        thread = (await self._threads())[person_id]
        await self._simulator.post(f"people/{name}", {"conversation_id": thread["conversation_id"], **fields})

    async def _write(self, person_id: str, fields: Mapping[str, Any], file: Upload | None) -> None:
        message = {
            "business_id": BUSINESS_ID,
            "username": person_id,
            "display_name": self._people[person_id],
            "references": fields.get("reply_to") or None,
        }
        if file is not None:
            stored = await self._simulator.stream("media", file.content)
            content = {"kind": stored["kind"], "content": {"media_id": stored["media_id"]}}
            await self._simulator.post("people/writes", {**message, **content})
        if fields.get("text"):
            await self._simulator.post("people/writes", {**message, "content": {"body": fields["text"]}})

    async def _react(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        wanted, message_id = fields.get("emoji"), fields["message_id"]
        if wanted:
            await self._deed("reacts", person_id, message_id=message_id, emoji=wanted)
            return
        view = await self.view(person_id)
        for bubble in view.messages:
            if bubble.id == message_id and bubble.my_reaction:
                await self._deed("reacts", person_id, message_id=message_id, emoji=bubble.my_reaction, remove=True)

    async def _press(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._deed("taps", person_id, message_id=fields["message_id"], button=int(fields["data"]))

    async def _read(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._deed("reads", person_id)


def _bubble(message: Mapping[str, Any], me: str, read_until: int) -> Bubble:
    parts, kind, mine = message["parts"], message["kind"], message["inbound"]
    own = [r["emoji"] for r in message["reactions"] if r["unique_identifier"] == me and "emoji" in r]
    return Bubble(
        message["message_id"],
        mine,
        message["timestamp"] / 1000,
        text=_text(kind, parts),
        reply_to=message["references"],
        files=_files(kind, parts),
        buttons=_buttons(parts.get("template") or {}),
        reactions=tuple(r.get("emoji", "✨") for r in message["reactions"]),
        my_reaction=own[-1] if own else None,
        read=mine and message["timestamp"] <= read_until,
    )


def _text(kind: str, parts: Mapping[str, Any]) -> str:
    part = parts.get(kind) or {}
    if kind == "text":
        return str(part.get("body", ""))
    if kind == "template":
        return str(part.get("title", ""))
    return str(part.get("embed_url", "")) if kind == "share_post" else ""


def _files(kind: str, parts: Mapping[str, Any]) -> tuple[FileView, ...]:
    if kind in ("image", "video"):
        return (FileView(None, "image" if kind == "image" else "video", kind),)
    if kind in ("sticker", "emoji"):
        return (FileView(parts[kind]["url"], "image", kind),)
    return ()


def _buttons(card: Mapping[str, Any]) -> tuple[tuple[ButtonView, ...], ...]:
    return tuple((ButtonView(button["title"], str(number)),) for number, button in enumerate(card.get("buttons", ())))
