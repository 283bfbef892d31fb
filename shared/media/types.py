"""Types of files: what a claimed one is worth beside what the bytes are, and names that say the same as the type."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

PROGRAMS = frozenset(
    {
        "application/java-archive",
        "application/java-vm",
        "application/vnd.android.package-archive",
        "application/vnd.microsoft.portable-executable",
        "application/x-executable",
        "application/x-mach-binary",
        "application/x-ms-shortcut",
    }
)
_SAME = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "image/tif": "image/tiff",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/heif": "image/heic",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/opus": "audio/ogg",
    "audio/x-flac": "audio/flac",
    "application/ogg": "audio/ogg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "video/3gp": "video/3gpp",
    "video/3gpp2": "video/3gpp",
    "video/x-m4v": "video/mp4",
    "video/avi": "video/x-msvideo",
    "video/x-mpeg": "video/mpeg",
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": "application/zip",
    "application/x-gzip": "application/gzip",
    "application/x-tgz": "application/gzip",
    "application/gzip+tgs": "application/x-tgsticker",
    "application/x-gtar": "application/x-tar",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-rar": "application/vnd.rar",
    "text/rtf": "application/rtf",
    "text/xml": "application/xml",
    "text/x-vcard": "text/vcard",
}
# What begins alike whatever is in it: a claim that says more is believed.
_REFINED = {
    "application/zip": (
        "application/vnd.openxmlformats-officedocument.",
        "application/vnd.oasis.opendocument.",
        "application/vnd.ms-",
        "application/vnd.apple.",
        "application/vnd.android.",
        "application/vnd.google-earth.",
        "application/epub+zip",
        "application/java-archive",
        "application/x-",
    ),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-", "application/vnd.visio"),
    "application/gzip": ("application/x-tar", "application/x-compressed", "application/x-"),
    "application/xml": ("text/",),
    "text/html": ("application/xml", "text/"),
    "image/svg+xml": ("application/xml", "text/"),
    "text/x-shellscript": ("text/", "application/x-sh", "application/x-shellscript", "application/x-python"),
    "text/vcard": ("text/",),
    "text/calendar": ("text/",),
    "text/plain": (
        "text/",
        "message/",
        "model/",
        "application/csv",
        "application/geo+json",
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/pgp-",
        "application/pkcs",
        "application/sql",
        "application/toml",
        "application/vnd.ms-excel",  # what some browsers call a CSV
        "application/x-",
        "application/xml",
        "application/yaml",
    ),
    "video/mp4": ("audio/mp4",),  # many recorders write the brand of a video over sound alone
    "audio/mp4": ("video/mp4",),
    "video/3gpp": ("audio/3gpp", "video/mp4"),
    "video/webm": ("audio/webm", "video/x-matroska"),
    "video/x-matroska": ("audio/x-matroska", "video/webm"),
    "audio/ogg": ("video/ogg",),
    "video/ogg": ("audio/ogg",),
    "audio/mpeg": ("audio/aac",),  # an ID3 tag stands before AAC too
}
_MARKUP = frozenset({"application/xml", "text/html", "image/svg+xml"})
# Anything may be in there, under any extension.
_GENERIC = frozenset({"text/plain", "application/zip", "application/gzip", "application/xml"})
# The one extension under which providers know a type; Python's table gives odd ones, or none.
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "image/tiff": ".tif",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/amr": ".amr",
    "audio/aac": ".aac",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/webm": ".webm",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/3gpp": ".3gp",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "video/mpeg": ".mpg",
    "video/mp2t": ".ts",
    "text/plain": ".txt",
    "application/xml": ".xml",
    "application/gzip": ".gz",
    "application/rtf": ".rtf",
    "application/vnd.rar": ".rar",
    "application/x-7z-compressed": ".7z",
    "application/x-tgsticker": ".tgs",
}
_BY_EXTENSION = {
    **{extension: mime for mime, extension in _EXTENSIONS.items()},
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".tgz": "application/gzip",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".exe": "application/vnd.microsoft.portable-executable",
    ".webm": "video/webm",
}


def claim(mime_type: str | None) -> str | None:
    """A told type without parameters, by its usual name; None for what says nothing: `*/octet-stream`, `image/*`."""
    bare = (mime_type or "").partition(";")[0].strip().lower()
    if "/" not in bare or "*" in bare or bare.endswith(("/octet-stream", "/x-unknown", "/force-download")):
        return None
    return _SAME.get(bare, bare)


def claimed_by_name(filename: str | None) -> str | None:
    """The type that a name's extension stands for, or None."""
    suffix = PurePosixPath((filename or "").strip().lower()).suffix
    return _BY_EXTENSION.get(suffix) or claim(mimetypes.guess_type(f"f{suffix}", strict=False)[0])


def denies(found: str, claimed: str) -> bool:
    """Whether a file whose bytes are of the type `found` cannot be of the type `claimed`."""
    is_, told = _SAME.get(found, found), _SAME.get(claimed, claimed)
    if is_ in _MARKUP and told.endswith("+xml"):
        return False
    return is_ != told and not told.startswith(_REFINED.get(is_, ("\0",)))


def upload_name(filename: str, mime_type: str) -> str:
    """A name whose extension says what the type says: providers type an upload by its name.

    An extension that means something else is exchanged, one that means nothing (`Invoice no. 5`) is kept as a part of
    the name. A type without an extension of its own leaves the name alone.
    """
    known = claim(mime_type)
    extension = None if known is None else _EXTENSIONS.get(known) or mimetypes.guess_extension(known)
    if known is None or extension is None:
        return filename
    suffix = PurePosixPath(filename.strip()).suffix
    told = claimed_by_name(filename)
    if told is None:
        return filename if known in _GENERIC and suffix[1:].isalpha() else filename + extension
    same_family = told.partition("/")[0] == known.partition("/")[0] or not known.startswith(("audio/", "video/"))
    if same_family and not denies(known, told):
        return filename
    return filename.rstrip()[: -len(suffix)] + extension
