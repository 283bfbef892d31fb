"""Uploading a file as a stream, as Meta takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from shared.channel import OpenFile
from shared.kit.multipart import FilePart
from shared.media.types import claim

_TEXTS = frozenset({"application/xml", "application/json"})


class Upload:
    """A file as Meta takes it: `part` of a form, beside its `fields`."""

    def __init__(self, file: OpenFile) -> None:
        declared = _declared(file)
        self.fields = {"messaging_product": "whatsapp", "type": declared.mime_type}
        self.part = FilePart(declared)


def _declared(file: OpenFile) -> OpenFile:
    """As Meta wants to hear of it: with the codec of Ogg, and of text only that it is text, also by its name.

    The contact sees another name.
    """
    known = claim(file.mime_type) or file.mime_type
    if known == "audio/ogg":
        return replace(file, mime_type="audio/ogg; codecs=opus")
    if known.startswith("text/") or known in _TEXTS:
        return replace(file, mime_type="text/plain", filename=f"{PurePosixPath(file.filename).stem or 'file'}.txt")
    return replace(file, mime_type=known)
