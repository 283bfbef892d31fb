"""Names of files in a mail: what they are called, and which of them mail servers are known to refuse."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePosixPath

from services.email.api.headers import media_type
from shared.contract.commands import File
from shared.contract.content import AttachmentKind

LONGEST = 255  # bytes, as on every file system

# support.google.com/mail/answer/6590, 2026-11-22; Outlook blocks nearly the same.
_BLOCKED = """
ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex ex_ exe hta img ins iso isp jar
jnlp js jse lib lnk mde mjs msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh
xll
"""
BLOCKED = frozenset(_BLOCKED.split())
# Controls, and the marks that turn the direction of writing: with them `exe` reads as `gpj`.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_EXTENSIONS = {"image/jpeg": ".jpg", "audio/ogg": ".ogg", "audio/mpeg": ".mp3", "text/plain": ".txt"}
_NOUN = {AttachmentKind.DOCUMENT: "file", AttachmentKind.VIDEO_NOTE: "video"}


def filename(file: File, index: int) -> str:
    """What a file is called in the mail: its own name without a path, else one made of its kind and type."""
    given = _UNSEEN.sub("", (file.filename or "").replace("\\", "/")).rstrip("/. ")
    name = PurePosixPath(given).name.strip()
    if name in ("", ".", ".."):
        noun = _NOUN.get(file.kind, file.kind.value) if file.kind else "file"
        kind = (file.mime_type or "").split(";")[0].strip().lower()
        name = f"{noun}-{index + 1}{_EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ''}"
    return _shortened(name)


def mime_type(file: File, name: str) -> str:
    """The type that a file has in the mail."""
    return media_type(file.mime_type or mimetypes.guess_type(name)[0])


def is_blocked(name: str) -> bool:
    """Whether Gmail, and others after it, refuse a mail with such a file."""
    return PurePosixPath(name).suffix.lower().lstrip(".") in BLOCKED


def _shortened(name: str) -> str:
    """The name in at most `LONGEST` bytes, with its ending."""
    if len(name.encode("utf-8", "replace")) <= LONGEST:
        return name
    ending = PurePosixPath(name).suffix
    ending = ending if len(ending.encode("utf-8", "replace")) <= 20 else ""
    stem = name.encode("utf-8", "replace")[: LONGEST - len(ending.encode())]
    return stem.decode("utf-8", "ignore") + ending
