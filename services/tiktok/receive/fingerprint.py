"""What a message looks like from both ends: TikTok takes no id of ours, so an echo is recognised by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from services.tiktok.receive.wire import Content, post_id
from shared.kit.words import nfc


def call_fingerprint(params: Mapping[str, Any]) -> str:
    """The fingerprint of a message to be sent, from the parameters of its call."""
    match params.get("message_type"):
        case "TEXT":
            identity = params["text"]["body"]
        case "TEMPLATE":
            identity = params["template"]["title"]
        case "SHARE_POST":
            identity = params["share_post"]["item_id"]
        case _:
            identity = ""
    return _fingerprint(params["recipient"], str(params.get("message_type")), identity)


def content_fingerprint(content: Content, conversation_id: str) -> str:
    """The fingerprint of an echo or of a row of the history."""
    match content.type:
        case "text":
            identity = content.text.body if content.text else None
        case "template":
            card = content.template
            identity = next((e.title for e in (*card.elements, card) if e.title), None) if card else None
        case "share_post":
            identity = post_id(content.share_post) if content.share_post else None
        case _:
            # That an image keeps the id it was uploaded under is documented nowhere: only its type is compared.
            identity = None
    return _fingerprint(conversation_id, content.type or "", identity or "")


def _fingerprint(conversation_id: str, message_type: str, identity: str) -> str:
    seen = nfc(identity).strip()
    return "echo:" + hashlib.sha256(f"{conversation_id}\0{message_type.lower()}\0{seen}".encode()).hexdigest()[:24]
