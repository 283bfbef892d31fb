"""The topics: names, keys, cleanup, retention, and who writes and reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

LARGEST_MESSAGE = 1_114_112
"""Bytes (`max.message.bytes`) that every topic must take: key and value of up to 1 MiB, and 64 KiB for headers."""

DEAD_RETENTION = timedelta(days=30)
"""How long a dead letter can be sent back."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as the contract declares it; `retention` is None for a compacted topic."""

    name: str
    key: str
    written_by: str
    read_by: str
    retention: timedelta | None

    @property
    def compacted(self) -> bool:
        return self.retention is None


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics under one prefix (`channels` unless a setting says otherwise)."""

    prefix: str = "channels"

    @property
    def accounts(self) -> str:
        return f"{self.prefix}.accounts"

    @property
    def account_health(self) -> str:
        return f"{self.prefix}.account-health"

    @property
    def capabilities(self) -> str:
        return f"{self.prefix}.capabilities"

    def raw(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.raw"

    def inbound(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.inbound"

    def outbound(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.outbound"

    def statuses(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.statuses"

    def state(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.state"

    def templates(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.templates"

    def parked(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.parked"

    def parked_files(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.parked-files"

    def deadletter(self, channel: str) -> str:
        return f"{self.prefix}.{channel}.deadletter"

    def shared(self) -> tuple[Topic, ...]:
        """Topics that all channels share."""
        return (
            Topic(self.accounts, "account_id", "operators, inbox core", "connectors", None),
            Topic(self.account_health, "account_id", "connectors", "inbox core", None),
            Topic(self.capabilities, "account_id", "connectors", "inbox core", None),
        )

    def of_channel(self, channel: str) -> tuple[Topic, ...]:
        """Topics of one channel: all with the same number of partitions, so one conversation is one order."""
        week = timedelta(days=7)
        return (
            Topic(self.raw(channel), "conversation key of the payload", "ingress, pull", "normalise", week),
            Topic(self.inbound(channel), "conversation_id", "normalise", "inbox core", week),
            Topic(self.outbound(channel), "conversation_id", "inbox core", "deliver", week),
            Topic(self.statuses(channel), "conversation_id", "normalise, deliver", "inbox core", week),
            Topic(self.state(channel), "conversation_id", "normalise, deliver", "inbox core", None),
            Topic(self.templates(channel), "account_id:name:language", "normalise", "inbox core", None),
            Topic(self.parked(channel), "command_id", "deliver", "deliver", None),
            Topic(self.parked_files(channel), "ce_id of the message", "media", "media", None),
            Topic(self.deadletter(channel), "key of the original", "connectors", "operators", DEAD_RETENTION),
        )
