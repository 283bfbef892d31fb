"""Row 32: every message has a text that an agent can read and a search can index, and no markup in it."""

from __future__ import annotations

import json
import re

import pytest

from tests.channels import goldens
from tests.requirements.inside import Channel

_TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?>", re.IGNORECASE)
# Content without words of its own: a file without a caption, or an empty edit of one.
_MAY_BE_EMPTY = {"media", "sticker", "email"}
# People may write what looks like markup, and then it is text.
_WRITTEN_BY_PEOPLE = {"text", "media", "email"}

_SAID_NOTHING = {"text_empty_body.events.json"}


@pytest.mark.parametrize("name", goldens.channel_names())
def test_every_content_has_words(name: str) -> None:
    seen = 0
    for path in (goldens.HERE / name / "inbound").glob("*.events.json"):
        if path.name in _SAID_NOTHING:
            continue
        for event in json.loads(path.read_text()):
            content = event["data"].get("content")
            if content is None:
                continue
            seen += 1
            assert content["text"].strip() or content["kind"] in _MAY_BE_EMPTY, path.name
            if content["kind"] not in _WRITTEN_BY_PEOPLE:
                assert not _TAG.search(content["text"]), path.name
    assert seen >= len(list(goldens.cases(name, "inbound"))) / 2


@pytest.mark.asyncio(loop_scope="session")
async def test_a_caption_is_the_messages_text(telegram: Channel) -> None:
    person = await telegram.person(await telegram.account())
    upload = telegram.provider.sim.upload(b"%PDF-1.7", "a.pdf", "application/pdf")
    await telegram.provider.sim.customer.send_file(
        person.account.handle, person.handle, "document", upload, caption="The signed contract"
    )
    await telegram.inbound.one(person.conversation_id, lambda seen: seen.text == "The signed contract")
