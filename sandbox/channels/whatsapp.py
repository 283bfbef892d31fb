"""WhatsApp in the sandbox: the Cloud API simulator, with one business number and people who have its number."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp

from sandbox.channels import WORKSPACE, Action, Bubble, ButtonView, Customers, FileView, Person, Upload, View
from sandbox.channels.control import Simulator

# The number the simulator starts with, and the business account it belongs to.
PHONE_NUMBER_ID = "200000000000001"
DISPLAY_NUMBER = "+1 555-000-1001"
WABA_ID = "100000000000001"
GRAPH_VERSION = "v26.0"
_PEOPLE = (
    {"phone": "+46701740601", "user_id": "SE.47110815234", "name": "Elin Berg"},
    {"phone": "+5511955501234", "user_id": "BR.90210443187", "name": "Caio Duarte"},
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

    async def prepare(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        if simulator is not None:
            for person in _PEOPLE:
                await simulator.post("customers", person)
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
            await simulator.post("webhook", {"url": url, "verify_token": self._verify_token})

    def customers(self, simulator: Simulator) -> Customers:
        return WhatsAppCustomers(simulator, self._token)


class WhatsAppCustomers:
    """People with WhatsApp and their chats with the business's number."""

    def __init__(self, simulator: Simulator, token: str) -> None:
        self._simulator = simulator
        self._token = token
        self._added = 0
        self.actions: dict[str, Action] = {
            "write": self._write,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "press": self._press,
            "read": self._read,
        }

    async def people(self) -> list[Person]:
        return [_person(customer) for customer in await self._simulator.get("customers")]

    async def add_person(self, name: str) -> None:
        self._added += 1
        address = {"phone": f"+4670174{self._added:04}", "user_id": f"SE.4711082{self._added:04}"}
        await self._simulator.post("customers", {"name": name, **address})

    async def view(self, person_id: str) -> View:
        chats = await self._simulator.get(f"customers/{person_id}/conversation")
        if not chats:
            return View()
        return View(_bubbles(chats[0]["messages"]), chats[0]["typing_until"])

    async def open_file(self, file_id: str) -> aiohttp.ClientResponse:
        bearer = {"Authorization": f"Bearer {self._token}"}
        async with await self._simulator.open(f"/{GRAPH_VERSION}/{file_id}", bearer) as answer:
            url = (await answer.json())["url"]
        return await self._simulator.open(url, bearer)

    async def _say(self, person_id: str, **fields: Any) -> None:
        await self._simulator.post(f"customers/{person_id}/messages", fields)

    async def _write(self, person_id: str, fields: Mapping[str, Any], file: Upload | None) -> None:
        reply_to = {"reply_to": fields["reply_to"]} if fields.get("reply_to") else {}
        if file is None:
            await self._say(person_id, kind="text", body=fields["text"], **reply_to)
            return
        caption = {"caption": fields["text"]} if fields.get("text") and file.kind != "audio" else {}
        form = {"kind": file.kind, **caption, **reply_to}
        await self._simulator.post_form(f"customers/{person_id}/messages", form, file)

    async def _edit(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        message = {"type": "text", "text": {"body": fields["text"]}}
        await self._say(person_id, kind="edit", original_message_id=fields["message_id"], message=message)

    async def _delete(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._say(person_id, kind="revoke", original_message_id=fields["message_id"])

    async def _react(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        emoji = fields.get("emoji") or None
        await self._say(person_id, kind="reaction", message_id=fields["message_id"], emoji=emoji)

    async def _press(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        """`data` is `kind:id`, as `_buttons` made it."""
        kind, _, answer_id = fields["data"].partition(":")
        title = fields.get("title", answer_id)
        await self._say(person_id, kind=kind, id=answer_id, title=title, reply_to=fields["message_id"])

    async def _read(self, person_id: str, fields: Mapping[str, Any], _: Upload | None) -> None:
        await self._simulator.post(f"customers/{person_id}/read", {})


def _person(customer: Mapping[str, Any]) -> Person:
    phone, user_id = customer["phone"], customer["user_id"]
    return Person(phone or user_id, customer["name"] or "", f"+{phone}" if phone else user_id, (user_id or "",))


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


def _text(kind: str, content: Mapping[str, Any]) -> str:
    if kind == "text":
        return str(content.get("body", ""))
    if kind == "interactive":
        answer = content.get("button_reply") or content.get("list_reply") or {}
        return str(answer.get("title") or content.get("body", {}).get("text", ""))
    if kind == "template":
        return f"Template “{content.get('name')}” ({content.get('language', {}).get('code')})"
    if kind == "location":
        return f"📍 {content.get('name') or ''} {content.get('latitude')}, {content.get('longitude')}"
    return str(content.get("caption") or ("" if kind in _MEDIA else kind))


def _files(kind: str, content: Mapping[str, Any]) -> tuple[FileView, ...]:
    if kind not in _MEDIA:
        return ()
    shown: Any = _MEDIA[kind]
    return (FileView(content.get("id"), shown, content.get("filename") or kind),)


def _buttons(content: Mapping[str, Any]) -> tuple[tuple[ButtonView, ...], ...]:
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
