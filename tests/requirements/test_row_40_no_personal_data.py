"""Row 40: thousands of messages at DEBUG leave no number, address, name, text or token outside the records' values."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import structlog

from shared.channel import Account, Call, Files, Parses, Receipt
from shared.contract.base import rfc3339
from shared.runtime import metrics
from shared.runtime.logs import configure_logs
from shared.state.client import Client
from tests.channels import goldens
from tests.e2e.providers import NAMES, Connected, Said
from tests.e2e.providers.whatsapp import phone
from tests.e2e.topics import eventually
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, Inside, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
INBOUND = 320  # messages per channel
# With what goes out it is more than ten thousand.
IN_THE_LONG_RUN = pytest.param(3_140, marks=pytest.mark.chaos)
OUTBOUND = 100
PER_WEBHOOK = 40
PATIENCE = 200.0  # on a machine that has other things to do
PEOPLE = 20
TEXT = "Zyxwv, Lindenstrasse 7, mail ida.berg@example.com or call +4915123456789, that is +49 151 2345 6789"
NAME = "Idalina Zweistein"
FILE = "Befund Zweistein.pdf"
WORDS = {"Zyxwv", "Lindenstrasse", "ida.berg", "Idalina", "Zweistein", "15123456789", "2345 6789", "Befund"}
SHAPES = (
    re.compile(r"(?<![\w+])\+[1-9][0-9]{7,14}(?!\w)"),  # E.164
    re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}"),
    re.compile(r"\b\d{5,}:[A-Za-z0-9_-]{25,}"),  # a bot's token
)


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged meanwhile, by us and by libraries, at DEBUG and as a service writes it."""
    root, lines = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    with contextlib.redirect_stderr(lines):
        configure_logs("DEBUG", [shape for name in goldens.channel_names() for shape in goldens.secrets(name)])
    try:
        yield lines
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in logging.root.manager.loggerDict:
            logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("inbound", [INBOUND, IN_THE_LONG_RUN])
async def test_messages_leave_nothing_personal_behind(inbound: int) -> None:
    with logged() as lines:
        async with opened() as world:
            channels = [await world.channel(name) for name in NAMES]
            accounts = [await channel.account() for channel in channels]
            await asyncio.gather(*(_everything(*of, inbound) for of in zip(channels, accounts, strict=True)))
            keys = await _valkey_keys(world)
            blobs = [path.relative_to(world.home).as_posix() for path in (world.home / "blobs").rglob("*")]
            places = {
                "logs": lines.getvalue(),
                "metrics": metrics.exposition().decode(),
                "keys in state": "\n".join(keys),
                "keys of blobs": "\n".join(blobs),
                "keys and headers of records": "\n".join(_outside_of_values(world)),
                # A provider's own words about an error go to the inbox, without what they repeat of people.
                "errors": "\n".join(_errors(channels)),
            }
            credentials = _credentials(channels, accounts)
            secrets = _personal(channels) | credentials
    assert len(keys) > 3 * PEOPLE
    assert blobs
    assert lines.getvalue().count('"perform_failed"') >= len(NAMES)  # what was to be logged has been
    for place, text in places.items():
        for secret in secrets:
            assert secret not in text, f"{place}: {_around(text, secret)}"
        for shape in SHAPES:
            found = shape.search(text)
            assert found is None, f"{place}: {_around(text, found[0])}"


async def _everything(channel: Channel, account: Connected, inbound: int) -> None:
    await _in(channel, account, inbound)
    await _out(channel, account)
    await _garbage(channel, account)


async def _in(channel: Channel, account: Connected, inbound: int) -> None:
    said = [Said(n % PEOPLE, 1 + n, f"{TEXT} {n}", name=NAME) for n in range(inbound)]
    together = PER_WEBHOOK if channel.provider.tells_several else 1
    bodies = [channel.provider.wrote(account, *said[n : n + together]) for n in range(0, inbound, together)]
    await asyncio.gather(*(channel.webhook(account, body) for body in bodies))
    await channel.events(account, inbound, PATIENCE)


async def _out(channel: Channel, account: Connected) -> None:
    """Texts and files, some of which fail in every way a call can fail."""
    people = await channel.people(account, PEOPLE)
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/files", b"%PDF-1.7 " + TEXT.encode())
    how = {"code": 40002} if channel.name == "tiktok" else {"status": 400}
    channel.provider.fail_sends("error", probability=0.1, description=f"Bad Request: {TEXT}", **how)
    channel.provider.fail_sends("drop_answer", probability=0.05)
    file = {"blob": blob, "kind": "document", "filename": FILE}
    commands = []
    for number in range(OUTBOUND):
        content: dict[str, Any] = {"kind": "text", "text": f"{TEXT} {number}"}
        if number % 10 == 0:
            content = {"kind": "media", "text": TEXT, "attachments": [file]}
        person = people[number % PEOPLE]
        commands.append(await channel.command(person, content=content, actor={"kind": "human", "display_name": NAME}))
    wanted = {command.id for command in commands}
    await eventually(lambda: all(channel.statuses.ended(one) for one in wanted), PATIENCE)
    channel.provider.behave()
    channel.service.instead = _bug
    command = await channel.command(people[0], text=TEXT, not_after=rfc3339(datetime.now(UTC) + timedelta(seconds=1)))
    await channel.statuses.end(command.id)


async def _bug(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
    raise RuntimeError(f"cannot send {call.params} to {NAME}")


async def _garbage(channel: Channel, account: Connected) -> None:
    """What cannot be read is full of people, too."""
    await channel.webhook(account, f"not JSON, but {TEXT} of {NAME}".encode())
    topic = channel.world.topics.outbound(channel.name)
    await channel.world.log.send(topic, b"somewhere", f'{{"text": "{TEXT}"'.encode(), (("ce_type", b"odd"),))
    unreadable = 1 if isinstance(goldens.channel(channel.name), Parses) else 2  # anything is a mail
    await eventually(lambda: len(channel.dead.all) >= unreadable)


async def _valkey_keys(world: Inside) -> list[str]:
    client = Client(world.state.url)
    keys = [str(key) for key in await client.call("KEYS", "*")]
    await client.close()
    return keys


def _outside_of_values(world: Inside) -> Iterator[str]:
    for topic, partitions in world.log._topics.items():
        for records in partitions:
            for record in records:
                yield f"{topic} {(record.key or b'').decode()}"
                for name, value in record.headers:
                    yield f"{topic} {name}={value.decode('utf-8', 'replace')}"


def _errors(channels: list[Channel]) -> Iterator[str]:
    for channel in channels:
        for seen in channel.statuses.all:
            if "error" in seen.data:
                yield orjson.dumps(seen.data["error"]).decode()


def _personal(channels: list[Channel]) -> set[str]:
    """People's numbers and names, and what they wrote."""
    numbers = {phone(person) for person in range(PEOPLE)}
    for channel in channels:
        if channel.name == "whatsapp":
            numbers |= {one.phone for one in channel.provider.sim.world.customers.values() if one.phone}
    return numbers | WORDS


def _credentials(channels: list[Channel], accounts: list[Connected]) -> set[str]:
    settings = {name: value for channel in channels for name, value in channel.provider.environment().items()}
    of_apps = {settings["WHATSAPP_APP_SECRET"], settings["TIKTOK_APP_SECRET"]}
    return of_apps | {value for account in accounts for value in account.credentials.values()}


def _around(text: str, found: str) -> str:
    at = text.index(found)
    return text[max(0, at - 200) : at + 200]
