"""Raw MIME over HTTPS, proven by the account's own secret before a byte of it is read."""

from __future__ import annotations

from collections.abc import Sequence

from services.email.receive.inbound import order_key
from shared.channel import Accounts, Forbidden, RawItem, UnknownRoute, WebhookRequest
from shared.kit.proof import proven

# The names of the credentials: the second is good as well while the first is rotated.
SECRET = "ingress_secret"  # noqa: S105  # the name, not the secret
PREVIOUS = "ingress_secret_previous"


def admit(request: WebhookRequest, accounts: Accounts) -> None:
    """The bearer token is the account's secret, or the one before. Strangers do not learn which accounts there are.

    Raises Forbidden, UnknownRoute.
    """
    if not request.route or "/" in request.route:
        raise UnknownRoute
    account = accounts.get(request.route)
    credentials = account.credentials if account is not None else {}
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    secrets = [credentials.get(name, "").encode() for name in (SECRET, PREVIOUS)]
    if not proven(token.strip(), secrets) or scheme.lower() != "bearer":
        raise Forbidden


def received(request: WebhookRequest, blob: str) -> Sequence[RawItem]:
    """The one mail that a body is. Raises ValueError for an empty one."""
    if not request.body.strip():
        raise ValueError("The mail is empty.")
    account_id = request.route
    return [RawItem(f"{account_id}:{order_key(request.body)}", b"", account_id=account_id, blob=blob)]
