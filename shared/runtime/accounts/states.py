"""The state that goes with an owner to a provider's consent page and comes back: signed by us, and good for a while."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import Any

import orjson

LIFETIME = 600  # seconds; a code is good for as long
_MOST = 4096  # characters


class StateRefused(ValueError):
    """Not ours, for another channel, or too old."""


@dataclass(frozen=True, slots=True)
class ConsentState:
    """What an owner is to consent to. `nonce` is another one each time; `expires_at` is in Unix seconds."""

    channel: str
    workspace_id: str
    account_id: str
    expires_at: int
    nonce: str
    return_url: str | None = None
    display_name: str | None = None


def begun(channel: str, workspace_id: str, account_id: str, now: float, **more: str | None) -> ConsentState:
    """A new state."""
    return ConsentState(channel, workspace_id, account_id, int(now) + LIFETIME, secrets.token_urlsafe(16), **more)


def signed(state: ConsentState, sealing_keys: str) -> str:
    """As it goes into an address: readable, and nobody can change it."""
    said = urlsafe_b64encode(orjson.dumps(asdict(state))).decode()
    return f"{said}.{_mac(said, _keys(sealing_keys)[0]).decode()}"


def opened(text: str, sealing_keys: str, channel: str, now: float) -> ConsentState:
    """What `signed` was given, by any of the keys. Raises StateRefused."""
    said, _, mac = text.partition(".")
    given = mac.encode("utf-8", "replace")
    if len(text) > _MOST or not any(hmac.compare_digest(given, _mac(said, key)) for key in _keys(sealing_keys)):
        raise StateRefused("not signed by us")
    content: dict[str, Any] = orjson.loads(urlsafe_b64decode(said))
    try:
        state = ConsentState(**content)
    except TypeError:
        raise StateRefused("of another release") from None
    if state.channel != channel:
        raise StateRefused("of another channel")
    if state.expires_at <= now:
        raise StateRefused("too old")
    return state


def _keys(sealing_keys: str) -> list[bytes]:
    """Keys of their own, made of those that seal."""
    return [hmac.digest(b64decode(key.strip()), b"consent state", "sha256") for key in sealing_keys.split(",")]


def _mac(said: str, key: bytes) -> bytes:
    return urlsafe_b64encode(hmac.digest(key, said.encode("utf-8", "replace"), "sha256")).rstrip(b"=")
