"""One class per role: its pieces, joined. The service runs them; `rebuild` and the tests drive them by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from aiohttp import web

from shared.channel import Account, Channel, Event, KeepsRaw, Parses, Pulls, RawItem
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.media.fetch import UrlFetcher
from shared.media.processing import Processor
from shared.runtime import metrics
from shared.runtime.accounts.capabilities import AccountCapabilities
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.probes import AccountProbes
from shared.runtime.accounts.rates import ToldRates
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.accounts.teller import AccountTeller
from shared.runtime.accounts.templates import TemplateSync
from shared.runtime.http.bodies import Bodies
from shared.runtime.inbound.contacts import ContactNames
from shared.runtime.inbound.door import RawBlobs
from shared.runtime.inbound.downloads import Downloads
from shared.runtime.inbound.ingress import Ingress
from shared.runtime.inbound.media import SLOTS as MEDIA_SLOTS
from shared.runtime.inbound.media import MediaHandler, message_lane
from shared.runtime.inbound.normalise import Effects, Normaliser
from shared.runtime.inbound.parsing import Parser
from shared.runtime.inbound.previews import Previews
from shared.runtime.inbound.pull import Puller
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.runtime.outbound.answers import Answers
from shared.runtime.outbound.deliver import Deliverer
from shared.runtime.outbound.files import BlobFiles
from shared.runtime.outbound.names import Names
from shared.runtime.outbound.outcomes import Outcomes
from shared.runtime.outbound.pacing import Pacer
from shared.runtime.outbound.planner import Planner
from shared.runtime.outbound.preflight import Preflight
from shared.runtime.outbound.prepare import Preparer
from shared.runtime.outbound.queue import CommandQueue
from shared.runtime.outbound.reading import Reader
from shared.runtime.outbound.sending import Sender
from shared.runtime.outbound.typing_indicator import TypingIndicator
from shared.runtime.reporting import by_account
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.rhythm import Rhythms
from shared.runtime.reporting.statuses import StatusBook
from shared.runtime.settings import DeliverSettings, Role, WorkerSettings
from shared.runtime.waiting.lanes import account_called, is_typing, lane_of, outage_group
from shared.runtime.waiting.outages import Outages
from shared.runtime.waiting.parked import ParkedRecords
from shared.runtime.waiting.slots import AccountSlots
from shared.state.store import Store
from shared.stream.deadletter import DeadLetters
from shared.stream.log import Log
from shared.stream.parking import Parking
from shared.stream.records import Partition, Record
from shared.stream.waves import Wave
from shared.workers import Workers


class Common:
    """What the roles of a process share. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        channel: Channel,
        topics: Topics,
        stream: Log,
        store: Store,
        blobs: Blobs,
        accounts: AccountRegistry,
        *,
        fetch_private: bool = False,
        workers: WorkerSettings | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.channel = channel
        self.name = channel.capabilities.channel
        self.topics = topics
        self.stream = stream
        self.store = store
        self.blobs = blobs
        self.accounts = accounts
        self.clock = clock
        self.rates = ToldRates(self.name, accounts, store, clock)
        self.abilities = AccountCapabilities(channel, accounts, self.rates)
        self.health = AccountsHealth(self.name, accounts, stream, topics, self.rates)
        self.dead = DeadLetters(stream, lambda _: topics.deadletter(self.name), store_body=body_store(blobs))
        keeps_raw = isinstance(channel, KeepsRaw)
        self.rhythms = Rhythms(
            self.name, by_account.labels[self.name], lambda name: accounts.served(name) is not None, clock
        )
        self.writer = RawWriter(self.name, stream, topics, blobs, self.dead, keeps_raw=keeps_raw, heard=self._heard)
        self.identities = Identities(self.name, store)
        self.book = StatusBook(channel.capabilities, stream, store, topics, self.identities)
        self.fetcher = UrlFetcher(allow_private=fetch_private)
        sizes = workers or WorkerSettings()
        self.workers = Workers(quick=sizes.quick, slow=sizes.slow)
        self.processor = Processor(blobs, self.workers)
        self.preparer = Preparer(blobs, self.fetcher, channel, self.processor)

    def _heard(self, items: Sequence[RawItem]) -> None:
        """Whose items they are, is alive; that of many items of one account is known from the first."""
        named = {(item.account_id, item.external_id) for item in items}
        for account_id in {name for pair in named for name in self.accounts.names_of(*pair)}:
            by_account.heard(self.name, account_id)
            self.rhythms.heard(account_id)

    async def close(self) -> None:
        await self.fetcher.close()
        await self.workers.close()


@dataclass(frozen=True)
class Reading:
    """What a role does with its topic; `options` are those of the `Dispatcher`."""

    topic: str
    handle: Callable[[Record], Awaitable[None]]
    lane_of: Callable[[Record], bytes]
    poisoned: Callable[[Record], Awaitable[None]] | None = None
    wave: Wave | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class IngressRole:
    """Webhooks become raw records."""

    def __init__(self, common: Common) -> None:
        self._common = common

    def routes(self, bodies: Bodies) -> list[web.RouteDef]:
        common = self._common
        return Ingress(common.channel, common.accounts, common.writer, bodies, RawBlobs(common.blobs)).routes()


class NormaliseRole:
    """Raw records become events. `effects` is what else follows: by default statuses, health, answers, names and
    templates."""

    def __init__(self, common: Common, effects: Effects | None = None) -> None:
        self.answers = Answers(common.channel)
        self.contacts = ContactNames(
            common.channel, common.store, common.blobs, common.identities, common.stream, common.topics
        )
        self.templates = TemplateSync(common.channel, common.accounts, common.store, common.stream, common.topics)
        parser = None
        if isinstance(common.channel, Parses):
            parser = Parser(common.name, common.channel, common.workers)
        self.normaliser = Normaliser(
            common.channel,
            common.accounts,
            common.stream,
            common.store,
            common.blobs,
            common.topics,
            common.dead,
            common.identities,
            effects or _Effects(common, self.answers, self.contacts, self.templates),
            parser,
        )
        self._topic = common.topics.raw(common.name)

    def reading(self) -> Reading:
        of, options = self.normaliser, {"on_overdue": self.normaliser.overdue}
        return Reading(self._topic, of.handle, lambda r: r.key or b"", wave=of.wave, options=options)

    async def close(self) -> None:
        await self.contacts.close()
        await self.answers.close()


class _Effects:
    def __init__(self, common: Common, answers: Answers, contacts: ContactNames, templates: TemplateSync) -> None:
        self.report = common.book.report
        self.notice = common.health.learn
        self.published = contacts.look_up
        self.template = templates.change
        self._answers = answers

    def answer(self, account: Account, event: Event) -> None:
        self._answers.make(account, event)


class DeliverRole:
    """Commands become calls, and every one of them a status."""

    def __init__(
        self,
        common: Common,
        settings: DeliverSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        channel, accounts, store, health = common.channel, common.accounts, common.store, common.health
        self._common = common
        self._most = 3 * settings.slots  # two for what has a slot, quick or slow; one for what needs none
        self.parking = Parking(common.stream, common.topics.parked(common.name), key_of=lambda r: r.key or b"")
        self.slots = AccountSlots(settings.account_slots, settings.slots, settings.slots)
        self.typing = TypingIndicator(channel, accounts, store, common.book, health, self.slots)
        self.pacer = Pacer(common.name, store, common.abilities, self.slots, short_wait=settings.short_wait)
        self.outages = Outages(
            channel,
            accounts,
            health,
            lambda account_id, most: self.parking.wake(outage_group(account_id), most),
            width=settings.account_slots,
            clock=common.clock,
            sleep=sleep,
        )
        names = Names(channel, common.identities, common.stream, common.topics)
        outcomes = Outcomes(channel, store, common.book, health, names, self.typing.message_sent)
        self.sender = Sender(
            channel,
            store,
            BlobFiles(common.blobs, common.fetcher),
            outcomes,
            health,
            self.pacer,
            self.outages,
            short_wait=settings.short_wait,
        )
        self._planner = Planner(channel, store)
        self.deliverer = Deliverer(
            channel,
            common.abilities,
            store,
            common.preparer,
            common.book,
            health,
            self.sender,
            outcomes,
            self.parking,
            CommandQueue(common.name, self.parking, health, common.book, self.outages.holds),
            Reader(
                channel,
                accounts,
                store,
                common.identities,
                common.book,
                self.parking,
                common.dead,
                patience=settings.patience,
            ),
            self._planner,
        )
        gauges = metrics.PARKED.labels(common.name), metrics.PARKING_FULL.labels(common.name, Role.DELIVER)
        self.parked = ParkedRecords(self.parking, accounts, health, *gauges, try_first=self.outages.try_first)
        self.probes = AccountProbes(channel, accounts, store, health, settings.probe_every)
        self.teller = AccountTeller(
            common.name, accounts, common.abilities, health, common.rates, common.stream, common.topics
        )

    def reading(self) -> Reading:
        options = {
            "slots": self._most,
            "on_overdue": self.deliverer.overdue,
            "admit": self._admit,
            "is_ephemeral": is_typing,
            "on_ephemeral": self.typing.handle,
            "on_assigned": self.parked.assigned,
            "on_revoked": self._revoked,
            "accepts": self.parked.has_room,
        }
        topic = self._common.topics.outbound(self._common.name)
        return Reading(topic, self.deliverer.handle, lane_of, self.deliverer.poisoned, options=options)

    def routes(self, bodies: Bodies) -> list[web.RouteDef]:
        """What would become of a command: asked where commands are delivered."""
        of = self._common
        preflight = Preflight(
            of.channel,
            of.accounts,
            of.abilities,
            of.store,
            of.preparer,
            of.health,
            of.identities,
            self._planner,
            bodies,
        )
        return [web.post("/v1/preflight", preflight.post)]

    async def _admit(self, record: Record) -> AbstractContextManager[None]:
        account_id = account_called(record)
        return nullcontext() if account_id is None else await self.slots.kept(account_id)

    async def _revoked(self, partitions: frozenset[Partition]) -> None:
        await self.parked.revoked(partitions)
        self.deliverer.forget_all()

    async def close(self) -> None:
        await self.outages.close()
        await self.typing.close()


class MediaRole:
    """The files of messages are fetched, stored and told of. `max_bytes` is the largest one that is kept."""

    def __init__(self, common: Common, max_bytes: int) -> None:
        self._topic = common.topics.inbound(common.name)
        self.parking = Parking(common.stream, common.topics.parked_files(common.name), key_of=message_lane)
        gauges = metrics.PARKED_FILES.labels(common.name), metrics.PARKING_FULL.labels(common.name, Role.MEDIA)
        self.parked = ParkedRecords(self.parking, common.accounts, common.health, *gauges)
        previews = Previews(common.name, common.blobs, common.processor)
        self.handler = MediaHandler(
            common.name,
            common.accounts,
            common.health,
            common.stream,
            Downloads(common.channel, common.blobs, previews, max_bytes),
            common.topics,
            self.parking,
        )

    def reading(self) -> Reading:
        options = {
            "slots": MEDIA_SLOTS,
            "admit": self.handler.admit,
            "on_assigned": self.parked.assigned,
            "on_revoked": self.parked.revoked,
            "accepts": self.parked.has_room,
        }
        return Reading(self._topic, self.handler.handle, message_lane, self.handler.poisoned, options=options)


class PullRole:
    """What accounts without a webhook have got is fetched."""

    def __init__(self, common: Common, channel: Pulls, group: str, instance_id: str | None) -> None:
        self.puller = Puller(
            common.name,
            channel,
            common.accounts,
            common.stream,
            common.store,
            common.writer,
            common.health,
            common.topics,
            group=group,
            instance_id=instance_id,
        )
