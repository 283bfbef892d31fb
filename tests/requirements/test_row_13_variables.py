"""Row 13: what looks like a variable is text to the connector."""

from __future__ import annotations

import pytest

from shared.contract.content import AttachmentKind
from tests.channels import goldens
from tests.e2e.providers import NAMES
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, Inside

pytestmark = pytest.mark.asyncio(loop_scope="session")
_DOCUMENTS = {name: goldens.channel(name).capabilities.files[AttachmentKind.DOCUMENT] for name in NAMES}
WITH_CAPTIONS = [name for name, rule in _DOCUMENTS.items() if rule.caption and rule.grade != "rejected"]
TEXTS = (
    "Hello {{name}}, your code is {{1}}.",
    "$x and ${y} and $contact.name",
    "{% if vip %}Sir{% endif %} {0} %s %(name)s #{z} <%= erb %>",
    "\\$escaped \\{{braces}}",
    "@{mention} /snippet `code` *stars* _under_ ~tilde~",
)


async def test_free_text_reaches_the_contact_as_it_is(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    for text in TEXTS:
        (status,) = await channel.sends(person, text)
        assert status["state"] == "sent"
    assert channel.texts(person) == list(TEXTS)


@pytest.mark.parametrize("name", WITH_CAPTIONS)
async def test_so_does_a_caption(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/captions", b"%PDF-1.7 something")
    for text in TEXTS:
        file = {"blob": blob, "kind": "document", "filename": "a.pdf"}
        command = await channel.command(person, content={"kind": "media", "text": text, "attachments": [file]})
        await channel.statuses.end(command.id)
    assert channel.texts(person) == list(TEXTS)
