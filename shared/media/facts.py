"""What is known of a file once it has been opened, and why one cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MOST_PIXELS = 50_000_000  # of a picture or a frame: 150 MB once decoded; phones make up to 50 million
THUMBNAIL_SIDE = 512  # pixels, of the longer side
THUMBNAIL_BYTES = 100_000
WAVEFORM_BARS = 64

Reason = Literal["broken", "too_large", "too_long", "no_such_codec", "too_slow"]


class Unfit(Exception):
    """A file cannot be looked at or converted: it is broken, or it would become more than is allowed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Facts:
    """Pixels as they are shown (after rotation), seconds, codecs by their usual names.

    `plain` says of H.264 that every phone plays it: 8 bit 4:2:0, and no B-frames in its High profile. `deep` is a
    picture with more than 8 bits a channel, or in colours of print.
    """

    mime_type: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    animated: bool | None = None
    video: str | None = None
    audio: str | None = None
    channels: int | None = None
    plain: bool | None = None
    deep: bool | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a file; the thumbnail, a JPEG, is beside it where one was asked for and could be made."""

    facts: Facts
    thumbnail: bool = False
    waveform: tuple[int, ...] = ()
