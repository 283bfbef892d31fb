"""What a service leans on: one log line when it goes, one when it comes back, and a gauge between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import structlog

from shared.runtime import metrics

log = structlog.get_logger()

# Seconds without a failure before it is said to be back: what refuses writes still answers reads, and what lets the
# probe through may refuse what is larger, so that failures and successes alternate during one and the same outage.
QUIET_SECONDS = 5.0


@dataclass(slots=True)
class _Known:
    """`away_since` is None while it is there; both times in monotonic seconds. `missed` counts probes in a row."""

    away_since: float | None = None
    failed_at: float = 0.0
    missed: int = 0


class Dependencies:
    """Kafka, the state store, the blob store and the like, of one channel's process, by name."""

    def __init__(self, channel: str, clock: Callable[[], float] = monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def failed(self, name: str, kind: str) -> None:
        """A call has failed: it is away. `kind` is the class of the answer (`OOM`, `AccessDenied`), never data."""
        known = self._of(name)
        known.failed_at = self._clock()
        if known.away_since is None:
            known.away_since = known.failed_at
            self._measure(name, False)
            log.warning("dependency_away", channel=self._channel, dependency=name, reply=kind)

    def missed(self, name: str, kind: str) -> None:
        """The probe of it has failed: away, when the next does, too. One may fail because the process had no time."""
        known = self._of(name)
        known.missed += 1
        if known.missed > 1:
            self.failed(name, kind)

    def answered(self, name: str) -> None:
        """The probe of it has succeeded: back, when nothing has failed for `QUIET_SECONDS`."""
        known, now = self._of(name), self._clock()
        known.missed = 0
        if known.away_since is not None and now - known.failed_at >= QUIET_SECONDS:
            away = round(now - known.away_since, 1)
            known.away_since = None
            log.info("dependency_back", channel=self._channel, dependency=name, seconds=away)
        self._measure(name, known.away_since is None)

    def _of(self, name: str) -> _Known:
        return self._known.setdefault(name, _Known())

    def _measure(self, name: str, up: bool) -> None:
        metrics.DEPENDENCY_UP.labels(self._channel, name).set(up)
