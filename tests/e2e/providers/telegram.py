"""Telegram as tests play it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.simulators.telegram import TelegramSimulator
from sandbox.simulators.telegram.updates import KINDS, Webhook
from tests.e2e.providers import Connected, Got, Person, Said

_updates = itertools.count(1)


class Telegram:
    name = "telegram"
    tells_names = True
    tells_several = True
    refusal: Mapping[str, Any] = {"status": 400}

    def __init__(self) -> None:
        self.sim = TelegramSimulator()
        self._url = ""

    async def start(self) -> None:
        await self.sim.start()

    async def stop(self) -> None:
        await self.sim.stop()

    def environment(self) -> Mapping[str, str]:
        return {"TELEGRAM_API_URL": self.sim.url, "TELEGRAM_POLL_TIMEOUT": "2"}

    async def webhooks_to(self, url: str) -> None:
        self._url = url

    def open_account(self, number: int) -> tuple[dict[str, Any], dict[str, str], int]:
        bot = self.sim.setup.bot(token=f"{110_000_000 + number}:{secrets.token_urlsafe(26)}")
        credentials = {"token": bot["token"], "webhook_secret": secrets.token_urlsafe(24)}
        return {"external_id": str(bot["id"])}, credentials, bot["id"]

    async def connect(self, account: Connected) -> None:
        """What `webhook register` does; each bot has an address of its own."""
        if account.record.mode == "webhook":
            webhook = Webhook(f"{self._url}/webhooks/telegram/{account.id}", account.credentials["webhook_secret"])
            await self.sim.world.bots[account.handle].updates.set_webhook(webhook, sorted(KINDS), False)

    def newcomer(self, account: Connected, number: int) -> int:
        return int(self.sim.setup.person(first_name=f"Person {number}")["id"])

    async def write(self, account: Connected, handle: int, text: str) -> str:
        return str(self.sim.customer.send(account.handle, handle, text)["message_id"])

    async def send_file(self, account: Connected, handle: int, kind: str, content: bytes, filename: str) -> None:
        upload = self.sim.upload(content, filename, "image/jpeg" if kind == "image" else "application/pdf")
        kind = "photo" if kind == "image" else kind
        await self.sim.customer.send_file(account.handle, handle, kind, upload)  # type: ignore[arg-type]

    def got(self, person: Person) -> list[Got]:
        conversation = self.sim.world.conversations[person.account.handle, person.handle, None]
        found = []
        for sent in conversation.sent:
            message = conversation.find(sent.message_id)
            target = message.wire.get("reply_to_message", {}).get("message_id") if message else None
            found.append(Got(str(sent.message_id), sent.kind, sent.text, str(target) if target else None))
        return found

    def shows_typing(self, person: Person) -> bool:
        return bool(self.sim.conversation(person.account.handle, person.handle)["actions"])

    def fail_sends(self, kind: str, **settings: Any) -> None:
        where = {"method": "sendMessage", **settings.pop("where", {})}
        self.sim.faults.add(kind, where=where, **settings)

    def slow_transfers(self, kind: str, account: Connected) -> None:
        self.sim.faults.add(kind, where={"bot": account.handle})

    def behave(self) -> None:
        self.sim.faults.clear()

    def revoke(self, account: Connected) -> None:
        self.sim.setup.revoke(account.handle)

    def reauthorise(self, account: Connected) -> dict[str, str]:
        token = f"{account.handle}:{secrets.token_urlsafe(26)}"
        bot = self.sim.world.bots[account.handle]
        self.sim.world.tokens[token] = bot
        bot.token = token
        return {**account.credentials, "token": token}

    def bad_requests(self) -> list[Any]:
        return self.sim.violations

    def forged(self) -> tuple[str, bytes, dict[str, str]]:
        return "", b'{"update_id": 1}', {"X-Telegram-Bot-Api-Secret-Token": "wrong"}

    def genuine(self, account: Connected, body: bytes) -> tuple[str, dict[str, str]]:
        return f"/{account.id}", {"X-Telegram-Bot-Api-Secret-Token": account.credentials["webhook_secret"]}

    def wrote(self, account: Connected, *said: Said) -> Any:
        return telegram(account, *said)

    def peer(self, person: int) -> str:
        return str(9_000_000 + person)

    def message_id(self, number: int) -> str:
        return str(number)


def telegram(account: Connected, *said: Said) -> Any:
    """One update, or the list that a relay would make of several."""
    updates = [telegram_update(one) for one in said]
    return updates[0] if len(updates) == 1 else updates


def telegram_update(said: Said) -> dict[str, Any]:
    chat = {"id": 9_000_000 + said.person, "type": "private", "first_name": said.name or ""}
    message: dict[str, Any] = {
        "message_id": said.id,
        "date": int(said.at),
        "chat": chat,
        "from": {**{k: v for k, v in chat.items() if k != "type"}, "is_bot": False, "language_code": "de"},
    }
    message[said.type] = said.text if said.content is None else said.content
    if said.reply_to is not None:
        message["reply_to_message"] = {"message_id": said.reply_to, "date": int(said.at) - 1, "chat": chat, "text": "?"}
    kind = "message"
    if said.echo:
        kind = "business_message"
        message |= {"business_connection_id": "biz_1", "from": {"id": 8001, "is_bot": False, "first_name": "Olga"}}
    return {"update_id": next(_updates), kind: message}


def build() -> Telegram:
    return Telegram()
