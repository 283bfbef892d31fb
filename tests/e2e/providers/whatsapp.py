"""WhatsApp as tests play it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.simulators.whatsapp import APP_SECRET, Behaviour, Customer, WhatsAppSimulator
from sandbox.simulators.whatsapp.webhooks import sign
from tests.e2e.providers import Connected, Got, Person

VERIFY_TOKEN = "let-me-in"


class WhatsApp:
    name = "whatsapp"

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


def build() -> WhatsApp:
    return WhatsApp()
