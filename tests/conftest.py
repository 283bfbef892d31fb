"""Fixtures that more than one folder uses."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.integration.brokers import broker, kafka_broker, log, tansu_broker, unique

__all__ = ["broker", "kafka_broker", "log", "tansu_broker", "unique"]

# The same examples in each run, and no clock: what fails on a busy machine says nothing of the code. New ones are tried
# where there is time for it, by `HYPOTHESIS=random`.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS", "steady"))
