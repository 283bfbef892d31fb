"""What TikTok's references and secrets look like: ids of messages, of uploads, of conversations."""

from __future__ import annotations

import re

from shared.policy.shapes import Shape, Shapes

# Conversations TikTok did not name.
UNKNOWN_PEER = "unknown"
RESTRICTED_PEER = "eu-restricted"
USER_PEER = "user-"  # followed by a user's id

_DOCS = "business-api.tiktok.com/portal/docs?id=1832184403754242"
# Base64 of either alphabet. A long one may begin with a slash; a short one that does is a path.
_BASE64 = r"(?!/.{0,15}$)[A-Za-z0-9+/=_-]{1,256}"

SHAPES = Shapes(
    message=Shape("a TikTok message", re.compile(_BASE64), f"{_DOCS}; ids seen in webhooks", "2026-11-27"),
    file=Shape("a TikTok file", re.compile(_BASE64), f"{_DOCS}; ids seen in webhooks", "2026-11-27"),
    peer=Shape("a TikTok conversation", re.compile(_BASE64), f"{_DOCS}; ids seen in webhooks", "2026-11-27"),
)

SECRETS = (re.compile(r"\b(?:act|rft)\.[A-Za-z0-9._!-]{16,}"),)  # an access token, a refresh token
