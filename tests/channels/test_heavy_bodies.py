"""Authentic bodies that nobody sends: split within bounds or kept whole, and normalise takes whatever comes."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
import pytest

from shared.channel import MOST_ITEM_BYTES, MOST_ITEMS, Channel, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.runtime.tools import offline
from tests.channels import goldens

MEGABYTE = 2**20
LARGEST = 4 * MEGABYTE


def whatsapp(members: bytes) -> bytes:
    value = b'{"metadata":{"phone_number_id":"1"},"messages":[%s]}' % members
    return (
        b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":%s}]}]}'
        % value
    )


def telegram(members: bytes) -> bytes:
    return b"[%s]" % members


def tiktok(members: bytes) -> bytes:
    return b'{"event":"im_receive_msg","user_openid":"o","content":[%s]}' % members


ENVELOPES: dict[str, Callable[[bytes], bytes]] = {"whatsapp": whatsapp, "telegram": telegram, "tiktok": tiktok}


def split(channel: Channel, body: bytes) -> int | None:
    """How many items come of a body; None when it is kept whole."""
    try:
        return len(channel.unbatch(WebhookRequest("POST", "acc", {}, {}, body)))
    except ValueError:
        return None


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("member", [b'{"id":"1"}', b"1"])
def test_a_body_of_very_many_items_is_kept_whole(name: str, member: bytes) -> None:
    channel = goldens.channel(name)
    body = ENVELOPES[name](b",".join([member] * 250_000))
    assert split(channel, body) is None


@pytest.mark.parametrize("name", ENVELOPES)
def test_what_items_have_in_common_is_not_repeated_without_a_bound(name: str) -> None:
    large = b'"%s"' % (b"x" * MEGABYTE)
    body = ENVELOPES[name](b",".join([b'{"id":"1","from":"4670"}'] * 10_000))
    body = body.replace(b'"phone_number_id":"1"', b'"phone_number_id":"1","x":' + large)
    body = body.replace(b'"user_openid":"o"', b'"user_openid":"o","x":' + large)
    number = split(goldens.channel(name), body)
    assert number is None or len(body) < MOST_ITEM_BYTES


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_large_batch_that_could_be_is_split(name: str) -> None:
    body = ENVELOPES[name](b",".join([b'{"id":"1"}'] * (MOST_ITEMS // 4)))
    assert split(goldens.channel(name), body) == MOST_ITEMS // 4


ODD = {
    "deep lists": b"[" * 100_000,
    "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"message":' * 100_000 + b"1" + b"}" * 100_000,
    "deep within reason": b'{"message":' * 300 + b"1" + b"}" * 300,
    "a large text": b'{"message":"' + b"x" * LARGEST + b'"}',
    "a large name": b'{"' + b"x" * LARGEST + b'":1}',
    "a large number": b'{"update_id":' + b"9" * 100_000 + b"}",
    "no numbers": b'{"update_id":NaN,"message":{"date":Infinity,"message_id":-1e999}}',
    "beyond 64 bits": b'{"update_id":18446744073709551616,"message":{"chat":{"id":-99999999999999999999}}}',
    "names twice": b'{"message":1,"message":{"chat":{"id":1}},"update_id":1,"update_id":2}',
    "half a character": b'{"message":{"text":"\\ud83d","chat":{"id":1}},"\\ud83d":1}',
    "NUL": b'{"message":{"text":"a\\u0000b","chat":{"id":1}}}',
    "no UTF-8": b'{"message":{"text":"\xff\xfe"}}',
    "many names": b"{" + b",".join(b'"k%d":%d' % (at, at) for at in range(50_000)) + b"}",
}


@pytest.mark.parametrize("name", goldens.channel_names())
@pytest.mark.parametrize("odd", ODD)
def test_odd_bodies_are_split_or_kept_and_read_or_kept(name: str, odd: str) -> None:
    channel = goldens.channel(name)
    started = time.process_time()
    for body in (ODD[odd], *(make(ODD[odd]) for known, make in ENVELOPES.items() if known == name)):
        split(channel, body)
        assert offline.normalise(channel, body, account_id="acc") is not None
        account = AccountRecord(account_id="a", workspace_id="w", channel=name)
        try:
            channel.normalise(offline.ReceivedItem(account, body, goldens.RECEIVED_AT, 1))
        except ValueError:
            continue
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize("name", goldens.channel_names())
def test_numbers_at_the_ends_are_read_or_left_out(name: str) -> None:
    """Every number of every golden payload, replaced by ones that calendars and integers have no room for."""
    channel = goldens.channel(name)
    for path in list(goldens.cases(name, "inbound"))[::7]:
        if path.suffix != ".json":
            continue
        text = path.read_bytes()
        for number in (b"1e300", b"-1", b"0.5", b"18446744073709551616", b"9223372036854775807"):
            document = _numbers_replaced(orjson.loads(text), orjson.loads(number))
            for entry in offline.normalise(channel, orjson.dumps(document), account_id="acc"):
                assert orjson.dumps(entry)


def _numbers_replaced(value: object, number: float) -> object:
    if isinstance(value, dict):
        return {name: _numbers_replaced(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers_replaced(inner, number) for inner in value]
    return number if isinstance(value, int | float) and not isinstance(value, bool) else value
