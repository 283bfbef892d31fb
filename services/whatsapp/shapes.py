"""What WhatsApp's references and secrets look like: ids of messages, of uploads, of groups and people."""

from __future__ import annotations

import re

from shared.policy.shapes import Shape, Shapes

_DOCS = "developers.facebook.com/documentation/business-messaging/whatsapp"

SHAPES = Shapes(
    # `wamid.` and base64; numbers hosted on premises had base64url alone.
    message=Shape(
        "a WhatsApp message",
        re.compile(r"wamid\.[A-Za-z0-9+/=_-]{1,500}|[A-Za-z0-9_-]{1,128}={0,2}"),
        f"{_DOCS}/messages/send-messages; ids seen in webhooks",
        "2026-11-27",
    ),
    file=Shape(
        "a WhatsApp file", re.compile(r"[A-Za-z0-9_-]{1,128}"), f"{_DOCS}/business-phone-numbers/media", "2026-11-27"
    ),
    # A business-scoped user id, a phone number, what stands for one (`ids.personal_peer`), or a group's base64.
    peer=Shape(
        "a WhatsApp conversation",
        re.compile(r"(?=.{1,200}$)\+?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,2}={0,2}"),
        f"{_DOCS}/business-scoped-user-ids; {_DOCS}/groups",
        "2026-11-27",
    ),
)

SECRETS = (re.compile(r"\bEAA[A-Za-z0-9._!-]{16,}"),)  # an access token of the Graph API
