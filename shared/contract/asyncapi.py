"""The AsyncAPI 3 document of the contract: every topic, who writes and reads it, and the records on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contract import bundle, ids, schemas
from shared.contract.envelope import source
from shared.contract.schemas import RecordType
from shared.contract.templates import TemplateRecord
from shared.contract.topics import LARGEST_MESSAGE, Topic, Topics
from shared.contract.version import version

_CHANNEL = "{channel}"

_ABOUT = """\
What channel connectors publish for an inbox, and what they accept from it.

Guarantees, on every topic that connectors publish to:

- **At least once, same `ce_id` on a repeat.** A fact that has an id at the provider keeps its `ce_id` for ever:
  after a redelivered webhook, a restart or a replay. A reader that remembers the ids it has seen sees each fact once.
- **In order per conversation.** All records of a conversation have one key and so stand in one partition, in the
  order in which they happened as far as the provider tells it.
- **Additive.** Within a type's version fields and enumeration values are added, never removed or changed. A reader
  ignores fields it does not know and treats an unknown value as "other". What is not additive is a new version.

The envelope is CloudEvents 1.0 in Kafka's binary content mode: attributes in `ce_` headers, JSON in the value, absent
fields left out. Times are RFC 3339, UTC, with milliseconds. A record without a value on a compacted topic removes
what its key names. The topic prefix `channels` is a setting.

Whoever creates the topics gives all topics of one channel the same number of partitions, so that a conversation has the
same partition on each of them; connectors do not start otherwise.
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """A topic, what it is called in the document, what is on it, and whether connectors write or read it."""

    name: str
    topic: Topic
    title: str
    text: str
    records: tuple[RecordType, ...] = ()
    sends: bool = False
    receives: bool = False


def _rows() -> tuple[_Row, ...]:
    topics = Topics()
    accounts, health, capabilities = topics.shared()
    raw, inbound, outbound, statuses, state, templates, parked, parked_files, dead = topics.of_channel(_CHANNEL)
    return (
        _Row("accounts", accounts, "Accounts", "The accounts to serve.", (schemas.ACCOUNT,), receives=True),
        _Row("accountHealth", health, "Account health", "How each account is.", (schemas.HEALTH,), sends=True),
        _Row(
            "capabilities",
            capabilities,
            "Capabilities",
            "What the channel can do for each account: limits, files, windows, replies, typing.",
            (schemas.CAPABILITIES,),
            sends=True,
        ),
        _Row("raw", raw, "Raw items", "Webhook items as received. Internal.", sends=True, receives=True),
        _Row("inbound", inbound, "Events", "What happened in a conversation.", schemas.EVENTS, sends=True),
        _Row("outbound", outbound, "Commands", "What connectors are asked to do.", schemas.COMMANDS, receives=True),
        _Row("statuses", statuses, "Statuses", "What became of every command.", (schemas.STATUS,), sends=True),
        _Row(
            "state",
            state,
            "Conversation state",
            "What a conversation would accept now: window, quota, what is allowed, and why not.",
            (schemas.STATE,),
            sends=True,
        ),
        _Row(
            "templates",
            templates,
            "Message templates",
            "The templates that an account can send, where the channel has such (WhatsApp); else nothing.",
            (schemas.TEMPLATE,),
            sends=True,
        ),
        _Row("parked", parked, "Parked commands", "Commands that wait. Internal.", sends=True, receives=True),
        _Row(
            "parkedFiles",
            parked_files,
            "Parked files",
            "Messages whose files cannot be fetched yet. Internal.",
            sends=True,
            receives=True,
        ),
        _Row("deadletter", dead, "Dead letters", "Records that could not be read or handled, whole.", sends=True),
    )


def document() -> dict[str, Any]:
    """The whole document as plain data."""
    rows = _rows()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Channel connectors", "version": version(), "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {row.name: _channel(row) for row in rows},
        "operations": dict(operation for row in rows for operation in _operations(row)),
        "components": {
            "schemas": {"CloudEventHeaders": _CLOUD_EVENT_HEADERS, "DeadLetterHeaders": _DEAD_LETTER_HEADERS},
            "messages": {
                **{_message_name(record): _message(record) for row in rows for record in row.records},
                **_OPAQUE_MESSAGES,
            },
        },
    }


def _channel(row: _Row) -> dict[str, Any]:
    topic = row.topic
    entry: dict[str, Any] = {
        "address": topic.name,
        "title": row.title,
        "description": f"{row.text} Key: {topic.key}. Written by {topic.written_by}; read by {topic.read_by}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_of(row)},
    }
    if _CHANNEL in topic.name:
        entry["parameters"] = {
            "channel": {
                "description": "The channel: the name of its folder in `services/`.",
                "examples": ["telegram", "whatsapp", "tiktok"],
            }
        }
    entry["bindings"] = {"kafka": {"topicConfiguration": _topic_configuration(topic), "bindingVersion": "0.5.0"}}
    entry["x-key"] = topic.key
    entry["x-guarantees"] = {
        "delivery": "at least once",
        "repeat": "same ce_id on a repeat" if row.records else "same bytes on a repeat",
        "order": _order(row),
    }
    return entry


def _order(row: _Row) -> str:
    if row.records == (schemas.TEMPLATE,):
        return "in order per template"
    return "in order per conversation" if _CHANNEL in row.topic.name else "in order per account"


def _topic_configuration(topic: Topic) -> dict[str, Any]:
    size = {"max.message.bytes": LARGEST_MESSAGE}
    if topic.retention is None:
        return {"cleanup.policy": ["compact"], **size}
    return {"cleanup.policy": ["delete"], "retention.ms": int(topic.retention.total_seconds() * 1000), **size}


def _operations(row: _Row) -> list[tuple[str, dict[str, Any]]]:
    suffix = row.name[0].upper() + row.name[1:]
    wanted = (("send", "publish", row.sends), ("receive", "read", row.receives))
    return [
        (
            f"{verb}{suffix}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{row.name}"},
                "title": f"{verb.capitalize()} {row.title.lower()}",
                "messages": [{"$ref": f"#/channels/{row.name}/messages/{name}"} for name in _messages_of(row)],
            },
        )
        for action, verb, applies in wanted
        if applies
    ]


def _messages_of(row: _Row) -> tuple[str, ...]:
    opaque = {"raw": "rawItem", "parked": "parkedCommand", "parkedFiles": "parkedFiles", "deadletter": "deadLetter"}
    return tuple(_message_name(record) for record in row.records) or (opaque[row.name],)


def _message_name(record: RecordType) -> str:
    first, *others = record.name.replace("_", ".").split(".")
    return first + "".join(other.capitalize() for other in others)


def _message(record: RecordType) -> dict[str, Any]:
    headers = {
        "title": f"{record.title}Headers",
        "type": "object",
        "allOf": [{"$ref": "#/components/schemas/CloudEventHeaders"}],
        "properties": {"ce_type": _text("What the record is, with its version.", const=record.ce_type)},
    }
    bare = record is schemas.ACCOUNT  # often written by hand or by a script: key and value are all that is read
    return {
        "name": record.ce_type,
        "title": record.title,
        "summary": record.about,
        **({} if bare else {"headers": headers}),
        "payload": {"$ref": f"./{bundle.FILE}#/$defs/{record.title}"},
        "examples": [
            {"payload": example, **({} if bare else {"headers": _example_headers(record, example)})}
            for example in record.examples
        ],
    }


def _example_headers(record: RecordType, example: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of an example, as its headers would have them."""
    subject = example.get("conversation_id", example["account_id"])
    if record is schemas.TEMPLATE:
        subject = TemplateRecord.model_validate(example).key
    channel = example.get("channel") or example.get("capabilities", {}).get("channel") or subject.partition(":")[0]
    ours = record.direction == "published"
    moments = (example.get(name) for name in ("occurred_at", "updated_at", "served_since"))
    return {
        "ce_specversion": "1.0",
        "ce_id": example.get("command_id") or ids.event_id(channel, example["account_id"], subject, record.name),
        "ce_type": record.ce_type,
        "ce_source": source(channel, example["account_id"]) if ours else "/inbox",
        "ce_subject": subject,
        "ce_time": next(filter(None, moments), "2026-11-22T10:00:00.000Z"),
        "content-type": "application/json",
    }


def _text(description: str, **rules: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **rules}


_CLOUD_EVENT_HEADERS: dict[str, Any] = {
    "title": "CloudEventHeaders",
    "type": "object",
    "description": "CloudEvents attributes as Kafka record headers, UTF-8.",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": _text("The version of CloudEvents.", const="1.0"),
        "ce_id": _text("Of the fact: the same on every repeat."),
        "ce_type": _text(
            "What the record is, with its version.", pattern=r"^channels\.[a-z_]+\.[a-z_]+\.v[1-9][0-9]*$"
        ),
        "ce_source": _text("/channels/<channel>/<account_id>"),
        "ce_subject": _text("The record key: conversation_id, account_id, or that of a template."),
        "ce_time": _text("When it happened.", format="date-time"),
        "content-type": _text("Of the value.", const="application/json"),
        "traceparent": _text("W3C trace context, where there is a trace."),
    },
}

_DEAD_LETTER_HEADERS: dict[str, Any] = {
    "title": "DeadLetterHeaders",
    "type": "object",
    "description": "The headers of the original record and where it comes from.",
    "required": ["dl_code", "dl_detail", "dl_topic", "dl_partition", "dl_offset", "dl_time"],
    "properties": {
        "dl_code": _text("A stable code for why it is here."),
        "dl_detail": _text("A sentence about it, free of personal data."),
        "dl_topic": _text("The topic it was read from."),
        "dl_partition": _text("Decimal."),
        "dl_offset": _text("Decimal; -1 for a record that was never on a topic."),
        "dl_time": _text("Unix time in milliseconds, decimal."),
        "dl_sent_back": _text(
            "On a mark, which is no letter and has the code `sent_back`: offsets of letters before it on its partition "
            "that have been sent back, decimal, with commas between them."
        ),
    },
}

_BYTES = {"type": "string", "format": "binary"}

_OPAQUE_MESSAGES: dict[str, Any] = {
    "rawItem": {
        "title": "raw item",
        "summary": "One item of a webhook body or of a poll. Connectors only; its form may change at any time.",
        "contentType": "application/octet-stream",
        "payload": _BYTES,
    },
    "parkedCommand": {
        "title": "parked command",
        "summary": "A command that waits for its time. Connectors only; its form may change at any time.",
        "contentType": "application/octet-stream",
        "payload": _BYTES,
    },
    "parkedFiles": {
        "title": "parked files",
        "summary": "A message whose files are waited for. Connectors only; its form may change at any time.",
        "contentType": "application/octet-stream",
        "payload": _BYTES,
    },
    "deadLetter": {
        "title": "dead letter",
        "summary": "The original bytes under the original key. `redrive` sends them back where they came from.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": _BYTES,
    },
}
