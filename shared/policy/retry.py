"""When to try again: the one back-off of the connectors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_exponential_jitter

_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=60.0, exp_base=2, jitter=0.5)


def retry_after(header: str | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds of a `Retry-After` header, a number or an HTTP date (RFC 9110 §10.2.3); None for anything else."""
    given = (header or "").strip()
    if given.isascii() and given.isdigit():
        return float(given[:9])
    try:
        moment = parsedate_to_datetime(given[:64])
        return max(0.0, (moment - clock()).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
        return None


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): half a second, doubling, a minute at most."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # the wait reads the attempt alone
    state.attempt_number = attempt
    return _BACKOFF(state)
