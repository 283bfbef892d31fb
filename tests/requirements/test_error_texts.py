"""What providers say of errors, full of people, goes through the running service: no status repeats any of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "hello dear idalina, see you at the lake behind lindenstrasse 7 tomorrow"
# Shapes of what Meta, Telegram and TikTok have been seen to answer, with somebody in each of them.
BODIES = (
    "Recipient phone number +49 151 2345 6789 not in allowed list: Idalina Zweistein",
    "(#100) Param text['body'] must be a string, got hello dear idalina, see you at the lake",
    "Object with ID '4915123456789' does not exist, cannot be loaded due to missing permissions",
    "User Idalina Zweistein (ida.berg@example.com) cannot receive the message: tomorrow",
    "chat not found: @idaberg_private",
    'can\'t parse entities: unexpected end tag at "behind lindenstrasse"',
    "message to 0151-2345-6789 could not be sent; token 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "invalid media at https://cdn.example.com/u/idalina?sig=c2VjcmV0LXNpZ25hdHVyZQ==",
    "Пользователь Идалина заблокировал бота",
    "Invalid parameter: lindenstrasse",
    "Recipient (49) 151 / 2345 - 6789 blocked; Befund_Zweistein.pdf not delivered",
    "Unsupported value in text: hello",
)
LEAKS = (
    *("idalina", "zweistein", "lindenstrasse", "lake", "hello", "tomorrow", "ida.berg", "example.com", "idaberg"),
    *("2345", "6789", "15123", "aahdq", "c2vjcm", "идалина", "befund"),
)


def leaks(statuses: list[dict[str, Any]]) -> list[str]:
    told = orjson.dumps([status["error"] for status in statuses if "error" in status]).decode().lower()
    return [leak for leak in LEAKS if leak in told]


async def test_a_refusal_repeats_nothing_of_people(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    found = {}
    for body in BODIES:
        channel.provider.behave()
        channel.provider.fail_sends("error", description=body, **channel.provider.refusal)
        command = await channel.command(person, text=TEXT, actor={"kind": "human", "display_name": "Bo Zweistein"})
        await channel.statuses.end(command.id)
        statuses = channel.statuses.by_command[command.id]
        assert any("error" in status for status in statuses)
        found[body] = leaks(statuses)
    assert not any(found.values()), found


async def test_a_failure_that_is_reported_later_repeats_no_address_and_no_name(whatsapp: Channel) -> None:
    """Nobody has the command's words there: shapes and names have to go by themselves."""
    person = await whatsapp.person(await whatsapp.account())
    details = {}
    for body in BODIES:
        whatsapp.provider.sim.faults.add("error", where={"call": "status"}, count=1, code=131053, description=body)
        command = await whatsapp.command(person, text=TEXT)
        failed = await whatsapp.statuses.state(command.id, "failed", 10)
        # In lower case and without a quotation, the words of a text are words like others.
        assert not set(leaks([failed])) - {"hello", "lake", "idalina", "tomorrow", "lindenstrasse"}, body
        details[body] = failed["error"]["detail"]
    assert details[BODIES[0]] == "Recipient phone number … not in allowed list: …"


async def test_a_trace_id_is_one_or_is_none(tiktok: Channel) -> None:
    person = await tiktok.person(await tiktok.account())
    tiktok.provider.fail_sends("error", count=1, code=40002, description="Invalid parameter")
    command = await tiktok.command(person, text=TEXT)
    (status,) = await tiktok.statuses.end(command.id)
    assert 0 < len(status["error"]["trace_id"]) <= 64
