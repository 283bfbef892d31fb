"""What email's references look like: Message-IDs, and the peers of conversations."""

from __future__ import annotations

import re

from shared.policy.shapes import Shape, Shapes

_RFC = "RFC 5322 §3.6.4, without the angle brackets"
# Of a mail without a Message-ID, our own digest.
_MESSAGE = r"(?=.{1,998}$)(?:[^\s<>@\"\\\x00-\x1f\x7f]+@[^\s<>\"\\\x00-\x1f\x7f]+|[0-9a-f]{64})"

SHAPES = Shapes(
    message=Shape("an email", re.compile(_MESSAGE), _RFC, "2026-11-27"),
    # Nothing can be uploaded beforehand: a file is named by where its bytes are.
    file=Shape("an uploaded file: email has none", re.compile(r"(?!)"), "RFC 2045", "2026-11-27"),
    peer=Shape("an email conversation", re.compile(r"p-[0-9a-f]{30}|unknown"), "ours", "2026-11-27"),
)
