"""The catalogue of metrics: every name, its labels and what it counts. No label holds an id of a person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry(auto_describe=True)
_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


# ingress
WEBHOOKS = _counter("webhooks_total", "Webhook calls by answer.", "channel", "status")
WEBHOOK_SECONDS = _histogram("webhook_seconds", "From a webhook's last byte to our answer.", _QUICK, "channel")
RAW_ITEMS = _counter("raw_items_total", "Items put on the raw topic.", "channel")
BYTES_IN_FLIGHT = Gauge("bytes_in_flight", "Bytes of request bodies held at once.", ["channel"], registry=REGISTRY)
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
PARKED = Gauge("parked_commands", "Commands that wait on the parked topic.", ["channel"], registry=REGISTRY)
PARKING_FULL = Gauge(
    "parking_full_partitions", "Partitions not read on: too much of them waits.", ["channel", "role"], registry=REGISTRY
)
HELD_ACCOUNTS = Gauge(
    "held_accounts", "Accounts whose provider gives no useful answers.", ["channel"], registry=REGISTRY
)
DEFERRED = _counter("deferred_total", "Commands that had to wait, by reason.", "channel", "why")

CONTACT_LOOKUPS = _counter("contact_lookups_total", "Contacts asked for by name, by outcome.", "channel", "outcome")
AVATARS = _counter("avatars_total", "Pictures of contacts asked for, by outcome.", "channel", "outcome")
CALLS_DRAWN = _counter(
    "calls_drawn_total", "Calls drawn from an app's rate beside messages, by outcome.", "channel", "priority", "outcome"
)

# media and pull
PARKED_FILES = Gauge("parked_files", "Messages whose files wait, parked.", ["channel"], registry=REGISTRY)
FILES = _counter("files_total", "Inbound files, by outcome.", "channel", "outcome")
FILE_SECONDS = _histogram("file_seconds", "From publication to stored file.", _SLOW, "channel")
PREVIEWS = _counter("file_previews_total", "Stored files that were looked at, by outcome.", "channel", "outcome")
PULLS = _counter("pulls_total", "Pulls of accounts without a webhook, by outcome.", "channel", "outcome")

# all
DEPENDENCY_UP = Gauge(
    "dependency_up", "1 while what a service leans on does its work.", ["channel", "dependency"], registry=REGISTRY
)
DEAD_LETTERS = _counter("dead_letters_total", "Records put on the dead-letter topic, by code.", "channel", "code")
RECORDS = _counter("records_total", "Records by what became of them.", "channel", "role", "outcome")
STALLED = Gauge(
    "stalled_lanes", "Keys whose record waits, by what for.", ["channel", "role", "reason"], registry=REGISTRY
)
OPEN_RECORDS = Gauge("open_records", "Records read and not done with.", ["channel", "role"], registry=REGISTRY)
TOPIC_MISSING = Gauge(
    "topic_missing",
    "1 while a topic is missing, or nothing can be stored on it.",
    ["channel", "topic"],
    registry=REGISTRY,
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
ACCOUNTS = Gauge("accounts", "Accounts by health.", ["channel", "health"], registry=REGISTRY)
ACCOUNT_RECORDS = Gauge(
    "account_records", "Account records by how they stand here.", ["channel", "standing"], registry=REGISTRY
)
ANOMALIES = _counter("anomalies_total", "Facts that contradict what we knew.", "channel", "kind")


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
