"""When to try again: the one back-off of the connectors."""

from __future__ import annotations

from tenacity import RetryCallState, wait_exponential_jitter

_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=60.0, exp_base=2, jitter=0.5)


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): half a second, doubling, a minute at most."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempt
    return _BACKOFF(state)
