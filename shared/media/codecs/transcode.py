"""Sound and video written as what a channel takes; only copied into another container where the codecs fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.video.frame import VideoFrame

from shared.media.codecs.containers import complete, facts_of, opened
from shared.media.facts import Facts, Unfit

MOST_SOUND = 2 * 3600.0  # seconds that are written
MOST_FRAMES = 3600
MOST_FRAME_PIXELS = 3600 * 1920 * 1080  # of all frames together
_OPUS = {"rate": 48000, "frame": 960, "voice": 32_000, "long": 24_000}
_LONG_VOICE = 150.0  # seconds, from which on 32 kb/s would be more than the 512 KB that WhatsApp plays as a voice note
_AAC_RATE, _AAC_BITS = 44100, 96_000
_NOTE_SIDE = 384
_SIDES = ((1_500_000, 1280), (600_000, 848), (200_000, 640), (80_000, 426))  # bits a second, and the side they do for
_ROOM = 0.85  # of the limit: what an encoder is asked for is not what it gives


def voice(path: Path, mime_type: str, target: Path) -> Facts:
    """Mono Opus in an Ogg file. Raises Unfit."""
    with opened(path, mime_type) as source:
        facts = facts_of(source, mime_type)
        if facts.audio is None:
            raise Unfit("no_such_codec")
        if (facts.duration or 0) > MOST_SOUND:
            raise Unfit("too_long")
        with _written(target, "ogg") as made:
            if facts.audio == "opus" and facts.channels == 1:
                _copy(source, made, [source.streams.audio[0]])
            else:
                long = (facts.duration or 0) > _LONG_VOICE
                bounded = {"application": "voip", "vbr": "constrained"}
                stream = made.add_stream("libopus", rate=_OPUS["rate"], layout="mono", options=bounded)
                stream.bit_rate = _OPUS["long" if long else "voice"]
                _encode_sound(source, made, stream, _resampler("s16", "mono", _OPUS["rate"], _OPUS["frame"]))
    return _found(target, "audio/ogg")


def sound(path: Path, mime_type: str, target: Path) -> Facts:
    """AAC in an MP4 file (M4A). Raises Unfit."""
    with opened(path, mime_type) as source:
        facts = facts_of(source, mime_type)
        if facts.audio is None:
            raise Unfit("no_such_codec")
        if (facts.duration or 0) > MOST_SOUND:
            raise Unfit("too_long")
        with _written(target, "ipod") as made:  # libav's name for M4A
            if facts.audio == "aac":
                _copy(source, made, [source.streams.audio[0]])
            else:
                _encode_sound(source, made, *_aac(made, facts))
    return _found(target, "audio/mp4")


def video(path: Path, mime_type: str, target: Path, limits: dict[str, Any]) -> Facts:
    """H.264 and AAC in an MP4 file, its index first: copied where the codecs fit, and the size does. Raises Unfit.

    `max_bytes`; `plain` for no B-frames in the High profile; `note` for a small square of at most `max_duration`.
    """
    most = limits["max_bytes"]
    with opened(path, mime_type) as source:
        facts = facts_of(source, mime_type)
        if facts.video is None:
            raise Unfit("no_such_codec")
        if (longest := limits.get("max_duration")) and (facts.duration or 0) > longest:
            raise Unfit("too_long")
        fits = facts.video == "h264" and (facts.plain or not limits.get("plain"))
        fits = fits and facts.audio in (None, "aac") and path.stat().st_size <= most
        with _written(target, "mp4") as made:
            if fits and not limits.get("note"):
                _copy(source, made, [*source.streams.video[:1], *source.streams.audio[:1]])
            else:
                first = _first_frame(path, mime_type)
                _encode(source, made, facts, first, most, note=bool(limits.get("note")))
    if target.stat().st_size > most:
        raise Unfit("too_large")
    return _found(target, "video/mp4")


def _written(target: Path, kind: str) -> OutputContainer:
    options = {} if kind == "ogg" else {"movflags": "+faststart"}
    return av.open(str(target), "w", format=kind, options=options)


def _found(target: Path, mime_type: str) -> Facts:
    """What has been written, as a stranger would find it."""
    with opened(target, mime_type) as made:
        facts = facts_of(made, mime_type)
        rotation = next((frame.rotation for frame in made.decode(video=0)), 0) if facts.video else 0
    return replace(facts, width=facts.height, height=facts.width) if rotation % 180 else facts


def _copy(source: InputContainer, made: OutputContainer, streams: list[Any]) -> None:
    """Into another container, without decoding. Raises Unfit for a file that is cut off."""
    targets = {stream.index: made.add_stream_from_template(stream) for stream in streams}
    found = dict.fromkeys(targets, 0)
    promised = {stream.index: stream.frames for stream in streams}
    for packet in source.demux(streams):
        if packet.dts is None:
            continue
        found[packet.stream.index] += 1
        packet.stream = targets[packet.stream.index]
        made.mux(packet)
    if not any(found.values()):
        raise Unfit("broken")
    for index, count in found.items():
        complete(count, promised[index])


def _resampler(form: str, layout: str, rate: int, frame: int) -> av.AudioResampler:
    return av.AudioResampler(format=form, layout=layout, rate=rate, frame_size=frame)


def _aac(made: OutputContainer, facts: Facts) -> tuple[Any, av.AudioResampler]:
    layout = "mono" if facts.channels == 1 else "stereo"
    stream = made.add_stream("aac", rate=_AAC_RATE, layout=layout)
    stream.bit_rate = _AAC_BITS
    return stream, _resampler("fltp", layout, _AAC_RATE, 1024)


def _encode_sound(source: InputContainer, made: OutputContainer, stream: Any, resampler: av.AudioResampler) -> None:
    seconds = 0.0
    for frame in source.decode(source.streams.audio[0]):
        seconds += frame.samples / frame.sample_rate
        if seconds > MOST_SOUND:
            raise Unfit("too_long")
        for packet in _encoded(stream, resampler, frame):
            made.mux(packet)
    if not seconds:
        raise Unfit("broken")
    for packet in _encoded(stream, resampler, None):
        made.mux(packet)


def _encoded(stream: Any, resampler: av.AudioResampler, frame: AudioFrame | None) -> Iterator[Any]:
    """The packets of a frame; of what is left, for None."""
    if frame is not None:
        frame.pts = None  # a clock that jumps would become silence
    for sampled in resampler.resample(frame):
        yield from stream.encode(sampled)
    if frame is None:
        yield from stream.encode(None)


def _first_frame(path: Path, mime_type: str) -> VideoFrame:
    """It alone says how far the video is turned. Raises Unfit."""
    with opened(path, mime_type) as source:
        for frame in source.decode(video=0):
            return frame
    raise Unfit("broken")


def _encode(
    source: InputContainer, made: OutputContainer, facts: Facts, first: VideoFrame, most: int, *, note: bool
) -> None:
    """Decode and write anew. Raises Unfit."""
    picture = source.streams.video[0]
    bits = _bits(facts, most)
    graph, size = _upright(picture, first, _NOTE_SIDE if note else _side(bits), square=note)
    stream = _h264(made, size, bits, picture)
    sound_ = _aac(made, facts) if facts.audio else None
    frames = budget = 0
    last = -1
    for frame in source.decode([picture, *source.streams.audio[: sound_ is not None]]):
        if isinstance(frame, AudioFrame):
            assert sound_ is not None
            for packet in _encoded(*sound_, frame):
                made.mux(packet)
            continue
        assert isinstance(frame, VideoFrame)
        frames += 1
        budget += frame.width * frame.height
        if frames > MOST_FRAMES or budget > MOST_FRAME_PIXELS:
            raise Unfit("too_long")
        graph.vpush(frame)
        last = _pulled(graph, made, stream, last)
    complete(frames, picture.frames)
    graph.vpush(None)
    _pulled(graph, made, stream, last)
    for packet in stream.encode(None):
        made.mux(packet)
    if sound_ is not None:
        for packet in _encoded(*sound_, None):
            made.mux(packet)


def _pulled(graph: Graph, made: OutputContainer, stream: Any, last: int) -> int:
    """Encode what has come through the graph; the time of the last frame, after which the next must be."""
    while True:
        try:
            frame = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return last
        if frame.pts is None or frame.pts <= last:
            continue
        last = frame.pts
        frame.pict_type = 0
        for packet in stream.encode(frame):
            made.mux(packet)


def _upright(stream: Any, frame: VideoFrame, side: int, *, square: bool) -> tuple[Graph, tuple[int, int]]:
    """What turns, crops and shrinks frames, and the size they come out in: even, as H.264 wants it."""
    width, height = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
    steps = {90: ["transpose=cclock"], 270: ["transpose=clock"], 180: ["hflip", "vflip"]}.get(frame.rotation % 360, [])
    if square:
        edge = min(width, height)
        steps.append(f"crop={edge}:{edge}")
        width = height = edge
    factor = min(1.0, side / max(width, height))
    size = max(2, round(width * factor / 2) * 2), max(2, round(height * factor / 2) * 2)
    steps += [f"scale={size[0]}:{size[1]}", "format=yuv420p", "setsar=1", "setpts=PTS-STARTPTS"]
    graph = Graph()
    graph.threads = 1
    nodes = [graph.add_buffer(template=stream)]
    for step in steps:
        name, _, options = step.partition("=")
        nodes.append(graph.add(name, options))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph, size


def _bits(facts: Facts, most: int) -> float:
    """Bits a second that a video may have for its picture."""
    seconds = max(facts.duration or 60.0, 1.0)
    return most * 8 * _ROOM / seconds - (_AAC_BITS if facts.audio else 0)


def _side(bits: float) -> int:
    """The longer side that so many bits a second do for. Raises Unfit where they do for none."""
    for enough, side in _SIDES:
        if bits >= enough:
            return side
    raise Unfit("too_long")


def _h264(made: OutputContainer, size: tuple[int, int], bits: float, source: Any) -> Any:
    stream = made.add_stream("libx264", rate=30)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = source.time_base or Fraction(1, 90_000)
    stream.codec_context.thread_count = 1
    rate = str(round(min(bits, 4_000_000)))
    stream.options = {
        "preset": "veryfast",
        "crf": "25",
        "profile": "main",
        "bf": "0",
        "maxrate": rate,
        "bufsize": str(int(rate) // 2),
    }
    return stream
