"""WhatsApp's message templates as the inbox gets them: all at first, then what differs, and what is gone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from sandbox.simulators.whatsapp import Template, WhatsAppSimulator
from shared.contract.templates import TemplateRecord
from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import Connected
from tests.e2e.topics import Reader, eventually
from tests.e2e.world import ChannelUnderTest, World, number


async def _with_templates(channel: ChannelUnderTest) -> tuple[Connected, str]:
    """An account whose record names its WhatsApp Business Account, and which that is."""
    account = await channel.account()
    waba_id = _sim(channel).world.number(account.handle).waba_id
    await channel.change(account, parent_id=waba_id)
    return account, waba_id


def _sim(channel: ChannelUnderTest) -> WhatsAppSimulator:
    sim: Any = channel.provider
    assert isinstance(sim.sim, WhatsAppSimulator)
    return sim.sim


def _records(reader: Reader, account: Connected, name: str) -> list[dict[str, Any] | None]:
    """All that was told of a template, oldest first; None where it was removed."""
    key = f"{account.id}:{name}:en"
    return [seen.data if seen.record.value else None for seen in reader.all if seen.key == key]


async def test_an_inbox_has_every_template_as_it_is_now(world: World) -> None:
    channel = await world.channel("whatsapp", REPLICAS)
    sim, name = _sim(channel), f"visit_{number()}"
    body = {"type": "BODY", "text": "{{1}} comes at {{2}}.", "example": {"body_text": [["Ida", "10:15"]]}}
    url = {"type": "URL", "text": "Map", "url": "https://shop.example/{{1}}", "example": ["https://shop.example/7"]}
    sim.templates.add(Template(name, "en", status="PENDING", components=[body, {"type": "BUTTONS", "buttons": [url]}]))
    for page in range(120):  # more than a page holds
        sim.templates.add(Template(f"page_{page}_{name}", "en", components=[{"type": "BODY", "text": "Hello"}]))
    async with AsyncExitStack() as stack:
        reader = world.reader(world.topics.templates("whatsapp"), stack)
        account, waba_id = await _with_templates(channel)
        await eventually(lambda: _records(reader, account, f"page_119_{name}"), what="the last page")
        (first,) = _records(reader, account, name)
        assert first is not None
        assert TemplateRecord.model_validate(first).key == f"{account.id}:{name}:en"
        assert (first["status"], first["sendable"], first["category"]) == ("pending", False, "utility")
        assert "quality" not in first
        assert first["parameters"] == [
            {"component": "body", "kind": "text", "position": 1, "example": "Ida"},
            {"component": "body", "kind": "text", "position": 2, "example": "10:15"},
            {"component": "button", "kind": "text", "position": 1, "button": 0, "example": "https://shop.example/7"},
        ]

        async def told(count: int) -> dict[str, Any] | None:
            await eventually(lambda: len(_records(reader, account, name)) == count, what=f"record {count}")
            return _records(reader, account, name)[-1]

        sim.business.template_status(name, "en", "APPROVED", waba_id=waba_id)
        approved = await told(2)
        assert approved is not None and (approved["status"], approved["sendable"]) == ("approved", True)
        sim.business.template_quality(name, "en", "YELLOW", waba_id=waba_id)
        assert (await told(3) or {})["quality"] == "yellow"
        sim.business.template_category(name, "en", "MARKETING", waba_id=waba_id)
        assert (await told(4) or {})["category"] == "marketing"
        sim.business.delete_template(name, waba_id=waba_id)
        assert await told(5) is None
        # Only what differs: the names that contain its name were found by Meta's filter, and are not told again.
        assert len(_records(reader, account, f"page_119_{name}")) == 1

        for page in range(120):
            sim.templates.remove(f"page_{page}_{name}")
        await world.remove(account)
        await eventually(lambda: _records(reader, account, f"page_119_{name}")[-1] is None, what="the removal")


async def test_one_accounts_provider_fails_and_the_others_templates_come(world: World) -> None:
    channel = await world.channel("whatsapp", REPLICAS)
    sim, name = _sim(channel), f"kept_{number()}"
    sim.templates.add(Template(name, "en", components=[{"type": "BODY", "text": "Hello"}]))
    async with AsyncExitStack() as stack:
        reader = world.reader(world.topics.templates("whatsapp"), stack)
        sick, waba_id = await _with_templates(channel)
        await eventually(lambda: _records(reader, sick, name), what="its templates")
        try:
            sim.faults.add("error", where={"call": "templates", "id": waba_id}, status=503, html=True)
            sim.business.template_status(name, "en", "PAUSED", waba_id=waba_id)
            healthy, _ = await _with_templates(channel)
            await eventually(lambda: _records(reader, healthy, name), what="the others' templates")
            assert len(_records(reader, sick, name)) == 1, "nothing is known, so nothing is told, nor removed"
        finally:
            channel.provider.behave()
        sim.business.template_status(name, "en", "APPROVED", waba_id=waba_id)
        sim.business.template_status(name, "en", "PAUSED", waba_id=waba_id)
        await eventually(lambda: (_records(reader, sick, name)[-1] or {}).get("status") == "paused", what="the news")
