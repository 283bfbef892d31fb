"""Images on their way to TikTok."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from services.tiktok.capabilities import IMAGE_MAX_BYTES, IMAGE_TYPES
from shared.channel import Failure, OpenFile, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.multipart import FilePart
from shared.media.types import claim, claimed_by_name


def image_part(file: OpenFile) -> FilePart:
    """An image as a part of a form, with a file name and an image type, or it is not parsed.

    Raises ProviderError (nothing sent) unless the opened file is an image TikTok takes.
    """
    mime_type = claim(file.mime_type) or claimed_by_name(file.filename)
    if mime_type not in IMAGE_TYPES:
        raise ProviderError(Failure(ErrorCode.FILE_TYPE_UNSUPPORTED))
    if file.size > IMAGE_MAX_BYTES:
        facts = {"limit": IMAGE_MAX_BYTES, "actual": file.size}
        raise ProviderError(Failure(ErrorCode.FILE_TOO_LARGE, facts=facts))
    return FilePart(replace(file, mime_type=mime_type), _ascii_name(file.filename))


def _ascii_name(filename: str) -> str:
    """A name every parser reads: the contact never sees it."""
    stem = PurePosixPath(filename).stem
    return "".join(c for c in stem if c.isascii() and (c.isalnum() or c in "-_"))[:60] or "image"
