"""How far the reading of a dispatcher is: what lies before it, and how old what it has in hand is."""

from __future__ import annotations

from collections.abc import Mapping

from shared.stream.lanes import PartitionLanes
from shared.stream.log import LogConsumer
from shared.stream.records import INJECTED


class Progress:
    """Of the partitions that are ours; `shares` is the dispatcher's own table of them."""

    def __init__(self, consumer: LogConsumer, shares: Mapping[tuple[str, int], PartitionLanes]) -> None:
        self._consumer = consumer
        self._shares = shares

    async def lag(self) -> int:
        """Records that are not done with, read or not. Raises LogUnavailable."""
        shares = [share for share in self._shares.values() if share.ready and not share.draining]
        ends = await self._consumer.ends([share.partition for share in shares])
        lag = 0
        for share in shares:
            if share.partition in ends and self._shares.get(share.partition) is share:
                tracker = share.tracker
                at = tracker.watermark if tracker.held else await self._consumer.position(share.partition)
                lag += max(0, ends[share.partition] - at)
        return lag

    @property
    def oldest_ms(self) -> int | None:
        """Unix milliseconds of the oldest record in a lane, None without one; what was parked has its age there."""
        heads = (lane.records[0] for share in self._shares.values() for lane in share.lanes.values() if lane.records)
        return min((record.timestamp_ms for record in heads if record.offset != INJECTED), default=None)
