"""Real files of every kind, made here: pictures by Pillow, sound and video by libav, as phones make them."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import pillow_heif
from av.filter import Graph
from PIL import Image, ImageChops, ImageDraw, ImageFilter

pillow_heif.register_heif_opener()
SIZE = (320, 240)


def drawing(size: tuple[int, int] = SIZE, *, step: int = 0, mode: str = "RGB") -> Image.Image:
    """A picture with a red upper left corner, and something that moves with `step`."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0] // 4, size[1] // 4), fill=(220, 20, 20))
    x = (step * 7) % size[0]
    draw.ellipse((x, size[1] // 2, x + size[0] // 8, size[1] // 2 + size[1] // 8), fill=(20, 200, 60))
    return image.convert(mode)


def noise(size: tuple[int, int]) -> Image.Image:
    """A picture that compresses badly."""
    dice = random.Random(1)
    return Image.frombytes("RGB", size, dice.randbytes(size[0] * size[1] * 3))


def picture(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    made = io.BytesIO()
    (image or drawing()).save(made, kind, **options)
    return made.getvalue()


def moving(kind: str, frames: int = 8, size: tuple[int, int] = SIZE, **options: Any) -> bytes:
    """An animated GIF or WebP."""
    images = [drawing(size, step=step) for step in range(frames)]
    return picture(kind, images[0], save_all=True, append_images=images[1:], duration=80, loop=0, **options)


def jpeg_with_exif(size: tuple[int, int] = (640, 480), orientation: int = 6) -> bytes:
    """As a phone writes it: turned by a tag, with the place where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker of the phone"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    return picture("JPEG", drawing(size), exif=exif)


@functools.cache
def _shown(size: tuple[int, int], *, noisy: bool) -> tuple[Image.Image, ...]:
    """What a video of this size shows in a second: drawn once for all of them."""
    grain = noise(size).filter(ImageFilter.GaussianBlur(1)) if noisy else None
    return tuple(
        ImageChops.offset(grain, step * 31, step * 17) if grain else drawing(size, step=step) for step in range(25)
    )


def _frames(rate: int, seconds: float, size: tuple[int, int], *, noisy: bool) -> Iterator[av.VideoFrame]:
    shown = _shown(size, noisy=noisy)
    for step in range(round(rate * seconds)):
        frame = av.VideoFrame.from_image(shown[step % len(shown)])
        frame.pts, frame.time_base = step, Fraction(1, rate)
        yield frame


def _tone(rate: int, channels: int, seconds: float) -> Iterator[av.AudioFrame]:
    """A tone that grows louder."""
    graph = Graph()
    layout = "mono" if channels == 1 else "stereo"
    source = graph.add("sine", f"frequency=440:sample_rate={rate}:duration={seconds}:samples_per_frame=1024")
    louder = graph.add("afade", f"type=in:duration={seconds}:curve=tri")
    form = graph.add("aformat", f"sample_fmts=s16:channel_layouts={layout}")
    graph.link_nodes(source, louder, form, graph.add("abuffersink")).configure()
    with suppress(av.error.EOFError):
        while True:
            yield graph.pull()


@functools.cache
def clip(
    container: str,
    video: str | None = None,
    audio: str | None = None,
    *,
    seconds: float = 2.0,
    size: tuple[int, int] = SIZE,
    channels: int = 1,
    rate: int = 48000,
    rotation: int = 0,
    live: bool = False,
    noisy: bool = False,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A file with these codecs, by their names in libav. `live`: written as a browser does that records."""
    made = io.BytesIO()
    live_options = {"live": "1"} if live else {}
    with av.open(made, "w", format=container, options=live_options) as file:
        pictures: Any = file.add_stream(video, rate=25, options=dict(options)) if video else None
        experimental = {"strict": "experimental"} if audio == "vorbis" else {}
        sounds: Any = file.add_stream(audio, rate=rate, options=experimental) if audio else None
        if pictures is not None:
            pictures.width, pictures.height = size
            pictures.pix_fmt = "yuv420p" if video != "mjpeg" else "yuvj420p"
            if rotation:
                pictures.set_display_rotation(rotation)
        if sounds is not None:
            sounds.layout = "mono" if channels == 1 else "stereo"
            if audio not in ("pcm_s16le", "flac"):
                sounds.bit_rate = 12_200 if "amr" in (audio or "") else 64_000
            resampler = av.AudioResampler(
                format=sounds.format, layout=sounds.layout, rate=rate, frame_size=_frame_size(audio)
            )
            for frame in [*_tone(rate, channels, seconds), None]:
                for part in resampler.resample(frame):
                    file.mux(sounds.encode(part))
        if pictures is not None:
            for picture_ in _frames(25, seconds, size, noisy=noisy):
                file.mux(pictures.encode(picture_))
            file.mux(pictures.encode(None))
        if sounds is not None:
            file.mux(sounds.encode(None))
    return made.getvalue()


def _frame_size(audio: str | None) -> int:
    return {"libopus": 960, "libmp3lame": 1152, "mp2": 1152, "aac": 1024, "libopencore_amrnb": 160}.get(
        audio or "", 1024
    )


def pdf(pages: int = 1) -> bytes:
    return picture("PDF", drawing((595, 842)), save_all=True, append_images=[drawing((595, 842))] * (pages - 1))


H264 = (("profile", "main"), ("bf", "0"), ("preset", "ultrafast"))
H265 = (("preset", "ultrafast"), ("x265-params", "log-level=none"))
HIGH = (("profile", "high"), ("bf", "2"), ("preset", "veryfast"))
FAST = (("deadline", "realtime"), ("cpu-used", "8"))


def mp4(**options: Any) -> bytes:
    return clip("mp4", "libx264", "aac", options=H264, **options)


# What there is of sound and video, by container and codecs.
CLIPS: dict[str, Any] = {
    "mp4 h264 aac": mp4,
    "mp4 h264-high-b aac": lambda: clip("mp4", "libx264", "aac", options=HIGH),
    "mp4 hevc aac": lambda: clip("mp4", "libx265", "aac", options=H265),
    "mov h264 aac": lambda: clip("mov", "libx264", "aac", options=H264),
    "mpg mpeg1 mp2": lambda: clip("mpeg", "mpeg1video", "mp2"),
    "mpeg mpeg2": lambda: clip("mpeg2video", "mpeg2video"),
    "webm vp8 opus": lambda: clip("webm", "libvpx", "libopus", options=FAST, live=True),
    "mkv h264 aac": lambda: clip("matroska", "libx264", "aac", options=H264),
    "3gp h263 amr": lambda: clip("3gp", "h263", "libopencore_amrnb", size=(352, 288), rate=8000),
    "3gp h264 aac": lambda: clip("3gp", "libx264", "aac", options=H264),
    "mp3": lambda: clip("mp3", None, "libmp3lame"),
    "wav": lambda: clip("wav", None, "pcm_s16le"),
    "ogg opus mono": lambda: clip("ogg", None, "libopus"),
    "ogg opus stereo": lambda: clip("ogg", None, "libopus", channels=2),
    "ogg vorbis": lambda: clip("ogg", None, "vorbis", channels=2),
    "webm opus": lambda: clip("webm", None, "libopus", live=True),
    "m4a aac": lambda: clip("ipod", None, "aac"),
    "aac": lambda: clip("adts", None, "aac"),
    "amr": lambda: clip("amr", None, "libopencore_amrnb", rate=8000),
    "flac": lambda: clip("flac", None, "flac"),
}
