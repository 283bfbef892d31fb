"""The simulated Cloud API as one object with a Python interface, without a server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from pathlib import Path

from sandbox.simulators.common import Clock
from sandbox.simulators.feed import Feed
from sandbox.simulators.whatsapp import spec
from sandbox.simulators.whatsapp.behaviour import Behaviour, GraphFaults
from sandbox.simulators.whatsapp.business import Business
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.customers import Customers
from sandbox.simulators.whatsapp.errors import Json
from sandbox.simulators.whatsapp.media import MediaStore
from sandbox.simulators.whatsapp.model import Account, App, Customer, Group, Number, Sent, digits_of
from sandbox.simulators.whatsapp.sending import Sender
from sandbox.simulators.whatsapp.statuses import Statuses
from sandbox.simulators.whatsapp.templates import Templates, samples
from sandbox.simulators.whatsapp.webhooks import Webhooks
from sandbox.simulators.whatsapp.world import PeerRef, World

APP_ID = "300000000000001"
APP_SECRET = "sim-app-secret"
WABA_ID = "100000000000001"
PHONE_NUMBER_ID = "200000000000001"
DISPLAY_NUMBER = "+1 555-000-1001"
TOKEN = "sim-token"
_FEED_SIZE = 10_000


class Platform:
    """Meta's state with people behind it.

    Starts with one app, one account, one number and one token (the constants above) and a few approved templates.
    `clock` runs the windows, lifetimes, delays and retries; `keep` bounds the messages of both directions kept for
    `sent` and the control API.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        keep: int = 200_000,
        media_folder: Path | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.behaviour = behaviour or Behaviour()
        self.faults = GraphFaults(seed)
        self.world = World(keep=keep)
        self.core = Core(
            clock=self.clock,
            behaviour=self.behaviour,
            faults=self.faults,
            world=self.world,
            templates=Templates(),
            media=MediaStore(self.clock, media_folder),
            webhooks=Webhooks(self.world, self.clock, self.behaviour, self.faults),
            feed=Feed(self.clock, _FEED_SIZE),
            random=random.Random(seed),
            spec=spec.load(),
        )
        statuses = Statuses(self.core)
        self.templates, self.media, self.webhooks = self.core.templates, self.core.media, self.core.webhooks
        self.calls, self.violations = self.core.calls, self.core.violations
        self.sender = Sender(self.core, statuses)
        self.customers = Customers(self.core, statuses)
        self.business = Business(self.core)
        for template in samples():
            self.templates.add(template)
        self.add_app(APP_ID, APP_SECRET)
        self.add_number(PHONE_NUMBER_ID, DISPLAY_NUMBER, waba_id=WABA_ID)
        self.world.tokens[TOKEN] = None

    def add_app(self, app_id: str, secret: str) -> App:
        """Another Meta app; accounts are subscribed to it with `subscribe`."""
        app = self.world.apps[app_id] = App(app_id, secret)
        return app

    def add_number(
        self, phone_number_id: str, display_phone_number: str, *, waba_id: str = WABA_ID,
        throughput: float | None = None, coexistence: bool = False, direct_send: bool = False,
        shares_history: bool = True,
        apps: Iterable[str] = (APP_ID,),
    ) -> Number:  # fmt: skip
        """Another business number, and its account when new; coexistence numbers carry 20 messages per second."""
        account = self.world.accounts.setdefault(waba_id, Account(waba_id))
        for app_id in apps:
            account.subscribed.setdefault(app_id, None)
        number = self.world.numbers[phone_number_id] = Number(
            phone_number_id,
            display_phone_number,
            waba_id,
            throughput=throughput or (20.0 if coexistence else 80.0),
            coexistence=coexistence,
            direct_send=direct_send,
            shares_history=shares_history,
            onboarded_at=self.clock.now(),
        )
        return number

    def add_customer(
        self, phone: str | None = None, *, user_id: str | None = None, name: str | None = None,
        username: str | None = None, parent_user_id: str | None = None, shows_phone: bool = True,
        aliases: Iterable[str] = (), receipts: bool = True, on_whatsapp: bool = True,
    ) -> Customer:  # fmt: skip
        """Somebody with WhatsApp; raises ValueError without an address, or when an address is taken."""
        if not phone and not user_id:
            raise ValueError("a customer needs a phone number or a business-scoped user id")
        customer = Customer(
            "", digits_of(phone) if phone else None, user_id, parent_user_id, username, name,
            shows_phone=shows_phone, aliases=tuple(aliases), receipts=receipts, on_whatsapp=on_whatsapp,
        )  # fmt: skip
        return self.world.add_customer(customer)

    def add_group(
        self, group_id: str, subject: str, participants: Iterable[Customer], *, number: Number | None = None
    ) -> Group:
        """A group with one business number; raises ValueError for more than eight participants."""
        members = list(participants)
        if len(members) > 8:
            raise ValueError("a group has at most eight participants")
        number = number or self.world.number()
        group = self.world.groups[group_id] = Group(group_id, number.phone_number_id, subject, members)
        return group

    async def set_webhook(self, url: str, verify_token: str, *, app_id: str = APP_ID) -> None:
        """Register a callback as the app dashboard does, GET challenge included; raises GraphError 2200."""
        await self.webhooks.verify(url, verify_token)
        app = self.world.apps[app_id]
        app.callback_url, app.verify_token = url, verify_token

    def sent(self, peer: PeerRef | None = None) -> list[Sent]:
        """The messages a customer or group got (all of them without `peer`), oldest first, failures left out."""
        return self.world.sent(peer)

    def repeats(self) -> dict[str, int]:
        """Callback data that reached customers more than once: what must be empty when nothing is sent twice."""
        return self.world.repeats()

    async def settled(self, seconds: float = 10.0) -> None:
        """Wait (real time) until no timer is due soon and every webhook was tried; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not self.webhooks.idle or any(t.due <= self.clock.now() + 0.5 for t in self.clock.live):
            if time.monotonic() > deadline:
                raise TimeoutError("webhooks or timers are still pending")
            await asyncio.sleep(0.005)

    def summary(self) -> Json:
        """Counters and settings, as the control API shows them."""
        hooks = self.webhooks
        return {
            "now": self.clock.now(),
            "sent": self.world.sent_total,
            "received": self.world.received_total,
            "violations": len(self.violations),
            "webhooks": {
                "posts": hooks.posts, "delivered": hooks.delivered, "failed_attempts": hooks.failed_attempts,
                "expired": hooks.expired, "dropped": hooks.dropped, "idle": hooks.idle,
            },
            "behaviour": self.behaviour.model_dump(),
        }  # fmt: skip
