"""Whether an access token may do what we need of it, and whether Meta tells us of the account it is for."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from services.whatsapp.api.client import Client
from shared.channel import Account, Subscription
from shared.kit import loose
from shared.kit.loose import Json

# developers.facebook.com/docs/whatsapp/business-management-api/get-started: permissions; read 2026-11-28.
PERMISSIONS = ("whatsapp_business_messaging", "whatsapp_business_management")


async def check_subscription(client: Client, account: Account, base_url: str | None) -> Subscription:
    """What is missing. Raises ProviderError.

    Subscriptions are those of the WhatsApp Business Account: without `parent_id` nobody knows which it is.
    """
    token = account.credentials.get("access_token", "")
    answer = await client.call(account, "GET", "/debug_token", params={"input_token": token})
    told = loose.obj(answer, "data")
    if told.get("is_valid") is not True:
        return Subscription(("Meta says that the access token is not valid.",))
    granted = loose.items(told, "scopes")
    missing = tuple(f"The access token lacks the permission {name}." for name in PERMISSIONS if name not in granted)
    parent = account.record.parent_id
    if parent is None:
        return Subscription(missing)
    answer = await client.call(account, "GET", f"/{quote(parent, safe='')}/subscribed_apps")
    rows, app_id = loose.objects(answer, "data"), loose.text(told, "app_id")
    return Subscription(missing, tuple(_subscriptions(rows, app_id, base_url)))


def _subscriptions(rows: list[Json], app_id: str | None, base_url: str | None) -> Iterator[str]:
    ours = next((row for row in rows if loose.text(loose.obj(row, "whatsapp_business_api_data"), "id") == app_id), None)
    if ours is None:
        yield "The token's app is not subscribed to the WhatsApp Business Account: its webhooks do not come."
        return
    elsewhere = loose.text(ours, "override_callback_uri")
    if elsewhere and base_url and not elsewhere.startswith(f"{base_url.rstrip('/')}/webhooks/whatsapp"):
        yield "The WhatsApp Business Account's webhooks are sent to another address (override_callback_uri)."
