"""WhatsApp as tests play it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.simulators.whatsapp import APP_SECRET, Behaviour, Customer, WhatsAppSimulator
from sandbox.simulators.whatsapp.webhooks import sign
from tests.e2e.providers import Connected, Got, Person, Said

VERIFY_TOKEN = "let-me-in"


class WhatsApp:
    name = "whatsapp"
    tells_names = True
    tells_several = True
    refusal: Mapping[str, Any] = {"code": 131009}

    def __init__(self) -> None:
        behaviour = Behaviour(
            sent_after=0.005,
            delivered_after=0.02,
            batch_linger=0.005,
            pair_limit=False,
            throughput_limit=False,
        )
        self.sim = WhatsAppSimulator(behaviour=behaviour)

    async def start(self) -> None:
        await self.sim.start()

    async def stop(self) -> None:
        await self.sim.stop()

    def environment(self) -> Mapping[str, str]:
        return {
            "WHATSAPP_GRAPH_URL": self.sim.url,
            "WHATSAPP_APP_SECRET": APP_SECRET,
            "WHATSAPP_VERIFY_TOKEN": VERIFY_TOKEN,
            "WHATSAPP_MEDIA_HOSTS": '["127.0.0.1"]',
        }

    async def webhooks_to(self, url: str) -> None:
        await self.sim.set_webhook(f"{url}/webhooks/whatsapp", VERIFY_TOKEN)

    def open_account(self, number: int) -> tuple[dict[str, Any], dict[str, str], str]:
        phone_number_id, waba_id = f"2{number:014}", f"1{number:014}"
        self.sim.add_number(phone_number_id, f"+1 555 {number:07}", waba_id=waba_id)
        return {"external_id": phone_number_id}, self._token(waba_id), phone_number_id

    def _token(self, waba_id: str) -> dict[str, str]:
        token = secrets.token_hex(16)
        self.sim.world.tokens[token] = frozenset({waba_id})
        return {"access_token": token}

    async def connect(self, account: Connected) -> None:
        """The app's callback serves all numbers."""

    def newcomer(self, account: Connected, number: int) -> Customer:
        return self.sim.add_customer(f"+4670{number:07}", user_id=f"SE.{number:011}", name=f"Person {number}")

    async def write(self, account: Connected, handle: Customer, text: str) -> str:
        return self.sim.customers.say(handle, "text", number=self.sim.world.number(account.handle), body=text)

    async def send_file(self, account: Connected, handle: Customer, kind: str, content: bytes, filename: str) -> None:
        mime_type = "image/jpeg" if kind == "image" else "application/pdf"
        media = await self.sim.media.add_bytes(content, mime_type, filename=filename)
        number = self.sim.world.number(account.handle)
        self.sim.customers.say(handle, kind, number=number, media_id=media.id)

    def got(self, person: Person) -> list[Got]:
        found = []
        for sent in self.sim.sent(person.handle):
            if sent.conversation.number.phone_number_id == person.account.handle and sent.via == "api":
                body = sent.body
                content = body.get(sent.type, {})
                text = content.get("body") or content.get("caption") or "" if isinstance(content, dict) else ""
                found.append(Got(sent.id, sent.type, text, body.get("context", {}).get("message_id")))
        return found

    def shows_typing(self, person: Person) -> bool:
        number = self.sim.world.number(person.account.handle)
        return self.sim.world.conversation(number, person.handle).typing_until > self.sim.clock.now()

    def fail_sends(self, kind: str, **settings: Any) -> None:
        where = {"call": "send", **settings.pop("where", {})}
        self.sim.faults.add(kind, where=where, **settings)

    def slow_transfers(self, kind: str, account: Connected) -> None:
        where = {"waba_id": self.sim.world.number(account.handle).waba_id, "call": "download"}
        if kind == "unread":
            where = {"phone_number_id": account.handle, "call": "upload"}
        self.sim.faults.add(kind, where=where)

    def behave(self) -> None:
        self.sim.faults.clear()

    def revoke(self, account: Connected) -> None:
        del self.sim.world.tokens[account.credentials["access_token"]]

    def reauthorise(self, account: Connected) -> dict[str, str]:
        return self._token(self.sim.world.number(account.handle).waba_id)

    def bad_requests(self) -> list[Any]:
        return list(self.sim.violations)

    def forged(self) -> tuple[str, bytes, dict[str, str]]:
        body = b'{"object": "whatsapp_business_account", "entry": []}'
        return "", body, {"X-Hub-Signature-256": sign("another secret", body)}

    def genuine(self, account: Connected, body: bytes) -> tuple[str, dict[str, str]]:
        return "", {"X-Hub-Signature-256": sign(APP_SECRET, body)}

    def wrote(self, account: Connected, *said: Said) -> dict[str, Any]:
        return whatsapp(account, *said)

    def peer(self, person: int) -> str:
        return user_id(person)

    def message_id(self, number: int) -> str:
        return wamid(number)


def phone(person: int) -> str:
    """The E.164 number of a person, without the plus."""
    return f"49151{person:08}"


def user_id(person: int) -> str:
    return f"DE.{person:012}"


def wamid(message: int) -> str:
    return "wamid." + base64.b64encode(f"message-{message:012}".encode()).decode()


def whatsapp_message(said: Said) -> dict[str, Any]:
    side = (
        {"to": phone(said.person)} if said.echo else {"from": phone(said.person), "from_user_id": user_id(said.person)}
    )
    message = {"id": wamid(said.id), "timestamp": str(int(said.at)), "type": said.type, **side}
    message[said.type] = {"body": said.text} if said.content is None else said.content
    if said.reply_to is not None:
        message["context"] = {"id": wamid(said.reply_to)}
    return message


def whatsapp_change(phone_number_id: str, *said: Said) -> dict[str, Any]:
    """The change of one number, everybody's names beside the messages."""
    people = {one.person: one.name for one in said if not one.echo}
    contacts = [
        {"wa_id": phone(person), "user_id": user_id(person), **({"profile": {"name": name}} if name else {})}
        for person, name in people.items()
    ]
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100099", "phone_number_id": phone_number_id},
    }
    if contacts:
        value |= {"contacts": contacts, "messages": [whatsapp_message(one) for one in said if not one.echo]}
    if echoes := [whatsapp_message(one) for one in said if one.echo]:
        value["message_echoes"] = echoes
    return {"field": "messages" if contacts else "smb_message_echoes", "value": value}


def whatsapp(account: Connected, *said: Said) -> dict[str, Any]:
    entry = {"id": "102290129340398", "changes": [whatsapp_change(account.handle, *said)]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def build() -> WhatsApp:
    return WhatsApp()
