"""TikTok in the sandbox: the Business Messaging simulator, with one business account and people who write to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from sandbox.channels.control import WORKSPACE, Simulator
from sandbox.channels.customers import Bubble, ButtonView, Customers, FileView, Person, Row, Share, View
from sandbox.channels.scenarios import Scenario, closing, usual

APP_ID = "7611000000000000001"
BUSINESS_ID = "-000demoShop"
_PEOPLE = {"lena.k": "Lena Krause", "omar_b": "Omar Badawi"}


def describe(environment: Mapping[str, str]) -> TikTok:
    return TikTok()


class TikTok:
    title = "TikTok"
    colour = "#e8264f"
    subjects = False
    has_templates = False
    untold: Mapping[str, str] = {}
    scenarios: Mapping[str, Scenario] = {
        "close_window": closing(
            48, lambda conversation: conversation["window_until"] and conversation["window_until"] / 1000
        ),
        **usual("send", {"code": 40002, "description": "The message is not valid."}, {"code": 40100}),
    }

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

    async def prepare(self, simulator: Simulator) -> None:
        for username, name in _PEOPLE.items():
            await simulator.post("people", {"username": username, "name": name})

    async def connected(self, simulator: Simulator | None) -> list[dict[str, Any]]:
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
            await simulator.until("state", lambda state: state["webhook"])

    def customers(self, simulator: Simulator) -> Customers:
        return Customers(simulator, ("write", "react", "press", "read"), _person, _view, _SHARES)


def _person(user: Row) -> Person:
    thread = user["conversation_id"]
    return Person(user["id"], user["name"], f"@{user['id']}", (thread,) if thread else ())


def _view(found: Row) -> View:
    me, read, messages = found["customer"]["user_id"], found["read_by_business"], found["messages"]
    # In the app a message ends the typing before it; how long it would last is not shown, so the page asks again.
    answered = messages and not messages[-1]["inbound"] and time.time() - messages[-1]["timestamp"] / 1000 < 5
    typing_until = time.time() + 1 if found["typing"] and not answered else 0.0
    return View(tuple(_bubble(message, me, read) for message in messages), typing_until)


def _bubble(message: Row, me: str, read_until: int) -> Bubble:
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


def _text(kind: str, parts: Row) -> str:
    part = parts.get(kind) or {}
    if kind == "text":
        return str(part.get("body", ""))
    if kind == "template":
        return str(part.get("title", ""))
    return str(part.get("embed_url", "")) if kind == "share_post" else ""


def _files(kind: str, parts: Row) -> tuple[FileView, ...]:
    if kind in ("image", "video"):
        shown: Any = kind
        return (FileView(parts[kind]["media_id"], shown, kind),)
    if kind in ("sticker", "emoji"):
        return (FileView(parts[kind]["url"], "image", kind),)
    return ()


def _buttons(card: Row) -> tuple[tuple[ButtonView, ...], ...]:
    return tuple((ButtonView(button["title"], str(number)),) for number, button in enumerate(card.get("buttons", ())))


def _writes(person: str, kind: str) -> Share:
    return Share("people/writes", {"business_id": BUSINESS_ID, "username": person, "kind": kind})


_SHARES = {
    "sticker": lambda person, given: _writes(person, "sticker"),
    "post": lambda person, given: _writes(person, "share_post"),
}
