"""One service: everything a channel's process is made of, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import structlog
from aiohttp import web
from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from shared.channel import Channel, KeepsTokens, NeedsSecrets, PacesCalls, ProviderError, Pulls, RegistersWebhook
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.media.fetch import Fetcher
from shared.runtime import answers, metrics, server, typing_indicator
from shared.runtime.accounts import AccountRegistry, Standing, log_standings
from shared.runtime.answers import Answers
from shared.runtime.bodies import Bodies
from shared.runtime.call_pace import CallPace
from shared.runtime.contacts import ContactNames
from shared.runtime.deliver import Deliverer
from shared.runtime.fetching import FileFetcher
from shared.runtime.files import BlobFiles
from shared.runtime.health import AccountsHealth
from shared.runtime.identity import Identities
from shared.runtime.ingress import Ingress
from shared.runtime.jobs import LARGEST_RECORD, account_called, is_typing, lane_of, outage_group
from shared.runtime.learning import Names, ToldRates
from shared.runtime.logs import aiokafka_heard
from shared.runtime.media import SLOTS as MEDIA_SLOTS
from shared.runtime.media import MediaFetcher, message_lane
from shared.runtime.normalise import Normaliser
from shared.runtime.outages import Outages
from shared.runtime.outcomes import Outcomes
from shared.runtime.pacing import Pacer
from shared.runtime.places import AccountPlaces
from shared.runtime.preflight import Preflight
from shared.runtime.prepare import Preparer
from shared.runtime.pull import Puller
from shared.runtime.raw import RawWriter, set_aside
from shared.runtime.sending import Sender
from shared.runtime.server import HealthChecks, Server
from shared.runtime.settings import (
    BlobSettings,
    DeliverSettings,
    HttpSettings,
    KafkaSettings,
    Role,
    ServiceSettings,
    StateSettings,
)
from shared.runtime.statuses import StatusBook
from shared.runtime.tokens import SealedTokens
from shared.runtime.topic_watch import TopicWatch
from shared.runtime.typing_indicator import TypingIndicator
from shared.runtime.upkeep import AccountProbes, AccountTeller, ParkedRecords
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.deadletter import Brake, DeadLetters
from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.kafka import KafkaLog, Security
from shared.stream.log import Log, TopicSpec
from shared.stream.parking import Parking
from shared.stream.records import Partition, Record
from shared.stream.table import Table

log = structlog.get_logger()

# How long Kafka waits for a member to give up its partitions. The dispatcher drains for two thirds of it; the rest is
# for cancelling what outlasts that, for the flush and for the commits.
REBALANCE_SECONDS = 60.0
STALLED_SECONDS = 120.0  # a poll loop that has not turned for so long is taken for dead
START_SECONDS = 120.0  # how long a service waits for Kafka when it starts
BUGS_IN_A_ROW = 20


@dataclass
class ServiceConfig:
    """All settings of a service, from the environment unless given."""

    service: ServiceSettings = field(default_factory=ServiceSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    state: StateSettings = field(default_factory=StateSettings)
    blobs: BlobSettings = field(default_factory=BlobSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    deliver: DeliverSettings = field(default_factory=DeliverSettings)


def longest_stop(http: HttpSettings, kafka: KafkaSettings) -> float:
    """Seconds from SIGTERM to the end at the worst; whoever kills (Kubernetes, docker stop) has to wait longer.

    A provider call that is not done by then (an upload may take minutes) is cut. Its claim stays in the ledger, so the
    next owner of its conversation reports it `uncertain`, or asks the provider, and does not send it again.
    """
    listener = http.drain_delay + server.LONGEST_STOP
    readers = REBALANCE_SECONDS + kafka.send_timeout  # all together: give up the partitions, leave the group
    calls = typing_indicator.CLOSE_SECONDS + answers.CLOSE_SECONDS
    return listener + readers + calls + kafka.send_timeout  # the producer's last flush


def kafka_log(settings: KafkaSettings, client_id: str, channel: str = "") -> KafkaLog:
    """The log of a service's settings; what happens to it is counted as the channel's."""

    def observe(what: str, about: str) -> None:
        if what == "too_large":
            metrics.TOO_LARGE.labels(channel, about).inc()
        else:
            metrics.PRODUCER_RENEWALS.labels(channel, about).inc()
            log.warning("kafka_producer_renewed", channel=channel, why=about)

    tls = ssl.create_default_context(cafile=settings.ssl_cafile) if "SSL" in settings.security_protocol else None
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return KafkaLog(
        settings.bootstrap,
        client_id=client_id,
        idempotent=settings.idempotent,
        security=Security(
            settings.security_protocol, settings.sasl_mechanism or "PLAIN", settings.sasl_username, password, tls
        ),
        send_timeout=settings.send_timeout,
        rebalance_timeout=REBALANCE_SECONDS,
        session_timeout=settings.session_timeout,
        max_record_bytes=LARGEST_RECORD,
        observe=observe,
    )


def state_client(settings: StateSettings, on_failure: Callable[[str], None] = lambda kind: None) -> Client:
    """The state store of a service's settings."""
    url = settings.url.get_secret_value()
    return Client(url, cluster=settings.cluster, timeout=settings.timeout, on_failure=on_failure)


def topic_specs(topics: Topics, channel: str, partitions: int) -> list[TopicSpec]:
    """The topics a channel needs, as the broker is asked for them."""
    return [
        TopicSpec(
            topic.name,
            partitions,
            compact=topic.compacted,
            retention_ms=None if topic.retention is None else int(topic.retention.total_seconds() * 1000),
        )
        for topic in (*topics.shared(), *topics.of_channel(channel))
    ]


async def require_topics(stream: Log, topics: Topics, channel: str) -> None:
    """Raises LogUnavailable when a topic is not there, or one of the channel has another number of partitions.

    A conversation, and what is parked of it, must have the same partition on all of them.
    """
    for shared in topics.shared():
        await _partitions(stream, shared.name)
    counts = {topic.name: await _partitions(stream, topic.name) for topic in topics.of_channel(channel)}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise LogUnavailable(f"the topics of a channel need the same number of partitions, and have: {said}")


async def _partitions(stream: Log, topic: str) -> int:
    try:
        return await stream.partitions(topic)
    except LogUnavailable as unknown:
        raise LogUnavailable(f"topic {topic} cannot be described: {unknown}") from unknown


def _say_unavailable(attempt: RetryCallState) -> None:
    """One line per attempt that failed."""
    failure = attempt.outcome.exception() if attempt.outcome else None
    log.warning(
        "kafka_unavailable",
        attempt=attempt.attempt_number,
        error=str(failure),  # the type of the client's error, nothing it says
        seconds=round(attempt.seconds_since_start or 0.0, 1),
        gives_up_after=START_SECONDS,
    )


@retry(
    retry=retry_if_exception_type(LogUnavailable),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    stop=stop_after_delay(START_SECONDS),
    after=_say_unavailable,
    reraise=True,
)
async def connect(stream: Log) -> None:
    """Start the log, waiting for a broker that is still starting itself. Raises LogUnavailable."""
    with aiokafka_heard():
        await stream.start()


def lend_state(channel: Channel, store: Store, accounts: AccountRegistry, sealing_key: str | None) -> None:
    """Give a channel what it shares with its other replicas: tokens that rotate, the rate of the whole app."""
    if isinstance(channel, KeepsTokens) and sealing_key is not None:
        channel.use_tokens(SealedTokens(channel.capabilities.channel, store, sealing_key, accounts.current))
    if isinstance(channel, PacesCalls):
        channel.use_pace(CallPace(channel, store))


def _spare_the_collector() -> None:
    """What the start has made lives as long as the process: looking through it for garbage finds none.

    Records leave few cycles behind, so that looking less often costs some megabytes at most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class Service:
    """A channel with everything around it. `run` returns when it was asked to stop; it raises what killed it."""

    def __init__(self, channel: Channel, config: ServiceConfig) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._config = config
        self._roles = frozenset(config.service.roles)
        self._stop = asyncio.Event()
        self._checks = HealthChecks(self._name)
        self._dispatchers: dict[str, Dispatcher] = {}
        self._parked: dict[str, ParkedRecords] = {}
        self._stalled: set[tuple[str, str]] = set()  # role and reason: told until they are zero, and then as zero
        self._accounts: AccountRegistry | None = None
        self._readers: list[Dispatcher | Puller] = []
        self._tasks: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Ask the service to stop in order; safe in a signal handler."""
        self._stop.set()

    async def run(self) -> None:
        """Start, serve, stop."""
        async with AsyncExitStack() as stack:
            if not await self._started(stack):
                return
            _spare_the_collector()
            log.info("started", channel=self._name, roles=sorted(self._roles), port=self._config.http.port)
            await self._until_stopped()
            at_most = longest_stop(self._config.http, self._config.kafka)
            log.info("stopping", channel=self._name, seconds_at_most=at_most)
            self._checks.accepting = False
            await asyncio.sleep(self._config.http.drain_delay)
        log.info("stopped", channel=self._name)

    async def _started(self, stack: AsyncExitStack) -> bool:
        """Start; False when the service was asked to stop meanwhile: a broker that never comes is not waited for."""
        starting, stopping = asyncio.create_task(self._start(stack)), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            given_up = not starting.done()
            if given_up:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
        if not given_up:
            starting.result()
        return not given_up

    async def _start(self, stack: AsyncExitStack) -> None:
        """Start in order; what is pushed on the stack stops in reverse."""
        config, topics = self._config, Topics(self._config.kafka.topic_prefix)
        stream = kafka_log(config.kafka, config.service.instance or f"{self._name}-connector", self._name)
        state = state_client(config.state, partial(self._checks.failed, "state"))
        stack.push_async_callback(state.close)
        blobs = Blobs(config.blobs.url, on_failure=partial(self._checks.failed, "blobs"))
        world = _World(self._channel, config, topics, stream, Store(state), blobs)
        stack.push_async_callback(world.fetcher.close)
        watch = TopicWatch(self._name, stream, topics)
        self._require(world, state, watch)
        # Listening comes first, so that whoever waits for us can ask what we wait for; webhooks get 503 till then.
        listener = await self._listen(world, stack)
        await connect(stream)
        stack.push_async_callback(stream.stop)
        if config.kafka.create_topics:
            await stream.ensure_topics(topic_specs(topics, self._name, config.kafka.partitions))
        await require_topics(stream, topics, self._name)
        await watch.look()
        self._spawn(watch.run(), stack)
        await world.follow_tables(stack)
        await self._with_the_right_key(world.accounts)
        lend_state(self._channel, world.store, world.accounts, world.sealing_key)
        await self._channel.start()
        stack.push_async_callback(self._channel.stop)
        for role in (Role.NORMALISE, Role.DELIVER, Role.MEDIA, Role.PULL):
            if role in self._roles:
                await _STARTERS[role](self, world, stack)
        stack.push_async_callback(self._stop_reading)
        stack.push_async_callback(listener.stop)  # the first to stop
        self._checks.accepting = True
        self._spawn(self._checks.keep_watch(), stack)
        if Role.INGRESS in self._roles:
            self._spawn(self._register_webhooks(world), stack)

    def _require(self, world: _World, state: Client, watch: TopicWatch) -> None:
        self._checks.require("kafka", world.stream.reachable)
        self._checks.require("topics", watch.missing)
        self._checks.warn(watch.uneven)
        self._checks.warn(self._waiting)
        if self._roles - {Role.INGRESS}:
            self._checks.require("state", state.reachable)
            self._checks.require("blobs", world.blobs.reachable)
        self._checks.require("accounts", world.tables_live)
        self._checks.require("sealing_key", world.key_opens)
        self._accounts = world.accounts
        self._checks.watch(lambda: all(monotonic() - reader.heartbeat < STALLED_SECONDS for reader in self._readers))

    async def _with_the_right_key(self, accounts: AccountRegistry) -> None:
        """Return when the key opens accounts. A replica that cannot open them joins no group, so that none of their
        conversations comes to it while others can carry them on.
        """
        log_standings(self._name, accounts)
        if not accounts.locked_out:
            return
        log.error("sealing_key_does_not_open", channel=self._name, variable="SEALING_KEY")
        changed = asyncio.Event()
        accounts.on_standing(lambda *_: changed.set())
        while accounts.locked_out:
            changed.clear()
            await changed.wait()
        log.info("sealing_key_opens", channel=self._name)

    def _waiting(self) -> list[str]:
        """What stands still here, for `/readyz`: lanes by what they wait for, partitions that are read no further."""
        stalled = [
            f"{role}: {n} wait for {why}" for role, d in self._dispatchers.items() for why, n in d.stalled.items()
        ]
        full = [f"{role}: partition {number} is full" for role, p in self._parked.items() for number in sorted(p.full)]
        return [*stalled, *full]

    def _measure(self) -> None:
        standings = Counter(self._accounts.standings().values()) if self._accounts else {}
        for standing in Standing:
            metrics.ACCOUNT_RECORDS.labels(self._name, standing).set(standings.get(standing, 0))
        now = {(role, why): n for role, d in self._dispatchers.items() for why, n in d.stalled.items()}
        self._stalled |= now.keys()
        for role, why in self._stalled:
            metrics.STALLED.labels(self._name, role, why).set(now.get((role, why), 0))
        for role, dispatcher in self._dispatchers.items():
            metrics.OPEN_RECORDS.labels(self._name, role).set(dispatcher.open_records)

    async def _listen(self, world: _World, stack: AsyncExitStack) -> Server:
        def measure() -> None:
            self._measure()
            metrics.BYTES_IN_FLIGHT.labels(self._name).set(listener.bodies.held)
            metrics.CONNECTIONS_CLOSED.labels(self._name).inc(listener.connections.made_way())

        listener = Server(self._config.http, self._checks, measure)
        if Role.INGRESS in self._roles:
            if isinstance(self._channel, NeedsSecrets) and (missing := self._channel.missing_secrets()):
                log.warning("webhooks_refused", channel=self._name, missing_settings=list(missing))
            ingress = Ingress(self._channel, world.accounts, world.writer, listener.bodies)
            listener.add_routes(ingress.routes())
        if Role.DELIVER in self._roles:
            listener.add_routes([world.preflight_route(listener.bodies)])
        await listener.start()
        stack.push_async_callback(listener.stop)
        return listener

    # --- roles

    async def _start_normalise(self, world: _World, stack: AsyncExitStack) -> None:
        answering = Answers(self._channel)
        stack.push_async_callback(answering.close)
        contacts = ContactNames(self._channel, world.store, world.identities, world.stream, world.topics)
        stack.push_async_callback(contacts.close)
        normaliser = Normaliser(
            self._channel,
            world.accounts,
            world.stream,
            world.store,
            world.blobs,
            world.topics,
            world.dead,
            world.identities,
            report=world.book.report,
            notice=world.health.learn,
            answer=answering.make,
            acquaint=contacts.look_up,
        )
        await self._dispatch(
            world, stack, Role.NORMALISE, world.topics.raw(self._name), normaliser.handle, lambda r: r.key or b""
        )

    async def _start_deliver(self, world: _World, stack: AsyncExitStack) -> None:
        settings = self._config.deliver
        parking = Parking(world.stream, world.topics.parked(self._name), key_of=lambda record: record.key or b"")
        places = AccountPlaces(settings.account_slots, settings.slots, settings.slots)
        typing = TypingIndicator(self._channel, world.accounts, world.store, world.book, world.health, places)
        stack.push_async_callback(typing.close)
        pacer = Pacer(
            self._channel,
            world.store,
            world.rates,
            places,
            short_wait=settings.short_wait,
        )
        world.accounts.on_change(pacer.account_changed)
        names = Names(self._channel, world.identities, world.stream, world.topics)
        outages = Outages(
            self._channel,
            world.accounts,
            world.health,
            lambda account_id, most: parking.wake(outage_group(account_id), most),
            width=settings.account_slots,
        )
        stack.push_async_callback(outages.close)
        sender = Sender(
            self._channel,
            world.store,
            BlobFiles(world.blobs),
            Outcomes(self._channel, world.store, world.book, world.health, names, typing.message_sent),
            world.health,
            pacer,
            outages,
            short_wait=settings.short_wait,
        )
        deliverer = Deliverer(
            self._channel,
            world.accounts,
            world.store,
            world.preparer,
            world.book,
            world.health,
            sender,
            parking,
            world.dead,
            world.identities,
            patience=settings.patience,
        )

        gauges = metrics.PARKED.labels(self._name), metrics.PARKING_FULL.labels(self._name, Role.DELIVER)
        parked = ParkedRecords(parking, world.accounts, world.health, *gauges, try_first=outages.try_first)
        self._parked[Role.DELIVER] = parked

        async def admitted(record: Record) -> None:
            if (account_id := account_called(record)) is not None:
                await places.free(account_id)

        async def revoked(partitions: frozenset[Partition]) -> None:
            await parked.revoked(partitions)
            deliverer.forget_all()

        dispatcher = await self._dispatch(
            world,
            stack,
            Role.DELIVER,
            world.topics.outbound(self._name),
            deliverer.handle,
            lane_of,
            slots=3 * settings.slots,  # two for what has a place, quick or slow; one for what needs none
            on_overdue=deliverer.overdue,
            admit=admitted,
            bypass=is_typing,
            aside=typing.handle,
            on_assigned=parked.assigned,
            on_revoked=revoked,
            accepts=parked.has_room,
            also_poisoned=deliverer.poisoned,
        )
        self._spawn(parked.run(dispatcher), stack)
        probes = AccountProbes(self._channel, world.accounts, world.store, world.health, settings.probe_every)
        self._spawn(probes.run(), stack)
        teller = AccountTeller(self._channel, world.accounts, world.health, world.rates, world.stream, world.topics)
        await world.table(stack, world.topics.capabilities, teller.apply)
        self._spawn(teller.run(), stack)

    async def _start_media(self, world: _World, stack: AsyncExitStack) -> None:
        parking = Parking(world.stream, world.topics.parked_files(self._name), key_of=message_lane)
        gauges = metrics.PARKED_FILES.labels(self._name), metrics.PARKING_FULL.labels(self._name, Role.MEDIA)
        parked = ParkedRecords(parking, world.accounts, world.health, *gauges)
        self._parked[Role.MEDIA] = parked
        fetcher = MediaFetcher(
            self._name,
            world.accounts,
            world.health,
            world.stream,
            FileFetcher(self._channel, world.blobs, self._config.blobs.max_bytes),
            world.topics,
            parking,
        )
        dispatcher = await self._dispatch(
            world,
            stack,
            Role.MEDIA,
            world.topics.inbound(self._name),
            fetcher.handle,
            message_lane,
            slots=MEDIA_SLOTS,
            admit=fetcher.admit,
            on_assigned=parked.assigned,
            on_revoked=parked.revoked,
            accepts=parked.has_room,
            also_poisoned=fetcher.poisoned,
        )
        self._spawn(parked.run(dispatcher), stack)

    async def _start_pull(self, world: _World, stack: AsyncExitStack) -> None:
        if not isinstance(self._channel, Pulls):
            return
        puller = Puller(
            self._name,
            self._channel,
            world.accounts,
            world.stream,
            world.store,
            world.writer,
            world.health,
            world.topics,
            group=self._group(Role.PULL),
            instance_id=self._config.service.instance,
        )
        self._reads(puller, stack)
        self._tasks.append(asyncio.create_task(puller.run(), name="pull"))

    def _group(self, role: Role) -> str:
        return f"{self._config.kafka.topic_prefix}.{self._name}.{role}"

    async def _dispatch(
        self,
        world: _World,
        stack: AsyncExitStack,
        role: Role,
        topic: str,
        handle: Callable[[Record], Awaitable[None]],
        key_of: Callable[[Record], bytes],
        *,
        also_poisoned: Callable[[Record], Awaitable[None]] | None = None,
        **options: object,
    ) -> Dispatcher:
        # Only our own bugs pull the brake: what others send must not stop the consumer.
        brake = Brake(BUGS_IN_A_ROW)

        async def handled(record: Record) -> None:
            await handle(record)
            brake.release()

        async def poisoned(record: Record, bug: Exception) -> None:
            log.error("record_poisoned", channel=self._name, role=role, exc_info=bug)
            too_large = isinstance(bug, RecordTooLarge)
            code = "too_large" if too_large else "internal"
            await world.dead.put(record, code, type(bug).__name__)
            metrics.DEAD_LETTERS.labels(self._name, code).inc()
            if also_poisoned is not None:
                await also_poisoned(record)
            if not too_large:  # what an operator's limit keeps out is no bug of ours
                brake.strike()

        def observe(outcome: str, record: Record, seconds: float) -> None:
            metrics.RECORDS.labels(self._name, role, outcome).inc()

        dispatcher = Dispatcher(
            world.stream,
            self._group(role),
            [topic],
            handled,
            key_of=key_of,
            on_poison=poisoned,
            instance_id=self._config.service.instance,
            observe=observe,
            **options,  # type: ignore[arg-type]
        )
        self._dispatchers[role] = dispatcher
        await dispatcher.start()
        self._reads(dispatcher, stack)
        self._tasks.append(asyncio.create_task(dispatcher.wait(), name=role))
        return dispatcher

    # --- life

    def _reads(self, reader: Dispatcher | Puller, stack: AsyncExitStack) -> None:
        """Stop it with the others, or by itself when the start fails before all are there: stopping twice is once."""
        self._readers.append(reader)
        stack.push_async_callback(reader.stop)

    async def _stop_reading(self) -> None:
        """Together: each may drain as long as Kafka lets it, and one after the other would outlast any patience."""
        await asyncio.gather(*(reader.stop() for reader in self._readers))

    def _spawn(self, work: Awaitable[None], stack: AsyncExitStack) -> None:
        """Work beside the roles: when it dies, so does the service; it is cancelled at the stop."""
        task = asyncio.ensure_future(work)
        self._tasks.append(task)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(end)

    async def _until_stopped(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        watched: set[asyncio.Task[object]] = {stopping, *self._tasks}
        while not stopping.done():
            done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                try:
                    task.result()  # raises what killed it
                except BaseException:
                    stopping.cancel()
                    raise

    async def _register_webhooks(self, world: _World) -> None:
        """At start, make every webhook account's provider call us; what cannot be registered is said and left."""
        base_url = self._config.http.public_url
        if base_url is None or not isinstance(self._channel, RegistersWebhook):
            return
        for account in world.accounts:
            if account.record.mode != "webhook":
                continue
            try:
                problem = await self._channel.check_webhook(account, base_url)
                if problem is not None:
                    await self._channel.register_webhook(account, base_url)
                    log.info("webhook_registered", account_id=account.account_id, problem=problem)
            except ProviderError as refused:
                log.warning("webhook_not_registered", account_id=account.account_id, code=refused.failure.code)
            except Exception as bug:  # one odd account must not cost the others their service
                log.error("webhook_not_registered", account_id=account.account_id, exc_info=bug)


_STARTERS: dict[Role, Callable[[Service, _World, AsyncExitStack], Awaitable[None]]] = {
    Role.NORMALISE: Service._start_normalise,
    Role.DELIVER: Service._start_deliver,
    Role.MEDIA: Service._start_media,
    Role.PULL: Service._start_pull,
}


class _World:
    """What the roles share."""

    def __init__(
        self, channel: Channel, config: ServiceConfig, topics: Topics, stream: Log, store: Store, blobs: Blobs
    ) -> None:
        self.channel = channel
        self.topics = topics
        self.stream = stream
        self.store = store
        self.blobs = blobs
        self.sealing_key = config.service.private_key
        name = channel.capabilities.channel
        self.accounts = AccountRegistry(name, self.sealing_key)
        self.rates = ToldRates(name, self.accounts, store)
        self.health = AccountsHealth(name, self.accounts, stream, topics, self.rates)
        self.dead = DeadLetters(stream, lambda _: topics.deadletter(name), aside=set_aside(blobs))
        self.writer = RawWriter(name, stream, topics, blobs, self.dead)
        self.identities = Identities(name, store)
        self.book = StatusBook(channel.capabilities, stream, store, topics, self.identities)
        self.fetcher = Fetcher(allow_private=config.blobs.fetch_private)
        self.preparer = Preparer(blobs, self.fetcher, channel)
        self._tables: list[Table] = []

    async def follow_tables(self, stack: AsyncExitStack) -> None:
        """Follow whose a name is, accounts and their health; returns when all are known."""
        await self.table(stack, self.topics.capabilities, self.accounts.apply_claim)
        await self.table(stack, self.topics.accounts, self.accounts.apply)
        await self.table(stack, self.topics.account_health, self.health.apply)

    async def table(self, stack: AsyncExitStack, topic: str, apply: Callable[[bytes, bytes | None], None]) -> None:
        rejected = metrics.REJECTED.labels(self.channel.capabilities.channel, topic)
        table = Table(self.stream, topic, apply, on_rejected=rejected.inc)
        await table.start()
        stack.push_async_callback(table.stop)
        await table.ready.wait()
        self._tables.append(table)

    async def key_opens(self) -> bool:
        return not self.accounts.locked_out

    async def tables_live(self) -> bool:
        return bool(self._tables) and all(table.health == "live" for table in self._tables)

    def preflight_route(self, bodies: Bodies) -> web.RouteDef:
        preflight = Preflight(
            self.channel, self.accounts, self.store, self.preparer, self.health, self.identities, bodies
        )
        return web.post("/v1/preflight", preflight.post)
