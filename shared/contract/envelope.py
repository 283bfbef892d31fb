"""The envelope: CloudEvents 1.0 in Kafka's binary content mode, and structured mode for the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.contract.base import Model, rfc3339

TYPE_PREFIX = "channels."
_VERSIONED = re.compile(r"channels\.(?P<name>[a-z_]+\.[a-z_]+)\.v(?P<version>[1-9][0-9]*)")
_CONTENT_TYPE = ("content-type", b"application/json")
_SPEC_VERSION = ("ce_specversion", b"1.0")

Headers = tuple[tuple[str, bytes], ...]


def type_name(name: str, version: int = 1) -> str:
    """`message.received` → `channels.message.received.v1`."""
    return f"{TYPE_PREFIX}{name}.v{version}"


def parse_type(value: str) -> tuple[str, int]:
    """`channels.message.send.v1` → (`message.send`, 1). Raises ValueError for anything else."""
    match = _VERSIONED.fullmatch(value)
    if match is None:
        raise ValueError("not a type of this contract")
    return match["name"], int(match["version"])


def source(channel: str, account_id: str) -> str:
    """`ce_source` of what a connector publishes for an account."""
    return f"/channels/{channel}/{account_id}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One CloudEvent: attributes and data. `key` is the record key, which is the subject."""

    id: str
    type: str
    source: str
    subject: str
    time: str
    data: Model
    traceparent: str | None = None

    @property
    def key(self) -> bytes:
        return self.subject.encode()

    def headers(self) -> Headers:
        """Record headers in binary content mode."""
        attributes = (
            _SPEC_VERSION,
            ("ce_id", self.id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_subject", self.subject.encode()),
            ("ce_time", self.time.encode()),
            _CONTENT_TYPE,
        )
        return attributes if self.traceparent is None else (*attributes, ("traceparent", self.traceparent.encode()))

    def structured(self) -> dict[str, Any]:
        """The event in structured content mode, as a JSON-able dictionary."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": self.data.model_dump(mode="json", exclude_none=True, by_alias=True),
        }


def attributes(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """CloudEvents attributes of a record's headers without their `ce_` prefix, and `traceparent`.

    Header bytes that are no UTF-8 are replaced: an odd header must not cost the record.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith("ce_"):
            found[name[3:]] = value.decode("utf-8", "replace")
        elif name == "traceparent":
            found[name] = value.decode("ascii", "replace")
    return found


__all__ = ["Envelope", "Headers", "attributes", "parse_type", "rfc3339", "source", "type_name"]
