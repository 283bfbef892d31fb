"""The jobs of worker processes: look at a file, convert a file. Both are named by a path; JSON in, JSON out.

A library is loaded when the first job needs it: a worker that sees pictures alone stays small.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.media.facts import Facts, Look, Unfit

PICTURES = frozenset(f"image/{kind}" for kind in ("jpeg", "png", "gif", "bmp", "webp", "tiff", "heic", "heif", "avif"))


def look(payload: bytes) -> bytes:
    """What is in a file: `{facts, thumbnail, waveform}`, or `{unfit}` with the reason; `whole`: read to its end."""
    asked = json.loads(payload)
    path, mime_type = Path(asked["path"]), asked["mime_type"]
    thumbnail = Path(asked["thumbnail"]) if asked.get("thumbnail") else None
    try:
        wanted = {name: bool(asked.get(name)) for name in ("waveform", "whole")}
        found = _looked_at(path, mime_type, thumbnail, **wanted)
    except Unfit as unfit:
        return json.dumps({"unfit": unfit.reason}).encode()
    return json.dumps(asdict(found)).encode()


def _looked_at(path: Path, mime_type: str, thumbnail: Path | None, *, waveform: bool, whole: bool) -> Look:
    if mime_type in PICTURES:
        from shared.media.codecs import pictures

        return pictures.look(path, mime_type, thumbnail, whole=whole)
    if mime_type == "application/pdf":
        from shared.media.codecs import pages

        return pages.look(path, thumbnail) if thumbnail is not None else Look(Facts(mime_type))
    try:
        from shared.media.codecs import containers
    except ImportError:  # an image may leave out what reads sound and video
        raise Unfit("no_such_codec") from None
    return containers.look(path, mime_type, thumbnail, waveform=waveform, whole=whole)


def convert(payload: bytes) -> bytes:
    """Convert a file to `to` within `limits`, into `target`: `{facts}` of the new one, or `{unfit}`."""
    asked = json.loads(payload)
    try:
        made = _converted(Path(asked["path"]), asked["mime_type"], asked["to"], Path(asked["target"]), asked["limits"])
    except Unfit as unfit:
        return json.dumps({"unfit": unfit.reason}).encode()
    return json.dumps({"facts": asdict(made)}).encode()


def _converted(path: Path, mime_type: str, to: str, target: Path, limits: dict[str, Any]) -> Facts:
    if to.startswith("image/"):
        from shared.media.codecs import pictures

        if to == "image/webp":
            return pictures.sticker(path, mime_type, target, limits)
        return pictures.convert(path, mime_type, to, target, limits)
    try:
        from shared.media.codecs import transcode
    except ImportError:
        raise Unfit("no_such_codec") from None
    if to == "audio/ogg":
        return transcode.voice(path, mime_type, target)
    if to == "audio/mp4":
        return transcode.sound(path, mime_type, target)
    return transcode.video(path, mime_type, target, limits)
