"""What Telegram's references and secrets look like: ids of messages, files, chats and the conversations in them."""

from __future__ import annotations

import re

from shared.policy.shapes import Shape, Shapes

_API = "core.telegram.org/bots/api"

SHAPES = Shapes(
    # A number, or with its chat as `Peer.message_ref` writes it; ephemeral messages and updates have names of ours.
    message=Shape(
        "a Telegram message", re.compile(r"[A-Za-z0-9_@:=-]{1,256}"), f"{_API}#message: message_id", "2026-11-27"
    ),
    # A file_id is base64url. An address in its place would be fetched by Telegram, `attach://` name another file.
    file=Shape("a Telegram file", re.compile(r"[A-Za-z0-9_-]{1,256}"), f"{_API}#sending-files", "2026-11-27"),
    peer=Shape(
        "a Telegram conversation",
        re.compile(r"[A-Za-z0-9_@:=-]{1,256}"),
        f"{_API}#chat: id, username; {_API}#businessconnection: id",
        "2026-11-27",
    ),
)

SECRETS = (re.compile(r"(?<!\d)\d{5,}:[A-Za-z0-9_-]{30,}"),)  # a bot's token
