"""Telegram for benchmarks: bots, updates and sendMessage."""

from __future__ import annotations

import time
from typing import Any

import orjson

from bench.channels import TEXT, WORKSPACE, Recipient, Webhook, raised

_FIRST_BOT = 700_000_000
_FIRST_PERSON = 300_000_000
_SECRET = "bench-secret"
_PHOTO = [
    {
        "file_id": f"AgACAgIAAxkBAAI{side}",
        "file_unique_id": f"AQAD{side}",
        "width": side,
        "height": side,
        "file_size": n,
    }
    for side, n in ((90, 1_200), (320, 15_000), (800, 70_000), (1280, 150_000))
]


class Telegram:
    name = "telegram"
    send_path = f"/bot{_FIRST_BOT}:{'b' * 35}/sendMessage"

    def settings(self, provider_url: str) -> dict[str, str]:
        return {"api_url": provider_url}

    def account(self, number: int) -> dict[str, Any]:
        bot = _FIRST_BOT + number
        return {
            "account_id": f"bot{bot}",
            "workspace_id": WORKSPACE,
            "channel": self.name,
            "external_id": str(bot),
            "settings": raised("account", "pair", "group"),
            "credentials": {"token": f"{bot}:{'b' * 35}", "webhook_secret": _SECRET},
        }

    def webhook(self, number: int, conversations: int, *, media: bool = False) -> Webhook:
        person = {
            "id": _FIRST_PERSON + number % conversations,
            "first_name": "Ada",
            "last_name": "Lindqvist",
            "username": f"ada_{number % conversations}",
        }
        content = {"photo": _PHOTO, "caption": TEXT} if media else {"text": f"{TEXT} #{number}"}
        update = {
            "update_id": 10_000 + number,
            "message": {
                "message_id": 100 + number,
                "from": {**person, "is_bot": False, "language_code": "sv"},
                "chat": {**person, "type": "private"},
                "date": int(time.time()),
                **content,
            },
        }
        headers = {"X-Telegram-Bot-Api-Secret-Token": _SECRET}
        return Webhook(f"/webhooks/telegram/bot{_FIRST_BOT}", headers, orjson.dumps(update))

    def recipient(self, number: int) -> Recipient:
        chat = str(_FIRST_PERSON + number)
        return Recipient(chat, {"chat_id": chat, "peer_kind": "private"})

    def call(self, text: str, recipient: str) -> dict[str, Any]:
        return {"chat_id": recipient, "text": text}

    def answer(self, path: str, body: bytes, number: int) -> bytes:
        if not path.endswith("/sendMessage"):
            return b'{"ok":true,"result":true}'
        message = {
            "message_id": number,
            "from": {"id": _FIRST_BOT, "is_bot": True, "first_name": "Support", "username": "support_bot"},
            "chat": {"id": _FIRST_PERSON, "first_name": "Ada", "type": "private"},
            "date": int(time.time()),
            "text": TEXT,
        }
        return orjson.dumps({"ok": True, "result": message})


PROFILE = Telegram()
