"""Row 19: a payment problem is the account's health within seconds, and the first success ends it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from unittest import mock

import pytest

from shared.runtime.outbound import sending
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_payment_problem_blocks_the_account_and_a_success_clears_it(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    whatsapp.provider.fail_sends("error", code=131042, where={"to": person.handle.phone})
    with mock.patch.object(sending, "BILLING_RETRY", timedelta(seconds=0.3)):
        command = await whatsapp.command(person, text="Your invoice")
        record = await whatsapp.world.healthy(account, "billing_blocked")
        assert record["error"]["code"] == "account_billing_blocked"
        assert whatsapp.statuses.ended(command.id) is None  # it waits, it has not failed
        whatsapp.provider.behave()
        (status,) = await whatsapp.statuses.end(command.id)
    assert status["state"] == "sent"
    await whatsapp.world.healthy(account, "connected")


async def test_a_payment_problem_that_comes_by_status_says_the_same(whatsapp: Channel) -> None:
    """Meta often takes a message and refuses it later."""
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    whatsapp.provider.sim.faults.add("error", code=131042, where={"call": "status", "to": person.handle.phone})
    command = await whatsapp.command(person, text="Your invoice")
    failed = await whatsapp.statuses.state(command.id, "failed")
    assert failed["error"]["code"] == "account_billing_blocked"
    await whatsapp.world.healthy(account, "billing_blocked")
    whatsapp.provider.behave()


async def test_other_accounts_go_on(whatsapp: Channel) -> None:
    blocked, fine = await asyncio.gather(whatsapp.account(), whatsapp.account())
    person, other = await whatsapp.person(blocked), await whatsapp.person(fine)
    whatsapp.provider.fail_sends("error", code=131042, where={"to": person.handle.phone})
    await whatsapp.command(person, text="hello")
    await whatsapp.world.healthy(blocked, "billing_blocked")
    (status,) = await whatsapp.sends(other, "hello")
    assert status["state"] == "sent"
    whatsapp.provider.behave()
