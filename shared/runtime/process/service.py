"""One service: everything a channel's process is made of, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from functools import partial
from threading import Thread
from time import monotonic, time

import structlog

from shared.channel import (
    AsksConsent,
    Channel,
    HasTemplates,
    Listens,
    NeedsSecrets,
    ProviderError,
    Pulls,
    RegistersWebhook,
)
from shared.contract.topics import DEAD_RETENTION, Topics
from shared.contract.version import version
from shared.media.blobs import Blobs
from shared.runtime import metrics, tracing
from shared.runtime.accounts.checking import AccountCheck
from shared.runtime.accounts.consent import ConsentRoutes
from shared.runtime.accounts.registry import AccountRegistry, Standing, log_standings
from shared.runtime.http import server
from shared.runtime.http.blobs import BlobAddresses
from shared.runtime.http.guard import ApiGuard
from shared.runtime.http.server import HealthChecks, Server
from shared.runtime.inbound.door import IngressDoor
from shared.runtime.inbound.pull import Puller
from shared.runtime.logs import about
from shared.runtime.outbound import answers, typing_indicator
from shared.runtime.process.connections import (
    REBALANCE_SECONDS,
    ServiceConfig,
    connect,
    kafka_log,
    require_topics,
    share_state,
    state_client,
    topic_specs,
)
from shared.runtime.process.topic_watch import TopicWatch
from shared.runtime.reporting.rhythm import CHECK_SECONDS, Rhythms
from shared.runtime.roles import Common, DeliverRole, IngressRole, MediaRole, NormaliseRole, PullRole, Reading
from shared.runtime.settings import (
    HttpSettings,
    KafkaSettings,
    Role,
)
from shared.runtime.waiting.parked import ParkedRecords
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.dead_present import PresentLetters
from shared.stream.deadletter import Brake
from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.records import Record, header
from shared.stream.table import Table

log = structlog.get_logger()
STALLED_SECONDS = 120.0  # a poll loop that has not turned for so long is taken for dead
BUGS_IN_A_ROW = 20


def longest_stop(http: HttpSettings, kafka: KafkaSettings) -> float:
    """Seconds from SIGTERM to the end at the worst; whoever kills (Kubernetes, docker stop) has to wait longer.

    A provider call that is not done by then (an upload may take minutes) is cut. Its claim stays in the ledger, so the
    next owner of its conversation reports it `uncertain`, or asks the provider, and does not send it again.
    """
    listener = http.drain_delay + server.LONGEST_STOP
    readers = REBALANCE_SECONDS + kafka.send_timeout  # all together: give up the partitions, leave the group
    calls = typing_indicator.CLOSE_SECONDS + answers.CLOSE_SECONDS
    return listener + readers + calls + kafka.send_timeout + tracing.STOP_SECONDS  # the producer's last flush, spans


def _spare_the_collector() -> None:
    """What the start has made lives as long as the process: looking through it for garbage finds none.

    Records leave few cycles behind, so that looking less often costs some megabytes at most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _age(since_ms: int | None) -> float:
    """Seconds since then, 0 when there is no such time."""
    return 0.0 if since_ms is None else max(0.0, time() - since_ms / 1000)


def _span_of(role: Role, record: Record) -> AbstractContextManager[object]:
    """What is done with a record, in the trace that the record carries."""
    if not tracing.wanted():
        return nullcontext()
    return tracing.span(
        role,
        "consumer",
        (header(record, "traceparent") or b"").decode("ascii", "replace"),
        {
            "messaging.system": "kafka",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
        },
    )


class Service:
    """A channel with everything around it. `run` returns when it was asked to stop; it raises what killed it."""

    def __init__(self, channel: Channel, config: ServiceConfig) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._config = config
        self._roles = frozenset(config.service.roles)
        metrics.begin(self._name, self._roles)
        self._stop = asyncio.Event()
        self._checks = HealthChecks(self._name)
        self._dispatchers: dict[str, Dispatcher] = {}
        self._parked: dict[str, ParkedRecords] = {}
        self._stalled: set[tuple[str, str]] = set()  # role and reason: told until they are zero, and then as zero
        self._accounts: AccountRegistry | None = None
        self._door: IngressDoor | None = None
        self._readers: list[Dispatcher | Puller] = []
        self._tables: list[Table] = []
        self._dead: PresentLetters | None = None
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
            log.info(
                "started", channel=self._name, version=version(), roles=sorted(self._roles), port=self._config.http.port
            )
            await self._until_stopped()
            at_most = longest_stop(self._config.http, self._config.kafka)
            log.info("stopping", channel=self._name, seconds_at_most=at_most)
            self._checks.accepting = False
            if self._door is not None:
                self._door.accepting = False
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
        self._trace(stack)
        stream = kafka_log(config.kafka, config.service.instance or f"{self._name}-connector", self._name)
        state = state_client(config.state, partial(self._checks.failed, "state"))
        stack.push_async_callback(state.close)
        blobs = Blobs(config.blobs.url, on_failure=partial(self._checks.failed, "blobs"))
        accounts = AccountRegistry.of(self._channel, config.service.private_key)
        private = config.blobs.fetch_private
        common = Common(
            self._channel,
            topics,
            stream,
            Store(state),
            blobs,
            accounts,
            fetch_private=private,
            workers=self._config.workers,
        )
        stack.push_async_callback(common.close)
        watch = TopicWatch(self._name, stream, topics)
        self._require(common, state, watch)
        # Listening comes first, so that whoever waits for us can ask what we wait for; webhooks get 503 till then.
        delivering = DeliverRole(common, config.deliver) if Role.DELIVER in self._roles else None
        listener = await self._listen(common, delivering, stack)
        await connect(stream)
        stack.push_async_callback(stream.stop)
        if config.kafka.create_topics:
            await stream.ensure_topics(topic_specs(topics, self._name, config.kafka.partitions))
        await require_topics(stream, topics, self._name)
        await watch.look()
        self._spawn(watch.run(), stack)
        # Whose a name is comes before the accounts that have it.
        await self._follow(common, stack, topics.capabilities, accounts.apply_claim)
        await self._follow(common, stack, topics.accounts, accounts.apply)
        await self._follow(common, stack, topics.account_health, common.health.apply)
        await self._with_the_right_key(accounts)
        share_state(self._channel, common.store, blobs, accounts, config.service.private_key)
        await self._channel.start()
        stack.push_async_callback(self._channel.stop)
        if Role.NORMALISE in self._roles:
            await self._start_normalise(common, stack)
        if delivering is not None:
            await self._start_deliver(delivering, common, stack)
        if Role.MEDIA in self._roles:
            await self._start_media(common, stack)
        if Role.PULL in self._roles:
            await self._start_pull(common, stack)
        stack.push_async_callback(self._stop_reading)
        stack.push_async_callback(listener.stop)  # the first to stop, with the channel's own
        if Role.INGRESS in self._roles and isinstance(self._channel, Listens):
            self._door = IngressDoor(accounts, common.writer)
            stack.push_async_callback(self._channel.stop_listening)
            await self._channel.listen(self._door)
        self._checks.accepting = True
        self._spawn(self._checks.keep_watch(), stack)
        self._spawn(self._keep_watch(common.rhythms), stack)
        if Role.INGRESS in self._roles:
            self._spawn(self._register_webhooks(accounts), stack)

    def _trace(self, stack: AsyncExitStack) -> None:
        """Make spans, if somebody wants them; what is left of them is sent last."""
        settings = self._config.tracing
        if settings.endpoint is None:
            return
        from shared.runtime.spans import over_otlp  # what it needs is an extra

        spans = over_otlp(f"{self._name}-connector", settings.endpoint, settings.sample)
        tracing.use(spans)

        async def stop() -> None:
            tracing.use(None)
            ending = Thread(target=spans.stop, daemon=True)  # a collector that hangs must not hold us
            ending.start()
            await asyncio.to_thread(ending.join, tracing.STOP_SECONDS)

        stack.push_async_callback(stop)

    def _require(self, common: Common, state: Client, watch: TopicWatch) -> None:
        self._checks.require("kafka", common.stream.reachable)
        self._checks.require("topics", watch.missing)
        self._checks.warn(watch.uneven)
        self._checks.warn(self._waiting)
        if self._roles - {Role.INGRESS}:
            self._checks.require("state", state.reachable)
            self._checks.require("blobs", common.blobs.reachable)
        self._checks.require("accounts", self._tables_live)
        self._checks.require("sealing_key", self._key_opens)
        self._accounts = common.accounts
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

    async def _key_opens(self) -> bool:
        return self._accounts is not None and not self._accounts.locked_out

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
            metrics.OLDEST_OPEN.labels(self._name, role).set(_age(dispatcher.progress.oldest_ms))
        if self._dead is not None:
            present, oldest = self._dead.look(round(time() * 1000))
            metrics.DEAD_PRESENT.labels(self._name).set(present)
            metrics.OLDEST_DEAD.labels(self._name).set(_age(oldest))
        for role, parked in self._parked.items():
            metrics.OLDEST_PARKED.labels(self._name, role).set(_age(parked.oldest_ms))

    async def _keep_watch(self, rhythms: Rhythms) -> None:
        """What the broker has to be asked for, and who is silent; until cancelled."""
        while True:
            rhythms.check()
            for role, dispatcher in self._dispatchers.items():
                with suppress(LogUnavailable):
                    metrics.CONSUMER_LAG.labels(self._name, role).set(await dispatcher.progress.lag())
            await asyncio.sleep(CHECK_SECONDS)

    async def _listen(self, common: Common, delivering: DeliverRole | None, stack: AsyncExitStack) -> Server:
        def measure() -> None:
            self._measure()
            metrics.BYTES_IN_FLIGHT.labels(self._name).set(listener.bodies.held)
            metrics.CONNECTIONS_CLOSED.labels(self._name).inc(listener.connections.made_way())

        guard = ApiGuard(self._config.api, self._config.http.host)
        stack.push_async_callback(guard.close)
        listener = Server(self._config.http, self._checks, measure, guard)
        if guard.closed and self._roles & {Role.DELIVER, Role.MEDIA}:
            log.warning("api_closed", channel=self._name, missing_settings=["API_TOKENS"])
        if Role.INGRESS in self._roles:
            if isinstance(self._channel, NeedsSecrets) and (missing := self._channel.missing_secrets()):
                log.warning("webhooks_refused", channel=self._name, missing_settings=list(missing))
            listener.add_routes(IngressRole(common).routes(listener.bodies))
        if delivering is not None:
            listener.add_routes(delivering.routes(listener.bodies))
            self._connects_accounts(common, listener)
        if Role.MEDIA in self._roles:
            listener.add_routes(BlobAddresses(common.blobs).routes())
        await listener.start()
        stack.push_async_callback(listener.stop)
        return listener

    def _connects_accounts(self, common: Common, listener: Server) -> None:
        """What a product asks while somebody connects an account: where commands are delivered, so are these."""
        key, base_url = self._config.service.private_key, self._config.http.public_url
        check = AccountCheck(self._channel, common.accounts, listener.bodies, key, base_url)
        listener.add_routes(check.routes())
        if isinstance(self._channel, AsksConsent):
            consent = ConsentRoutes(
                self._channel,
                self._name,
                common.accounts,
                common.store,
                common.stream,
                common.topics,
                sealing_keys=key,
                public_url=base_url,
                return_urls=self._config.api.returns,
            )
            listener.add_routes(consent.routes())

    # --- roles

    async def _start_normalise(self, common: Common, stack: AsyncExitStack) -> None:
        role = NormaliseRole(common)
        stack.push_async_callback(role.close)
        retention = round(DEAD_RETENTION.total_seconds() * 1000)
        self._dead = PresentLetters(common.stream, common.topics.deadletter(self._name), retention)
        self._spawn(self._dead.run(), stack)
        if isinstance(self._channel, HasTemplates):
            await self._follow(common, stack, common.topics.templates(self._name), role.templates.apply)
            self._spawn(role.templates.run(), stack)
        await self._dispatch(common, stack, Role.NORMALISE, role.reading())

    async def _start_deliver(self, role: DeliverRole, common: Common, stack: AsyncExitStack) -> None:
        stack.push_async_callback(role.close)
        await self._dispatch(common, stack, Role.DELIVER, role.reading(), role.parked)
        self._spawn(role.probes.run(), stack)
        await self._follow(common, stack, common.topics.capabilities, role.teller.apply)
        self._spawn(role.teller.run(), stack)

    async def _start_media(self, common: Common, stack: AsyncExitStack) -> None:
        role = MediaRole(common, self._config.blobs.max_bytes)
        await self._dispatch(common, stack, Role.MEDIA, role.reading(), role.parked)

    async def _start_pull(self, common: Common, stack: AsyncExitStack) -> None:
        if not isinstance(self._channel, Pulls):
            return
        role = PullRole(common, self._channel, self._group(Role.PULL), self._config.service.instance)
        self._reads(role.puller, stack)
        self._tasks.append(asyncio.create_task(role.puller.run(), name="pull"))

    def _group(self, role: Role) -> str:
        return f"{self._config.kafka.topic_prefix}.{self._name}.{role}"

    async def _dispatch(
        self,
        common: Common,
        stack: AsyncExitStack,
        role: Role,
        reading: Reading,
        parked: ParkedRecords | None = None,
    ) -> None:
        # Only our own bugs pull the brake: what others send must not stop the consumer.
        brake = Brake(BUGS_IN_A_ROW)
        together = reading.wave

        async def handled(record: Record) -> None:
            about(record)
            with _span_of(role, record):
                await reading.handle(record)
            brake.release()

        async def wave(records: Sequence[Record]) -> Sequence[Record]:
            left = records if together is None else await together(records)
            if len(left) < len(records):
                brake.release()
            return left

        async def poisoned(record: Record, bug: Exception) -> None:
            log.error("record_poisoned", channel=self._name, role=role, exc_info=bug)
            too_large = isinstance(bug, RecordTooLarge)
            code = "too_large" if too_large else "internal"
            await common.dead.put(record, code, type(bug).__name__)
            metrics.DEAD_LETTERS.labels(self._name, code).inc()
            if reading.poisoned is not None:
                await reading.poisoned(record)
            if not too_large:  # what an operator's limit keeps out is no bug of ours
                brake.strike()

        def observe(outcome: str, record: Record, seconds: float) -> None:
            metrics.RECORDS.labels(self._name, role, outcome).inc()

        dispatcher = Dispatcher(
            common.stream,
            self._group(role),
            [reading.topic],
            handled,
            key_of=reading.lane_of,
            on_poison=poisoned,
            instance_id=self._config.service.instance,
            observe=observe,
            # Spans are of single records.
            wave=None if together is None or tracing.wanted() else wave,
            **reading.options,
        )
        self._dispatchers[role] = dispatcher
        await dispatcher.start()
        self._reads(dispatcher, stack)
        self._tasks.append(asyncio.create_task(dispatcher.wait(), name=role))
        if parked is not None:
            self._parked[role] = parked
            self._spawn(parked.run(dispatcher), stack)

    async def _follow(
        self, common: Common, stack: AsyncExitStack, topic: str, apply: Callable[[bytes, bytes | None], None]
    ) -> None:
        """Keep what a compacted topic says up to date; returns when all of it is known."""
        rejected = metrics.REJECTED.labels(self._name, topic)
        table = Table(common.stream, topic, apply, on_rejected=rejected.inc)
        await table.start()
        stack.push_async_callback(table.stop)
        await table.ready.wait()
        self._tables.append(table)

    async def _tables_live(self) -> bool:
        return bool(self._tables) and all(table.health == "live" for table in self._tables)

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

    async def _register_webhooks(self, accounts: AccountRegistry) -> None:
        """At start, make every webhook account's provider call us; what cannot be registered is said and left."""
        base_url = self._config.http.public_url
        if base_url is None or not isinstance(self._channel, RegistersWebhook):
            return
        for account in accounts:
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
