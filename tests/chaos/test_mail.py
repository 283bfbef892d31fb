"""A mailbox of ten thousand mails that is seen for the first time, by a service that is killed again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.conftest import Measured, count
from tests.e2e.mailservers import HOST, PASSWORD, Dovecot, dovecot_missing, folder_for_all
from tests.e2e.providers import Connected
from tests.e2e.topics import eventually
from tests.e2e.world import WORKSPACE, World

MISSING = dovecot_missing()
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(MISSING is not None, reason=f"real mail servers: {MISSING}"),
]
MAILS = 10_000
KILLS = 3
USER = "old@box.example"


@pytest_asyncio.fixture
async def dovecot() -> AsyncIterator[Dovecot]:
    with folder_for_all() as folder:
        server = Dovecot(folder / "dovecot")
        await server.start()
        yield server
        await server.stop()


def fill(dovecot: Dovecot, mails: int) -> None:
    """Put mails into the mailbox's folder by hand: a server indexes what it finds."""
    folder = Path(dovecot.folder) / "mail" / USER
    with dovecot.client(USER) as client:
        client.select_folder("INBOX", readonly=True)  # makes it
    for number in range(mails):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = f"p{number % 500}@people.example", USER, f"mail {number}"
        mail["Message-ID"] = f"<{number}@people.example>"
        mail.set_content(f"text {number}")
        path = folder / "cur" / f"{1_700_000_000 + number}.{number}.box:2,"
        path.write_bytes(mail.as_bytes())
        path.chmod(0o666)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("world", ["tansu"], indirect=True)
async def test_a_folder_of_ten_thousand_mails_comes_in_once(world: World, dovecot: Dovecot, measured: Measured) -> None:
    mails, kills = count(MAILS), count(KILLS)
    await asyncio.to_thread(fill, dovecot, mails)
    channel = await world.channel("email", 1)
    imap = {"host": HOST, "port": dovecot.imap, "security": "none"}
    fields = {
        "account_id": "em_old",
        "workspace_id": WORKSPACE,
        "channel": "email",
        "external_id": USER,
        "mode": "pull",
        "settings": {"imap": imap},
    }
    credentials = {"password": PASSWORD}
    began = time.monotonic()
    await world.apply(Connected(world.sealed(fields, credentials), USER, credentials).record)

    def texts() -> dict[str, str]:
        """By the events' ids: what was out when its process was killed may be there again, as the same."""
        received = [seen for seen in channel.inbound.all if seen.type == "message.received"]
        return {seen.id: seen.text.strip() for seen in received}

    [replica] = channel.service.replicas
    for kill in range(1, kills + 1):
        await eventually(lambda kill=kill: len(texts()) >= mails * kill // (kills + 2), 300, every=0.1)  # type: ignore[misc]
        await replica.kill()
        await channel.service.bring_back(replica)
    await eventually(lambda: len(texts()) >= mails, 600, every=0.2, what=lambda: f"{len(texts())} of {mails}")
    await asyncio.sleep(2)
    found = texts()
    assert sorted(found.values()) == sorted(f"text {number}" for number in range(mails))
    repeated = sum(times - 1 for times in channel.inbound.repeated_ids().values())
    measured(mails=mails, kills=kills, told_again=repeated, until_all_seconds=round(time.monotonic() - began))
    assert repeated <= kills * 100  # what one process has under way
