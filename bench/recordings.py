"""Files as phones make them, for benchmarks: a voice message, a video, pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import Any

import av
from av.filter import Graph
from PIL import Image, ImageFilter

_RATE = 25


def voice(seconds: float) -> bytes:
    """M4A with AAC in mono, as an iPhone records it."""
    made = io.BytesIO()
    with av.open(made, "w", format="ipod") as file:
        sounds: Any = file.add_stream("aac", rate=48_000)
        sounds.layout, sounds.bit_rate = "mono", 64_000
        for frame in [*_tone(seconds), None]:
            file.mux(sounds.encode(frame))
    return made.getvalue()


def video(size: int) -> bytes:
    """MOV with H.264, its index at the end, of about so many bytes."""
    picture = _grain((1280, 720), Random(1))
    made = io.BytesIO()
    with av.open(made, "w", format="mov") as file:
        pictures: Any = file.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast", "qp": "20", "bf": "0"})
        pictures.width, pictures.height = picture.size
        pictures.pix_fmt = "yuv420p"
        number = 0
        while made.tell() < size:
            turned = picture.rotate(90 * (number % 4)).resize(picture.size)
            frame = av.VideoFrame.from_image(turned)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            file.mux(pictures.encode(frame))
            number += 1
        file.mux(pictures.encode(None))
    return made.getvalue()


def photo(size: tuple[int, int], number: int) -> bytes:
    """A JPEG that looks like no other."""
    made = io.BytesIO()
    _grain(size, Random(number)).save(made, "JPEG", quality=80)
    return made.getvalue()


def _tone(seconds: float) -> Iterator[Any]:
    graph = Graph()
    source = graph.add("sine", f"frequency=440:sample_rate=48000:duration={seconds}:samples_per_frame=1024")
    form = graph.add("aformat", "sample_fmts=fltp:channel_layouts=mono")
    graph.link_nodes(source, form, graph.add("abuffersink")).configure()
    while True:
        try:
            yield graph.pull()
        except av.error.EOFError:
            return


def _grain(size: tuple[int, int], chance: Random) -> Image.Image:
    """Something between noise, which no phone sees, and an even ground, which costs nothing."""
    rough = Image.frombytes("RGB", (size[0] // 8, size[1] // 8), chance.randbytes(3 * (size[0] // 8) * (size[1] // 8)))
    return rough.resize(size).filter(ImageFilter.GaussianBlur(1))
