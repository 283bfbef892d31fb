"""Fixtures that more than one folder uses."""

from __future__ import annotations

from tests.integration.brokers import broker, kafka_broker, log, tansu_broker, unique

__all__ = ["broker", "kafka_broker", "log", "tansu_broker", "unique"]
