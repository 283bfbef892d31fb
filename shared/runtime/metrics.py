"""The catalogue of metrics: every name, its labels and what it counts. No label holds an id of a person.

Every name begins with `PREFIX`; those of the process itself have the names that dashboards know (`process_…`,
`python_gc_…`). Accounts are a label only where there are few: see `by_account`. `docs/metrics.md` is made of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from shared.contract.commands import CommandType
from shared.contract.errors import ErrorCode
from shared.contract.events import EventType, Health
from shared.contract.statuses import State
from shared.contract.version import version

PREFIX = "connector"
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, namespace=PREFIX, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, namespace=PREFIX, registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, namespace=PREFIX, registry=REGISTRY)


# ingress
WEBHOOKS = _counter("webhooks_total", "Webhook calls by answer.", "channel", "status")
WEBHOOK_SECONDS = _histogram("webhook_seconds", "From a webhook's last byte to our answer.", _QUICK, "channel")
RAW_ITEMS = _counter("raw_items_total", "Items put on the raw topic.", "channel")
BYTES_IN_FLIGHT = _gauge("bytes_in_flight", "Bytes of request bodies held at once.", "channel")
CONNECTIONS_CLOSED = _counter("connections_closed_total", "Connections closed because there were too many.", "channel")
UNREADABLE = _counter("unreadable_bodies_total", "Authentic bodies that could not be split.", "channel")

# normalise
EVENTS = _counter("events_total", "Events published, by type.", "channel", "type")
DUPLICATES = _counter("duplicate_events_total", "Events that were on the topic already.", "channel")
BLOCKED_DROPPED = _counter("blocked_dropped_total", "Messages of blocked contacts dropped by policy.", "channel")
UNSUPPORTED = _counter("unsupported_messages_total", "Messages published without modelled content.", "channel", "type")
LEFT_OUT = _counter("left_out_items_total", "Items that are no matter of an inbox, by kind.", "channel", "kind")
UNPARSED = _counter("unparsed_payloads_total", "Payloads whose parser has failed, by why.", "channel", "reason")
INGEST_SECONDS = _histogram("ingest_seconds", "From receipt to the event's ack.", _SLOW, "channel")
PROVIDER_LAG_SECONDS = _histogram("provider_lag_seconds", "From the provider's time to ours.", _SLOW, "channel")

# deliver
COMMANDS = _counter("commands_total", "Commands taken, by type.", "channel", "type")
STATUSES = _counter("statuses_total", "Statuses published, by state and error code.", "channel", "state", "code")
PROVIDER_CALLS = _counter("provider_calls_total", "Calls to the provider, by outcome.", "channel", "method", "outcome")
PROVIDER_SECONDS = _histogram("provider_call_seconds", "Duration of calls to the provider.", _SLOW, "channel")
PROVIDER_CODES = _counter(
    "provider_errors_total", "Errors by the provider's own code and ours.", "channel", "provider_code", "code"
)
TYPING_DROPPED = _counter("typing_dropped_total", "Typing commands not carried out, by reason.", "channel", "reason")
PARKED = _gauge("parked_commands", "Commands that wait on the parked topic.", "channel")
PARKING_FULL = _gauge("parking_full_partitions", "Partitions not read on: too much of them waits.", "channel", "role")
HELD_ACCOUNTS = _gauge("held_accounts", "Accounts whose provider gives no useful answers.", "channel")
DEFERRED = _counter("deferred_total", "Commands that had to wait, by reason.", "channel", "why")

COMMAND_SECONDS = _histogram(
    "command_seconds",
    "From a command's time to what its call came to (`sent` is accepted), with all waiting between.",
    _SLOW,
    "channel",
    "method",
    "outcome",
)
CONTACT_LOOKUPS = _counter("contact_lookups_total", "Contacts asked for by name, by outcome.", "channel", "outcome")
AVATARS = _counter("avatars_total", "Pictures of contacts asked for, by outcome.", "channel", "outcome")
TEMPLATE_SYNCS = _counter("template_syncs_total", "Times an account's templates were asked for.", "channel", "outcome")
TEMPLATES_BEHIND = _gauge(
    "template_accounts_behind", "Accounts whose templates could not be asked for last time.", "channel"
)
CALLS_DRAWN = _counter(
    "calls_drawn_total", "Calls drawn from an app's rate beside messages, by outcome.", "channel", "priority", "outcome"
)

# media and pull
PARKED_FILES = _gauge("parked_files", "Messages whose files wait, parked.", "channel")
FILES = _counter("files_total", "Inbound files, by outcome.", "channel", "outcome")
FILE_SECONDS = _histogram("file_seconds", "From publication to stored file.", _SLOW, "channel")
PREVIEWS = _counter("file_previews_total", "Stored files that were looked at, by outcome.", "channel", "outcome")
PULLS = _counter("pulls_total", "Pulls of accounts without a webhook, by outcome.", "channel", "outcome")

# all
DEPENDENCY_UP = _gauge("dependency_up", "1 while what a service leans on does its work.", "channel", "dependency")
DEAD_LETTERS = _counter("dead_letters_total", "Records put on the dead-letter topic, by code.", "channel", "code")
RECORDS = _counter("records_total", "Records by what became of them.", "channel", "role", "outcome")
STALLED = _gauge("stalled_lanes", "Keys whose record waits, by what for.", "channel", "role", "reason")
OPEN_RECORDS = _gauge("open_records", "Records read and not done with.", "channel", "role")
TOPIC_MISSING = _gauge(
    "topic_missing", "1 while a topic is missing, or nothing can be stored on it.", "channel", "topic"
)
TOO_LARGE = _counter(
    "records_too_large_total",
    "Records larger than their topic takes: shortened, or kept elsewhere.",
    "channel",
    "topic",
)
PRODUCER_RENEWALS = _counter(
    "producer_renewals_total", "Times the Kafka producer began anew, by why.", "channel", "why"
)
REJECTED = _counter("rejected_table_records_total", "Records of a table that could not be used.", "channel", "topic")
ACCOUNTS = _gauge("accounts", "Accounts by health.", "channel", "health")
ACCOUNT_RECORDS = _gauge("account_records", "Account records by how they stand here.", "channel", "standing")
READY = _gauge("ready", "1 while `/readyz` finds what a service leans on.", "channel", "dependency")
CONSUMER_LAG = _gauge("consumer_lag", "Records of our partitions that are not done with.", "channel", "role")
OLDEST_OPEN = _gauge(
    "oldest_open_seconds", "Age of the oldest record that is read and not done with, 0 without one.", "channel", "role"
)
OLDEST_PARKED = _gauge(
    "oldest_parked_seconds",
    "Age of the oldest record that is parked, 0 without one; what is for a later time by its own wish is left out.",
    "channel",
    "role",
)
DEAD_PRESENT = _gauge("dead_letters_present", "Dead letters that nobody has sent back.", "channel")
OLDEST_DEAD = _gauge("oldest_dead_letter_seconds", "Age of the oldest dead letter, 0 without one.", "channel")
BUILD = _gauge("build_info", "Always 1; the labels say what runs.", "channel", "contract", "python")
ANOMALIES = _counter("anomalies_total", "Facts that contradict what we knew.", "channel", "kind")


# by account: see `shared.runtime.reporting.by_account`
ACCOUNT_SENDS = _counter("account_sends_total", "Parts of messages that the provider took.", "channel", "account")
ACCOUNT_ERRORS = _counter("account_errors_total", "Calls that the provider refused.", "channel", "account")
ACCOUNT_WINDOWS = _counter(
    "account_window_refusals_total", "Messages refused because their window is closed.", "channel", "account"
)
ACCOUNT_WEBHOOK = _gauge(
    "account_last_webhook_timestamp_seconds",
    "When the account last told us something (webhook, pull or mail), in Unix seconds.",
    "channel",
    "account",
)
ACCOUNT_SILENT = _gauge(
    "account_silent",
    "1 while an account tells nothing that told something all the time, 0 while it does; "
    "it is silent when all replicas that know it say 1.",
    "channel",
    "account",
)

_ANSWERS = ("200", "400", "401", "404", "408", "413", "415", "503")
_OUTCOMES = ("handled", "retried", "not_now", "overdue", "poisoned", "given_up")
_DEAD = (
    "unreadable",
    "unknown_account",
    "account_sealed",
    "foreign_app",
    "body_missing",
    "body_unavailable",
    "internal",
    "too_large",
)


def begin(channel: str, roles: Iterable[str]) -> None:
    """Let every series whose labels are known begin at 0: what has not happened is no missing series."""
    BUILD.labels(channel, version(), python_version()).set(1)
    for metric in (RAW_ITEMS, CONNECTIONS_CLOSED, UNREADABLE, DUPLICATES, BLOCKED_DROPPED, INGEST_SECONDS):
        metric.labels(channel)
    for gauge in (PARKED, PARKED_FILES, HELD_ACCOUNTS, DEAD_PRESENT, OLDEST_DEAD):
        gauge.labels(channel)
    for metric, values in (
        (WEBHOOKS, _ANSWERS),
        (EVENTS, EventType),
        (COMMANDS, CommandType),
        (DEAD_LETTERS, _DEAD),
    ):
        for value in values:
            metric.labels(channel, value)
    for health in Health:
        ACCOUNTS.labels(channel, health)
    for state in State:
        STATUSES.labels(channel, state, "")
    # What alerts wait for: the first of them is a rise, too.
    STATUSES.labels(channel, State.UNCERTAIN, ErrorCode.UNCERTAIN)
    for state in (State.FAILED, State.REJECTED):
        STATUSES.labels(channel, state, ErrorCode.INTERNAL)
    PRODUCER_RENEWALS.labels(channel, "dead")
    for role in roles:
        for gauge in (OPEN_RECORDS, CONSUMER_LAG, OLDEST_OPEN, OLDEST_PARKED, PARKING_FULL):
            gauge.labels(channel, role)
        for outcome in _OUTCOMES:
            RECORDS.labels(channel, role, outcome)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
