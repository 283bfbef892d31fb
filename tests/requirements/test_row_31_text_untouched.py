"""Row 31: a text is what the contact wrote, to the byte, after normal form C at most; the language where it is told.

Of a mail, whose text is what is left when quotation and signature are cut off, without the blanks around it.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.channel import Event, ReceivedItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.content import TextContent
from shared.contract.events import Message
from tests.channels import goldens
from tests.e2e.providers import NAMES, Connected, Said, provider
from tests.requirements.inside import Channel

TEXTS = (
    "plain",
    "  leading and trailing blanks \n",
    "line\nline\r\nline\ttab",
    "Zoë, cafe\u0301 and A\u030angstro\u0308m",  # decomposed
    "안녕 \u1100\u1161\u11a8",
    "👩‍👩‍👧‍👦 👍🏽 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇩🇪",
    "\u05e2\u05d1\u05e8 \u200f \u0639\u0631\u0628 \u202ecode\u202c",  # right to left, and forced
    "<b>not bold</b> &amp; *stars* _under_ `code`",
    "zero\u200bwidth\u00a0and\u2028separators\ufeff",
    "𝒰𝓃𝒾𝒸ℴ𝒹ℯ ﬁ ㎏ Ⅷ",
)
ANY = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)


def _normalised(name: str, text: str) -> str | None:
    """The text of the one message that comes of it; None where it is no text message."""
    channel = goldens.channel(name)
    record = AccountRecord(account_id="a", workspace_id="w", channel=name, external_id="b")
    body = json.dumps(provider(name).wrote(Connected(record, "b"), Said(1, 100, text))).encode()
    (item,) = channel.unbatch(WebhookRequest("POST", "a", {}, {}, body))
    found = [o for o in channel.normalise(ReceivedItem(record, item.body, goldens.RECEIVED_AT)) if isinstance(o, Event)]
    messages = [event.data for event in found if isinstance(event.data, Message)]
    (message,) = messages
    return message.content.text if isinstance(message.content, TextContent) else None


@pytest.mark.parametrize("name", [name for name in NAMES if "text" in goldens.channel(name).capabilities.content_kinds])
@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.chaos)])
def test_any_text_comes_through(name: str, count: int) -> None:
    settings(max_examples=count, deadline=None)(given(text=ANY)(_comes_through))(name)


def _comes_through(name: str, text: str) -> None:
    assert _normalised(name, text) == _expected(name, text)


def _expected(name: str, text: str) -> str:
    """Telegram's spans count the characters it sent: there not even the normal form is changed."""
    if name == "email":  # it has lines
        text = "\n".join(line.rstrip() for line in re.split("\r\n|\r|\n", text.rstrip()))
    return text if name == "telegram" else unicodedata.normalize("NFC", text)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_bytes_on_the_topic_are_those_of_the_provider(channel: Channel) -> None:
    account = await channel.account()
    texts = [*TEXTS, "x" * 4096, " ".join(random.Random(31).choices(TEXTS, k=50))]
    for number, text in enumerate(texts):
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 100 + number, text)))
    events = await channel.events(account, len(texts))
    assert [seen.text for seen in events] == [_expected(channel.name, text) for text in texts]


@pytest.mark.asyncio(loop_scope="session")
async def test_telegram_tells_the_language(telegram: Channel) -> None:
    account = await telegram.account()
    await telegram.webhook(account, telegram.provider.wrote(account, Said(1, 100)))
    (event,) = await telegram.events(account, 1)
    assert event.data["sender"]["language"] == "de"
