"""Pictures by Pillow: measured, made small, and saved as what a channel takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps, ImageSequence

from shared.media.facts import MOST_PIXELS, THUMBNAIL_BYTES, THUMBNAIL_SIDE, Facts, Look, Unfit

# What is opened as what: nothing else is tried. PostScript, for one, would be run.
FORMATS = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/gif": ("GIF",),
    "image/bmp": ("BMP",),
    "image/webp": ("WEBP",),
    "image/tiff": ("TIFF",),
    "image/heic": ("HEIF",),
    "image/heif": ("HEIF",),
    "image/avif": ("AVIF",),
}
QUALITIES = (85, 75, 65)
SIDES = (4096, 2560, 1920, 1280)  # pixels, of the longer side: tried in turn when the quality alone does not do
STICKER_SIDE = 512
MOST_STICKER_FRAMES = 300  # of a megabyte each
_LEAST_SIDE = 384  # pixels, of a thumbnail's longer side: smaller than that, a larger one is made and scaled
_WHITE = (255, 255, 255)

with suppress(ImportError):  # an image may leave it out
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
Image.MAX_IMAGE_PIXELS = MOST_PIXELS


def look(path: Path, mime_type: str, thumbnail: Path | None, *, whole: bool = False) -> Look:
    """`whole`: its pixels are decoded, those of the first frame. Raises Unfit."""
    with _opened(path, mime_type) as image:
        try:
            width, height = _shown(image)
            animated = bool(getattr(image, "is_animated", False)) if mime_type in ("image/gif", "image/webp") else None
            facts = Facts(mime_type, width=width, height=height, animated=animated, deep=_is_deep(image, path))
            if whole:
                image.draft("RGB", (max(1, width // 8), max(1, height // 8)))  # read to its end all the same
                image.load()
        except (OSError, ValueError, SyntaxError, IndexError, EOFError):  # what Pillow says of damage
            raise Unfit("broken") from None
        if thumbnail is not None:
            thumbnail.write_bytes(small(image))
    return Look(facts, thumbnail is not None)


def small(image: Image.Image) -> bytes:
    """A JPEG within the bounds of a thumbnail, upright, without anything but the picture."""
    for scale in (8, 4, 2):  # what a JPEG can be decoded at in a fraction of the time
        if _LEAST_SIDE <= max(image.size) / scale <= THUMBNAIL_SIDE:
            image.draft(None, (image.width // scale, image.height // scale))
            break
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), reducing_gap=1.2)
    flat = _on_white(_plain(ImageOps.exif_transpose(image)))
    flat.info.clear()
    return next(made for made in _jpegs(flat, (80, 60, 40, 20)) if len(made) <= THUMBNAIL_BYTES)


def convert(path: Path, mime_type: str, to: str, target: Path, limits: dict[str, Any]) -> Facts:
    """Write the picture as `to`, within `max_bytes`, `max_pixels` (width and height together) and `max_ratio`, where
    these are given. A PNG that would be too large becomes a JPEG. Raises Unfit."""
    most = limits.get("max_bytes") or 2**62
    with _opened(path, mime_type) as image:
        made, found = _still(image, to, most, limits)
    target.write_bytes(made)
    return found


def _still(image: Image.Image, to: str, most: int, limits: dict[str, Any]) -> tuple[bytes, Facts]:
    longest = SIDES[0] if most < 2**62 else 0
    if image.format in ("JPEG", "MPO") and longest and max(image.size) > longest:
        scale = longest / max(image.size)
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
    upright = _plain(ImageOps.exif_transpose(image))
    if (ratio := limits.get("max_ratio")) and max(upright.size) > ratio * min(upright.size):
        raise Unfit("too_large")
    if (pixels := limits.get("max_pixels")) and sum(upright.size) > pixels:
        upright = upright.resize(_scaled(upright.size, pixels / sum(upright.size)), reducing_gap=2.0)
    if to == "image/png" or (upright.mode in ("RGBA", "LA") and limits.get("alpha")):
        made = _saved(upright, "PNG")
        if len(made) <= most:
            return made, Facts("image/png", *upright.size)
    flat = _on_white(upright)
    for made in _jpegs(flat, QUALITIES):
        if len(made) <= most:
            return made, Facts("image/jpeg", *flat.size)
    for side in SIDES:
        if side >= max(flat.size):
            continue
        flat = flat.resize(_scaled(flat.size, side / max(flat.size)), reducing_gap=2.0)
        for made in _jpegs(flat, QUALITIES[1:]):
            if len(made) <= most:
                return made, Facts("image/jpeg", *flat.size)
    raise Unfit("too_large")


def sticker(path: Path, mime_type: str, target: Path, limits: dict[str, Any]) -> Facts:
    """Write a WebP of 512 by 512, within `max_bytes` if it moves, else `still_max_bytes`. Raises Unfit."""
    with _opened(path, mime_type) as image:
        if getattr(image, "is_animated", False):
            made = _moving_sticker(image, limits["max_bytes"])
        else:
            square = _in_square(_plain(ImageOps.exif_transpose(image)))
            made = _within(
                lambda quality: _saved(square, "WEBP", quality=quality, method=4),
                limits.get("still_max_bytes") or limits["max_bytes"],
            )
        animated = bool(getattr(image, "is_animated", False))
    target.write_bytes(made)
    return Facts("image/webp", STICKER_SIDE, STICKER_SIDE, animated=animated)


def _moving_sticker(image: Image.Image, most: int) -> bytes:
    frames, durations = [], []
    for index, frame in enumerate(ImageSequence.Iterator(image)):
        if index == MOST_STICKER_FRAMES:
            raise Unfit("too_long")
        frames.append(_in_square(frame.convert("RGBA")))
        durations.append(frame.info.get("duration", 100))
    return _within(
        lambda quality: _saved(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=quality
        ),
        most,
    )


def _within(made: Callable[[int], bytes], most: int) -> bytes:
    for quality in (80, 50, 20):
        if len(found := made(quality)) <= most:
            return found
    raise Unfit("too_large")


def _opened(path: Path, mime_type: str) -> Image.Image:
    """The picture, not yet decoded. Raises Unfit."""
    if mime_type not in FORMATS or (FORMATS[mime_type] == ("HEIF",) and "HEIF" not in Image.OPEN):
        raise Unfit("no_such_codec")
    try:
        image = Image.open(path, formats=FORMATS[mime_type])
    except OSError:  # UnidentifiedImageError among them
        raise Unfit("broken") from None
    except Image.DecompressionBombError:
        raise Unfit("too_large") from None
    if image.width * image.height > MOST_PIXELS:
        raise Unfit("too_large")
    return image


def _shown(image: Image.Image) -> tuple[int, int]:
    """Width and height as the picture is shown."""
    turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else (image.width, image.height)


def _is_deep(image: Image.Image, path: Path) -> bool:
    """More than 8 bits a channel, or the colours of print. Pillow reads deep PNGs of colour as if they were flat."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24:] > b"\x08"  # the bit depth in the first chunk
    return image.mode.startswith(("I", "F")) or image.mode in ("CMYK", "LAB")


def _plain(image: Image.Image) -> Image.Image:
    """In 8 bits: grey or RGB, with alpha where the picture has it."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        with suppress(ImageCms.PyCMSError, OSError):
            found = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if found is not None:
                found.info.pop("icc_profile", None)
                return found
    if image.mode in ("L", "RGB", "RGBA", "LA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Without alpha."""
    if image.mode == "LA":
        image = image.convert("RGBA")
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, _WHITE)
    flat.paste(image, mask=image.getchannel("A"))
    flat.info["icc_profile"] = image.info.get("icc_profile")
    return flat


def _in_square(image: Image.Image) -> Image.Image:
    square = Image.new("RGBA", (STICKER_SIDE, STICKER_SIDE))
    fitted = ImageOps.contain(image.convert("RGBA"), square.size)
    square.paste(fitted, ((STICKER_SIDE - fitted.width) // 2, (STICKER_SIDE - fitted.height) // 2))
    return square


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def _jpegs(image: Image.Image, qualities: tuple[int, ...]) -> Iterator[bytes]:
    """One after the other, the best first."""
    for quality in qualities:
        yield _saved(image, "JPEG", quality=quality)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of it: the picture and the profile of its colours, and nothing else that its file has told."""
    made = BytesIO()
    image.info = {"icc_profile": profile} if (profile := image.info.get("icc_profile")) else {}
    image.save(made, kind, icc_profile=profile, **options)
    return made.getvalue()
