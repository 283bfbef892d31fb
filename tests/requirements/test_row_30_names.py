"""Row 30: whoever the provider names is named on the event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.channels import goldens
from tests.e2e.providers import Said
from tests.requirements.inside import Channel


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", ["Ida Berg", "José Ñandú", "李小龍", "🌻 Lena 🌻", 'O\'Brien "Bob" <b>'])
async def test_a_name_is_on_every_message(channel: Channel, name: str) -> None:
    account = await channel.account()
    for number in range(10):
        await channel.webhook(account, channel.provider.wrote(account, Said(number, 100 + number, name=name)))
    events = [seen for seen in await channel.events(account, 10) if seen.type == "message.received"]
    if channel.provider.tells_names:
        assert {seen.data["sender"]["display_name"] for seen in events} == {name}
        return
    if channel.name != "tiktok":
        assert {seen.data["sender"].get("display_name") for seen in events} == {None}
        return
    # TikTok's webhooks bring a user name and no other.
    aliases = [alias for seen in events for alias in seen.data["sender"]["aliases"]]
    usernames = {alias["value"] for alias in aliases if alias["kind"] == "username"}
    assert usernames == {f"person.{number}" for number in range(10)}


NAMED = {
    "whatsapp": lambda payload: _values(payload, "profile", "name"),
    "telegram": lambda payload: _values(payload, "from", "first_name"),
}


@pytest.mark.parametrize("channel_name", NAMED)
def test_no_golden_loses_the_senders_name(channel_name: str) -> None:
    """Every received message of a payload that names exactly one person names them too."""
    checked = 0
    for path in goldens.cases(channel_name, "inbound"):
        if path.suffix != ".json":
            continue
        payload = path.read_text()
        if '"sender_chat"' in payload:
            continue  # somebody stands in for a chat that writes as itself
        names = {name for name in NAMED[channel_name](json.loads(payload)) if name.strip()}
        events = [event for event in _events(path) if event["type"] == "channels.message.received.v1"]
        if len(names) != 1 or len(events) != 1:
            continue
        shown = events[0]["data"]["sender"].get("display_name") or ""
        assert names.pop() in shown, path.name
        checked += 1
    assert checked >= 30


def _events(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.with_name(path.stem + ".events.json").read_text())
    return found


def _values(payload: Any, outer: str, inner: str) -> set[str]:
    """What stands under `outer.inner` anywhere in a payload."""
    if isinstance(payload, list):
        return set().union(*(_values(one, outer, inner) for one in payload), set())
    if not isinstance(payload, dict):
        return set()
    found = set().union(*(_values(one, outer, inner) for one in payload.values()), set())
    holder = payload.get(outer)
    if isinstance(holder, dict) and isinstance(holder.get(inner), str) and holder[inner]:
        found.add(holder[inner])
    return found
