"""Meta's webhooks: proof of origin, and what each raw item means."""

from __future__ import annotations

from collections.abc import Sequence

from services.whatsapp.receive import contact_facts, messages, notices, statuses
from services.whatsapp.settings import Settings
from shared.channel import Forbidden, Outcome, ReceivedItem, UnknownRoute, WebhookRequest
from shared.kit.json import read_shallow
from shared.kit.proof import digests, proven


def authenticate(settings: Settings, request: WebhookRequest) -> None:
    """Check `X-Hub-Signature-256` over the raw bytes against every secret of the route's app, in constant time.

    Raises Forbidden, or UnknownRoute for an app we do not have.
    """
    app = settings.app(request.route)
    if app is None:
        raise UnknownRoute
    expected = [f"sha256={digest.hex()}".encode() for digest in digests(app.secrets, request.body)]
    if not proven(request.headers.get("x-hub-signature-256", ""), expected):
        raise Forbidden


def challenge(settings: Settings, request: WebhookRequest) -> str:
    """The answer to Meta's check of the webhook address. Raises Forbidden or UnknownRoute."""
    app = settings.app(request.route)
    if app is None:
        raise UnknownRoute
    answer = request.query.get("hub.challenge")
    genuine = proven(request.query.get("hub.verify_token", ""), app.verify_tokens)
    if not genuine or request.query.get("hub.mode") != "subscribe" or answer is None:
        raise Forbidden
    return answer


_READERS = {
    "message": messages.message,
    "message_echo": messages.echo,
    "history_message": messages.history,
    "status": statuses.status,
    "user_preference": contact_facts.user_preference,
    "user_id_update": contact_facts.user_id_update,
    "state_sync": contact_facts.state_sync,
}


def normalise(item: ReceivedItem) -> Sequence[Outcome]:
    """What one raw item means. Raises ValueError for bytes that are no item."""
    raw = read_shallow(item.body, "not JSON")
    if not isinstance(raw, dict) or not raw:
        raise ValueError("not an object")
    for name, read in _READERS.items():
        if name in raw:
            member = raw[name]
            if not isinstance(member, dict):
                raise ValueError(f"{name} is not an object")
            return read(item, raw, member)
    return notices.notice(item, raw)
