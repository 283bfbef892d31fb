"""Dead letters: records that cannot be read or handled, kept whole, and sent back by one command."""

from __future__ import annotations

from collections.abc import Callable

from shared.stream.log import Log
from shared.stream.records import Record


class Brake:
    """Counts dead letters in a row. More than `limit` of them raise BrakePulled."""

    def __init__(self, limit: int) -> None: ...

    def strike(self) -> None:
        """One more. Raises BrakePulled beyond the limit."""

    def release(self) -> None:
        """A record was handled well: the row is broken."""


class DeadLetters:
    """Writes dead letters to `topic_of(source topic)`; with a brake if one is given."""

    def __init__(
        self,
        log: Log,
        topic_of: Callable[[str], str],
        *,
        brake: Brake | None = None,
        now_ms: Callable[[], int] = ...,
    ) -> None: ...

    async def put(self, record: Record, code: str, detail: str) -> None:
        """Keep the record: key, value, headers, and `dl_code, dl_detail, dl_topic, dl_partition, dl_offset, dl_time`.

        Returns after the ack. `detail` must hold no personal data (an exception's type, not its text).
        Raises LogUnavailable; BrakePulled (after the ack) beyond the brake's limit.
        """

    async def redrive(
        self, topic: str, *, to: str | None = None, limit: int | None = None, only_code: str | None = None
    ) -> int:
        """Send the dead letters of `topic` back to where they came from (or to `to`), each once.

        Original headers, `dl_*` removed. Works up to the end of the topic at the time of the call; what
        `only_code` leaves out stays for another call (it is appended to the topic again). Returns how many were
        sent. Progress is the consumer group `redrive`, committed after each ack.
        """
