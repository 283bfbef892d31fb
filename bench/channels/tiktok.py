"""TikTok for benchmarks: business accounts, signed events and message/send."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import orjson

from bench.channels import TEXT, WORKSPACE, Recipient, Webhook, raised

_APP_ID = "7611000000000000001"
_SECRET = "bench-secret"


class TikTok:
    name = "tiktok"
    send_path = "/open_api/v1.3/business/message/send/"

    def settings(self, provider_url: str) -> dict[str, str]:
        return {"api_url": f"{provider_url}/open_api/v1.3", "app_id": _APP_ID, "app_secret": _SECRET}

    def account(self, number: int) -> dict[str, Any]:
        return {
            "account_id": f"tt{number}",
            "workspace_id": WORKSPACE,
            "channel": self.name,
            "external_id": f"-000bench{number}",
            "settings": raised("app"),
            "credentials": {"access_token": "act.bench", "refresh_token": "rft.bench"},
        }

    def webhook(self, number: int, conversations: int, *, media: bool = False) -> Webhook:
        now = time.time()
        business = self.account(0)["external_id"]
        customer = f"+Cust{number % conversations}/9A=="
        content: dict[str, Any] = {"type": "text", "text": {"body": f"{TEXT} #{number}"}}
        if media:
            content = {"type": "image", "image": {"media_id": "v0img+00/cd=="}}
        message = {
            "from": "lena.k",
            "to": "acme.shop",
            "unique_identifier": customer,
            "from_user": {"id": customer, "role": "personal_account"},
            "to_user": {"id": business, "role": "business_account"},
            "conversation_id": f"u5Jh{number % conversations}+/==",
            "message_id": f"u5Bu{number:020}==",
            "timestamp": int(now * 1000),
            "scene_type": 0,
            "is_follower": False,
            "message_tag": {"source": "APP"},
            **content,
        }
        event = {
            "client_key": _APP_ID,
            "event": "im_receive_msg",
            "create_time": int(now),
            "user_openid": business,
            "content": orjson.dumps(message).decode(),
        }
        body = orjson.dumps(event)
        signature = hmac.new(_SECRET.encode(), f"{int(now)}.".encode() + body, hashlib.sha256).hexdigest()
        return Webhook("/webhooks/tiktok", {"TikTok-Signature": f"t={int(now)},s={signature}"}, body)

    def recipient(self, number: int) -> Recipient:
        conversation = f"u5Jh{number}+/=="
        return Recipient(conversation, {"conversation_id": conversation})

    def call(self, text: str, recipient: str) -> dict[str, Any]:
        return {
            "business_id": self.account(0)["external_id"],
            "recipient_type": "CONVERSATION",
            "recipient": recipient,
            "message_type": "TEXT",
            "text": {"body": text},
        }

    def answer(self, path: str, body: bytes, number: int) -> bytes:
        data: dict[str, Any] = {}
        if path.endswith("/message/send/"):
            data = {"message": {"message_id": f"u5Out{number:020}=="}}
        return orjson.dumps({"code": 0, "message": "OK", "request_id": f"{number:032}", "data": data})


PROFILE = TikTok()
