"""Row 22: reading the raw topic again mints no new id: a link to a message lives as long as the message."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from shared.channel import Channel, Event, Parses, ReceivedItem, WebhookRequest
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.content import Attachment
from tests.channels import goldens

EVENTS = 1_000  # of each channel, each read twice
IN_THE_LONG_RUN = pytest.param(4_000, marks=pytest.mark.chaos)


def _corpus(name: str, rng: random.Random) -> Iterator[bytes]:
    """The golden payloads over and over, their leaves changed: other ids, other texts, other times, nothing at all."""
    payloads = [json.loads(p.read_text()) for p in goldens.cases(name, "inbound") if p.suffix == ".json"]
    mails = [p.read_bytes() for p in goldens.cases(name, "inbound") if p.suffix == ".eml"]
    while mails:
        mail = rng.choice(mails)
        at = rng.randrange(len(mail))
        yield b"%s%d%s" % (mail[:at], rng.randrange(1_000_000), mail[at:])
    while True:
        payload = copy.deepcopy(rng.choice(payloads))
        for _ in range(rng.randrange(1, 4)):
            _change(payload, rng)
        yield orjson.dumps(payload)


def _change(value: Any, rng: random.Random) -> None:
    while isinstance(value, (dict, list)) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner:
            value[key] = _other(inner, rng)
            return
        value = inner


def _other(leaf: Any, rng: random.Random) -> Any:
    match leaf:
        case bool():
            return not leaf
        case int():
            return leaf + rng.randrange(1, 1_000_000)
        case str() if leaf.isdigit():
            return str(int(leaf) + rng.randrange(1, 1_000_000))
        case str():
            return f"{leaf}{rng.randrange(1_000_000)}"
    return rng.choice([leaf, None, "", 0, rng.randrange(10**9)])


def _ids(channel: Channel, account: AccountRecord, body: bytes, offset: int) -> Iterator[tuple[str, ...]]:
    """Of every event: its type, its id, its message's, its attachments', its conversation's."""
    try:
        items = channel.unbatch(WebhookRequest("POST", account.account_id, {}, {}, body))
    except ValueError:
        return
    for sequence, item in enumerate(items, start=offset):
        body = channel.parse(item.body) if isinstance(channel, Parses) else item.body
        received = ReceivedItem(account, body, goldens.RECEIVED_AT, sequence)
        try:
            outcomes = channel.normalise(received)
        except ValueError:
            continue
        for outcome in outcomes:
            if isinstance(outcome, Event):
                data = outcome.data
                files: tuple[Attachment, ...] = getattr(getattr(data, "content", None), "attachments", ())
                yield (
                    outcome.type,
                    ids.event_id(data.channel, data.account_id, outcome.provider_id, outcome.type),
                    getattr(data, "message_id", ""),
                    data.conversation_id,
                    *(f"{file.attachment_id} {file.blob}" for file in files),
                )


@pytest.mark.parametrize("wanted", [EVENTS, IN_THE_LONG_RUN])
@pytest.mark.parametrize("name", goldens.channel_names())
def test_events_that_are_read_again_have_the_same_ids(name: str, wanted: int) -> None:
    """The raw record keeps its body and its time of receipt; sent back from the dead letters it has another offset."""
    channel = goldens.channel(name)
    account = AccountRecord(account_id=f"{name}_1", workspace_id="w", channel=name)
    corpus = _corpus(name, random.Random(22))
    seen = different = 0
    while seen <= wanted:
        body = next(corpus)
        first = list(_ids(channel, account, body, offset=seen))
        again = list(_ids(channel, account, body, offset=seen + 1_000_000))
        seen += len(first)
        different += first != again
    assert different == 0
