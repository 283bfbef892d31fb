"""Sound and video by libav: opened as what the first bytes say and as nothing else, measured, and found to be whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from PIL.Image import Image

from shared.media.codecs.pictures import small
from shared.media.facts import MOST_PIXELS, WAVEFORM_BARS, Facts, Look, Unfit

# libav guesses what a file is, and some guesses open other files and addresses. So it is told.
DEMUXERS = {
    **dict.fromkeys(("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"), "mov"),
    **dict.fromkeys(("video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska"), "matroska"),
    **dict.fromkeys(("audio/ogg", "video/ogg"), "ogg"),
    "video/mpeg": "mpeg",
    "video/mp2t": "mpegts",
    "video/x-msvideo": "avi",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "image/gif": "gif",
}
_CODECS = {"amrnb": "amr", "amrwb": "amr", "libopus": "opus", "mp3float": "mp3", "libvorbis": "vorbis"}
_MISSING = 0.02  # of the frames that an index promises
_WAVEFORM_RATE = 8000
_WAVEFORM_SECONDS = 600  # a longer recording is measured by its beginning
_THUMBNAIL_AT = 1.0  # seconds: the first frame is often black


@contextmanager
def opened(path: Path, mime_type: str) -> Iterator[InputContainer]:
    """The file as libav has it, with one thread for each decoder. Raises Unfit."""
    demuxer = DEMUXERS.get(mime_type)
    if demuxer is None:
        raise Unfit("no_such_codec")
    with path.open("rb") as file:
        if demuxer == "mpeg" and not file.peek(4).startswith(b"\x00\x00\x01\xba"):
            demuxer = "mpegvideo"  # the stream alone
        with _container(file, demuxer) as container:
            for stream in container.streams:
                if stream.type in ("video", "audio"):
                    stream.codec_context.thread_count = 1
            yield container


def _container(file: BufferedReader, demuxer: str) -> InputContainer:
    try:
        return av.open(file, "r", format=demuxer)
    except (av.error.FFmpegError, ValueError):
        raise Unfit("broken") from None


def look(path: Path, mime_type: str, thumbnail: Path | None, *, waveform: bool = False, whole: bool = False) -> Look:
    """`whole`: every frame that the index promises is there. Raises Unfit."""
    if whole and DEMUXERS.get(mime_type) == "mov":
        with opened(path, mime_type) as container:
            _counted(container)
    with opened(path, mime_type) as container:
        facts = facts_of(container, mime_type)
        has_picture = False
        if facts.video is not None:
            frame = _first_frame(container)
            facts = _upright(facts, frame)
            if thumbnail is not None:
                thumbnail.write_bytes(small(picture(frame)))
                has_picture = True
    if waveform and facts.audio is not None:
        with opened(path, mime_type) as container:
            return Look(facts, has_picture, _waveform(container))
    return Look(facts, has_picture)


def _counted(container: InputContainer) -> None:
    """Raises Unfit."""
    found = dict.fromkeys(range(len(container.streams)), 0)
    try:
        for packet in container.demux():
            found[packet.stream_index] += packet.size > 0
    except av.error.FFmpegError:
        raise Unfit("broken") from None
    for stream in container.streams:
        complete(found[stream.index], stream.frames)


def facts_of(container: InputContainer, mime_type: str) -> Facts:
    """What the container says of itself, before anything is decoded. Raises Unfit."""
    video = next(iter(container.streams.video), None)
    audio = next(iter(container.streams.audio), None)
    if video is None and audio is None:
        raise Unfit("broken")
    duration = container.duration / av.time_base if container.duration else None
    facts = Facts(mime_type, duration=duration)
    if video is not None and not video.disposition & av.stream.Disposition.attached_pic:
        context = video.codec_context
        if context is None or context.width * context.height > MOST_PIXELS:
            raise Unfit("too_large" if context is not None else "no_such_codec")
        high = "High" in (context.profile or "")
        plain = context.pix_fmt in ("yuv420p", "yuvj420p") and not (high and context.has_b_frames)
        facts = replace(facts, width=context.width, height=context.height, video=_name(context.name), plain=plain)
    if audio is not None and audio.codec_context is not None:
        facts = replace(facts, audio=_name(audio.codec_context.name), channels=audio.codec_context.channels)
    if facts.video is None and facts.audio is None:
        raise Unfit("no_such_codec")
    return facts


def _name(codec: str) -> str:
    return _CODECS.get(codec, codec)


def _upright(facts: Facts, frame: VideoFrame) -> Facts:
    width, height = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
    return replace(facts, width=width, height=height)


def _first_frame(container: InputContainer) -> VideoFrame:
    """A frame near the beginning, not the very first where there is time. Raises Unfit."""
    stream = container.streams.video[0]
    duration = (container.duration or 0) / av.time_base
    best = None
    try:
        for frame in container.decode(stream):
            best = frame
            if (frame.time or 0.0) >= min(_THUMBNAIL_AT, duration / 3):
                break
    except av.error.FFmpegError:
        if best is None:
            raise Unfit("broken") from None
    if best is None:
        raise Unfit("broken")
    return best


def picture(frame: VideoFrame) -> Image:
    """The frame as a picture, upright."""
    image: Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it so
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _waveform(container: InputContainer) -> tuple[int, ...]:
    """The loudest moment of each of 64 equal parts, from 0 to 100."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_WAVEFORM_RATE)
    step = _WAVEFORM_RATE // 50
    peaks: list[int] = []
    rest = memoryview(b"").cast("h")
    for frame in container.decode(container.streams.audio[0]):
        frame.pts = None
        for sampled in resampler.resample(frame):
            rest = memoryview(bytes(rest) + bytes(sampled.planes[0])[: sampled.samples * 2]).cast("h")
            while len(rest) >= step:
                peaks.append(max(max(rest[:step]), -min(rest[:step])))  # noqa: PLW3301  # flat it would be a call of 160 arguments
                rest = rest[step:]
        if len(peaks) > 50 * _WAVEFORM_SECONDS:
            break
    if not peaks:
        return ()
    loudest = max(peaks) or 1
    bars = min(WAVEFORM_BARS, len(peaks))
    parts = (peaks[len(peaks) * bar // bars : len(peaks) * (bar + 1) // bars] for bar in range(bars))
    return tuple(round(100 * max(part) / loudest) for part in parts)


def complete(found: int, promised: int) -> None:
    """Raises Unfit where fewer frames came than the index has promised: libav says nothing of a cut file."""
    if promised and found < promised * (1 - _MISSING):
        raise Unfit("broken")
