"""Redrive: what is needed to bring a dead letter back that cannot simply be put where it came from."""

from __future__ import annotations

import structlog

from shared.channel import Channel, WebhookRequest
from shared.contract.topics import Topics
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.runtime.inbound.raw import RawWriter, read_raw
from shared.stream.deadletter import BLOB
from shared.stream.errors import LogUnavailable
from shared.stream.records import Record, header

log = structlog.get_logger()


class UnreadableBodies:
    """Splits bodies that ingress could not split: after a fix they are readable. For `DeadLetters.redrive`."""

    def __init__(self, channel: Channel, writer: RawWriter, blobs: Blobs, topics: Topics) -> None:
        self._channel = channel
        self._writer = writer
        self._blobs = blobs
        self._name = channel.capabilities.channel
        self._topic = topics.raw(self._name).encode()
        self.still_unreadable = 0
        """How many letters could not be split this time either."""

    async def split(self, letter: Record) -> bool | None:
        """Whether the items of a body are on the raw topic now, as of when it was received; None for other letters.

        Raises LogUnavailable.
        """
        route = header(letter, "route")
        if route is None or header(letter, "dl_topic") != self._topic:
            return None
        raw, aside = read_raw(letter), header(letter, BLOB)
        try:
            body = letter.value or b"" if aside is None else await self._blobs.read(aside.decode())
            items = self._channel.unbatch(WebhookRequest("POST", route.decode(), {}, {}, body))
        except BlobsUnavailable as away:
            raise LogUnavailable("the blob store is away") from away
        except Exception as unreadable:  # a bug of ours, too, leaves it where it is safe
            if not isinstance(unreadable, ValueError):
                log.error("unbatch_failed", channel=self._name, exc_info=unreadable)
            self.still_unreadable += 1
            return False
        await self._writer.write(items, received_at=raw.received_at)
        return True
