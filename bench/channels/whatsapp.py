"""WhatsApp for benchmarks: numbers, signed webhooks with one message each, and the Graph call that sends."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import orjson

from bench.channels import TEXT, WORKSPACE, Recipient, Webhook, raised
from shared.contract import ids

# Account 0 is the number that the simulator starts with.
FIRST_NUMBER = 200000000000001
TOKEN = "bench-token"
SECRET = "bench-secret"
VERIFY_TOKEN = "bench-verify"
_VERSION = "v26.0"
_FIRST_PHONE = 15550100000


class WhatsApp:
    name = "whatsapp"
    send_path = f"/{_VERSION}/{FIRST_NUMBER}/messages"

    def settings(self, provider_url: str) -> dict[str, str]:
        return {
            "graph_url": provider_url,
            "graph_version": _VERSION,
            "app_secret": SECRET,
            "verify_token": VERIFY_TOKEN,
        }

    def account(self, number: int) -> dict[str, Any]:
        phone_number_id = str(FIRST_NUMBER + number)
        return {
            "account_id": f"wa{phone_number_id}",
            "workspace_id": WORKSPACE,
            "channel": self.name,
            "external_id": phone_number_id,
            "settings": raised("account", "pair"),
            "credentials": {"access_token": TOKEN},
        }

    def webhook(self, number: int, conversations: int, *, media: bool = False) -> Webhook:
        phone = str(_FIRST_PHONE + number % conversations)
        content: dict[str, Any] = {"type": "text", "text": {"body": f"{TEXT} #{number}"}}
        if media:
            image = {"mime_type": "image/jpeg", "sha256": "3zfsM6Z0q3XqQmJWDGe7oSqHOZ8RzXIBnUPWZxuPmLE=", "id": "2754"}
            content = {"type": "image", "image": {**image, "caption": TEXT}}
        return webhook(number, phone, content)

    def recipient(self, number: int) -> Recipient:
        phone = f"+{_FIRST_PHONE + number}"
        return Recipient(ids.personal_peer(phone), {"phone": phone})

    def call(self, text: str, recipient: str) -> dict[str, Any]:
        return {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": recipient,
            "type": "text",
            "text": {"body": text},
        }

    def answer(self, path: str, body: bytes, number: int) -> bytes:
        phone = orjson.loads(body or b"{}").get("to", "")
        return orjson.dumps(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": phone, "wa_id": phone.removeprefix("+")}],
                "messages": [{"id": f"wamid.OUT{number:032}"}],
            }
        )


PROFILE = WhatsApp()


def webhook(number: int, phone: str, content: dict[str, Any]) -> Webhook:
    """Message `number` of a phone, signed as Meta does."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100099", "phone_number_id": str(FIRST_NUMBER)},
        "contacts": [{"profile": {"name": "Ida"}, "wa_id": phone}],
        "messages": [{"from": phone, "id": f"wamid.{number:032}", "timestamp": str(int(time.time())), **content}],
    }
    entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return Webhook("/webhooks/whatsapp", {"X-Hub-Signature-256": f"sha256={signature}"}, body)
