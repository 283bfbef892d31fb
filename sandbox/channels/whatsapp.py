"""WhatsApp in the sandbox: the Cloud API simulator, with one business number and people who have its number."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.channels.control import WORKSPACE, Simulator
from sandbox.channels.customers import Bubble, ButtonView, Customers, FileView, Person, Row, Share, View
from sandbox.channels.scenarios import Scenario, closing, usual

# The number the simulator starts with, and the business account it belongs to.
PHONE_NUMBER_ID = "200000000000001"
DISPLAY_NUMBER = "+1 555-000-1001"
WABA_ID = "100000000000001"
GRAPH_VERSION = "v26.0"
_PEOPLE = (
    {"phone": "+46701740601", "user_id": "SE.47110815234", "name": "Elin Berg"},
    {"phone": "+5511955501234", "user_id": "BR.90210443187", "name": "Caio Duarte"},
)
_TEMPLATES: tuple[dict[str, Any], ...] = (
    {
        "name": "order_shipped",
        "language": "en",
        "category": "UTILITY",
        "components": [
            {"type": "BODY", "text": "Hello {{1}}, your order {{2}} is on its way."},
            {"type": "FOOTER", "text": "Demo shop"},
        ],
    },
    {
        "name": "may_we_help",
        "language": "en",
        "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Do you still need our help? Just answer this message."}],
    },
    {
        "name": "spring_sale",
        "language": "en",
        "category": "MARKETING",
        "status": "PAUSED",
        "components": [{"type": "BODY", "text": "Everything is cheaper until Sunday."}],
    },
)
_MEDIA = {
    "image": "image",
    "sticker": "image",
    "video": "video",
    "audio": "audio",
    "voice": "audio",
    "document": "file",
}
_FOLDED = frozenset({"reaction", "edit", "revoke"})  # messages that change another one


def describe(environment: Mapping[str, str]) -> WhatsApp:
    return WhatsApp()


class WhatsApp:
    title = "WhatsApp"
    colour = "#1fa855"
    subjects = False
    has_templates = True
    untold: Mapping[str, str] = {}
    scenarios: Mapping[str, Scenario] = {
        "close_window": closing(24, lambda conversation: conversation["window_until"]),
        **usual(
            "send",
            {"code": 131009, "description": "Parameter value is not valid."},
            {"code": 130429, "retry_after": 3},
        ),
        "block_payment": Scenario(
            "Block payment",
            "Meta wants to be paid first: messages wait, until all of this is ended.",
            "faults",
            {"kind": "error", "where": {"call": "send"}, "code": 131042},
        ),
    }

    def __init__(self) -> None:
        self._token, self._secret, self._verify_token = (secrets.token_hex(16) for _ in range(3))
        self.simulator_arguments = ("--token", self._token, "--app-secret", self._secret)

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        return {
            "WHATSAPP_GRAPH_URL": simulator_url or "",
            "WHATSAPP_GRAPH_VERSION": GRAPH_VERSION,
            "WHATSAPP_APP_SECRET": self._secret,
            "WHATSAPP_VERIFY_TOKEN": self._verify_token,
            "WHATSAPP_MEDIA_HOSTS": '["127.0.0.1"]',
        }

    async def prepare(self, simulator: Simulator) -> None:
        for person in _PEOPLE:
            await simulator.post("people", person)
        for template in _TEMPLATES:
            await simulator.post("templates", template)

    async def connected(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        if simulator is not None:
            self._token = secrets.token_hex(16)
            await simulator.post("tokens", {"token": self._token})
        account = {
            "account_id": f"wa_{PHONE_NUMBER_ID}",
            "workspace_id": WORKSPACE,
            "channel": "whatsapp",
            "external_id": PHONE_NUMBER_ID,
            "parent_id": WABA_ID,
            "display_name": DISPLAY_NUMBER,
            "settings": {"phone_number": DISPLAY_NUMBER},
            "credentials": {"access_token": self._token},
        }
        return [account]

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """The app dashboard is where a callback is registered; Meta then challenges it."""
        if simulator is not None:
            url = f"{service_url}/webhooks/whatsapp"
            await simulator.post("webhooks", {"url": url, "verify_token": self._verify_token})

    def customers(self, simulator: Simulator) -> Customers:
        deeds = ("write", "edit", "delete", "react", "press", "read", "block")
        return Customers(simulator, deeds, _person, _view, _SHARES)


def _person(customer: Row) -> Person:
    phone, user_id = customer["phone"], customer["user_id"]
    return Person(customer["id"], customer["name"] or "", f"+{phone}" if phone else user_id, (user_id or "",))


def _view(found: Row) -> View:
    return View(_bubbles(found["messages"]), found["typing_until"], found["blocked"])


def _bubbles(messages: list[dict[str, Any]]) -> tuple[Bubble, ...]:
    """Messages as bubbles; a reaction, an edit or a revocation shows on the message it changes."""
    reactions: dict[str, dict[bool, str | None]] = {}
    edits: dict[str, Mapping[str, Any]] = {}
    revoked: set[str] = set()
    for message in messages:
        kind, mine = message["type"], message["direction"] == "in"
        content = message.get(kind) or {}
        if kind == "reaction":
            reactions.setdefault(content["message_id"], {})[mine] = content.get("emoji")
        elif kind == "edit":
            edits[content["original_message_id"]] = content["message"]
        elif kind == "revoke":
            revoked.add(content["original_message_id"])
    return tuple(
        _bubble({**m, **edits.get(m["id"], {})}, reactions.get(m["id"], {}), m["id"] in edits, m["id"] in revoked)
        for m in messages
        if m["type"] not in _FOLDED
    )


def _bubble(message: dict[str, Any], reactions: dict[bool, str | None], edited: bool, deleted: bool) -> Bubble:
    mine, kind = message["direction"] == "in", message["type"]
    content = message.get(kind) or {}
    context = message.get("context") or {}
    if deleted:
        return Bubble(message["id"], mine, message["timestamp"], deleted=True)
    return Bubble(
        message["id"],
        mine,
        message["timestamp"],
        text=_text(kind, content),
        reply_to=context.get("id") or context.get("message_id"),
        files=_files(kind, content),
        buttons=_buttons(content) if kind == "interactive" and not mine else (),
        reactions=tuple(emoji for emoji in reactions.values() if emoji),
        my_reaction=reactions.get(True),
        edited=edited,
        read=bool(message.get("read")),
    )


def _text(kind: str, content: Row) -> str:
    if kind == "text":
        return str(content.get("body", ""))
    if kind == "interactive":
        answer = content.get("button_reply") or content.get("list_reply") or {}
        return str(answer.get("title") or content.get("body", {}).get("text", ""))
    if kind == "template":
        return f"Template “{content.get('name')}” ({content.get('language', {}).get('code')})"
    if kind == "contacts":
        cards: Any = content  # a list
        return ", ".join(f"👤 {card['name']['formatted_name']}" for card in cards)
    if kind == "location":
        return f"📍 {content.get('name') or ''} {content.get('latitude')}, {content.get('longitude')}"
    return str(content.get("caption") or ("" if kind in _MEDIA else kind))


def _files(kind: str, content: Row) -> tuple[FileView, ...]:
    if kind not in _MEDIA:
        return ()
    shown: Any = _MEDIA[kind]
    return (FileView(content.get("id"), shown, content.get("filename") or kind),)


def _buttons(content: Row) -> tuple[tuple[ButtonView, ...], ...]:
    action = content.get("action") or {}
    replies = [b["reply"] for b in action.get("buttons", ()) if "reply" in b]
    rows = [row for section in action.get("sections", ()) for row in section.get("rows", ())]
    parameters = action.get("parameters") or {}
    links = [ButtonView(parameters["display_text"], url=parameters.get("url"))] if "display_text" in parameters else []
    return tuple(
        (button,)
        for button in (
            *(ButtonView(reply["title"], f"button_reply:{reply['id']}") for reply in replies),
            *(ButtonView(row["title"], f"list_reply:{row['id']}") for row in rows),
            *links,
        )
    )


def _say(person: str, sample: str | None = None, **content: Any) -> Share:
    return Share(f"people/{person}/say", content, sample)


def _location(person: str, given: Row) -> Share:
    place = {"latitude": float(given["latitude"]), "longitude": float(given["longitude"]), "name": given["name"]}
    return _say(person, kind="location", **place)


def _contact(person: str, given: Row) -> Share:
    card = {
        "name": {"formatted_name": given["name"], "first_name": given["name"]},
        "phones": [{"phone": given["phone"]}],
    }
    return _say(person, kind="contacts", cards=[card])


_SHARES = {
    "location": _location,
    "contact": _contact,
    "sticker": lambda person, given: _say(person, "sticker.webp", kind="sticker"),
    "voice": lambda person, given: _say(person, "voice.ogg", kind="voice_note"),
}
