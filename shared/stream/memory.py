"""The log in memory: the twin of `KafkaLog` that passes the same suite."""

from __future__ import annotations


class MemoryLog:
    """See `Log`. One instance is one broker; `available = False` makes it unreachable."""

    def __init__(self, *, rebalance_timeout: float = 30.0, send_timeout: float = 5.0) -> None: ...
