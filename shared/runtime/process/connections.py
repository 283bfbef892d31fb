"""What a process of a channel connects to: Kafka, the state store, by its settings."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from shared.channel import Channel, KeepsRaw, KeepsTokens, KeepsUploads, PacesCalls
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime import metrics
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.accounts.tokens import SealedTokens
from shared.runtime.inbound.door import RawBlobs
from shared.runtime.logs import aiokafka_heard
from shared.runtime.outbound.call_pace import CallPace
from shared.runtime.outbound.commands import LARGEST_RECORD
from shared.runtime.outbound.uploads import KeptUploads
from shared.runtime.settings import (
    ApiSettings,
    BlobSettings,
    DeliverSettings,
    HttpSettings,
    KafkaSettings,
    ServiceSettings,
    StateSettings,
    TracingSettings,
    WorkerSettings,
    read,
)
from shared.state.client import Client, Sentinels, Tls
from shared.state.store import Store
from shared.stream.errors import LogUnavailable
from shared.stream.kafka import KafkaLog, Security
from shared.stream.log import Log, TopicSpec
from shared.stream.tokens import ClientCredentials, MskTokens, Tokens

log = structlog.get_logger()

# How long Kafka waits for a member to give up its partitions. The dispatcher drains for two thirds of it; the rest is
# for cancelling what outlasts that, for the flush and for the commits.
REBALANCE_SECONDS = 60.0
START_SECONDS = 120.0  # how long a service waits for Kafka when it starts


@dataclass
class ServiceConfig:
    """All settings of a service, from the environment and files of secrets unless given."""

    service: ServiceSettings = field(default_factory=partial(read, ServiceSettings))
    kafka: KafkaSettings = field(default_factory=partial(read, KafkaSettings))
    state: StateSettings = field(default_factory=partial(read, StateSettings))
    blobs: BlobSettings = field(default_factory=partial(read, BlobSettings))
    http: HttpSettings = field(default_factory=partial(read, HttpSettings))
    api: ApiSettings = field(default_factory=partial(read, ApiSettings))
    deliver: DeliverSettings = field(default_factory=partial(read, DeliverSettings))
    workers: WorkerSettings = field(default_factory=partial(read, WorkerSettings))
    tracing: TracingSettings = field(default_factory=partial(read, TracingSettings))


def kafka_log(settings: KafkaSettings, client_id: str, channel: str = "") -> KafkaLog:
    """The log of a service's settings; what happens to it is counted as the channel's."""

    def observe(what: str, about: str) -> None:
        if what == "too_large":
            metrics.TOO_LARGE.labels(channel, about).inc()
        else:
            metrics.PRODUCER_RENEWALS.labels(channel, about).inc()
            log.warning("kafka_producer_renewed", channel=channel, why=about)

    return KafkaLog(
        settings.bootstrap,
        client_id=client_id,
        idempotent=settings.idempotent,
        security=_security(settings),
        send_timeout=settings.send_timeout,
        rebalance_timeout=REBALANCE_SECONDS,
        session_timeout=settings.session_timeout,
        max_record_bytes=LARGEST_RECORD,
        observe=observe,
    )


def _security(settings: KafkaSettings) -> Security:
    tls: ssl.SSLContext | None = None
    tokens: Tokens | None = None
    if "SSL" in settings.security_protocol:
        tls = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            tls.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    if settings.sasl_mechanism == "OAUTHBEARER" and settings.oauth_token_url and settings.oauth_client_secret:
        tokens = ClientCredentials(
            settings.oauth_token_url,
            settings.oauth_client_id or "",
            settings.oauth_client_secret.get_secret_value(),
            settings.oauth_scope,
        )
    elif settings.sasl_mechanism == "AWS_MSK_IAM" and settings.aws_region:
        tokens = MskTokens(settings.aws_region)
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    mechanism = "OAUTHBEARER" if tokens else settings.sasl_mechanism or "PLAIN"
    return Security(settings.security_protocol, mechanism, settings.sasl_username, password, tls, tokens)


def state_client(settings: StateSettings, on_failure: Callable[[str], None] = lambda kind: None) -> Client:
    """The state store of a service's settings."""
    sentinels = None
    if settings.sentinels is not None:
        named = (one.strip().rpartition(":") for one in settings.sentinels.split(","))
        password = settings.sentinel_password.get_secret_value() if settings.sentinel_password else None
        addresses = tuple((host.strip("[]"), int(port)) for host, _, port in named)
        sentinels = Sentinels(addresses, settings.sentinel_primary, password)
    return Client(
        settings.url.get_secret_value(),
        cluster=settings.cluster,
        tls=Tls(settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile),
        sentinels=sentinels,
        timeout=settings.timeout,
        on_failure=on_failure,
    )


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


def share_state(
    channel: Channel, store: Store, blobs: Blobs, accounts: AccountRegistry, sealing_key: str | None
) -> None:
    """Give a channel what it shares with its other replicas: tokens that rotate, the rate of the whole app, payloads
    as they came, ids of what was uploaded."""
    if isinstance(channel, KeepsRaw):
        channel.use_raw(RawBlobs(blobs))
    if isinstance(channel, KeepsTokens) and sealing_key is not None:
        channel.use_tokens(SealedTokens(channel.capabilities.channel, store, sealing_key, accounts.current))
    if isinstance(channel, PacesCalls):
        channel.use_pace(CallPace(channel, store))
    if isinstance(channel, KeepsUploads):
        channel.use_uploads(KeptUploads(channel.capabilities.channel, store))
