"""The types of files that agents pick and phones make, and what becomes of each: as data, and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.contract.capabilities import FileOutcome
from shared.media.facts import Facts
from shared.media.outcomes import HAS_VIDEO, Rules, way_of

_OFFICE = "application/vnd.openxmlformats-officedocument"


class Sort(NamedTuple):
    """A type by its extension, what is in it, and the same as it is found in a file."""

    type: str
    codecs: str | None
    facts: Facts


def _video(kind: str, mime_type: str, video: str, audio: str | None, *, plain: bool = True, named: str = "") -> Sort:
    codecs = named or "+".join(filter(None, (video, audio)))
    return Sort(kind, codecs, Facts(mime_type, video=video, audio=audio, channels=1 if audio else None, plain=plain))


def _sound(kind: str, mime_type: str, audio: str, channels: int = 1, named: str | None = None) -> Sort:
    return Sort(kind, named, Facts(mime_type, audio=audio, channels=channels))


def _plain(kind: str, mime_type: str) -> Sort:
    return Sort(kind, None, Facts(mime_type))


SORTS = (
    *(Sort(kind, None, Facts("image/jpeg", deep=False)) for kind in ("jpg", "jpeg")),
    Sort("gif", "animated", Facts("image/gif", animated=True, deep=False)),
    Sort("gif", "still", Facts("image/gif", animated=False, deep=False)),
    Sort("bmp", None, Facts("image/bmp", deep=False)),
    Sort("png", "8 bit", Facts("image/png", deep=False)),
    Sort("png", "16 bit", Facts("image/png", deep=True)),
    _plain("txt", "text/plain"),
    _plain("xls", "application/vnd.ms-excel"),
    _plain("xlsx", f"{_OFFICE}.spreadsheetml.sheet"),
    _plain("doc", "application/msword"),
    _plain("docx", f"{_OFFICE}.wordprocessingml.document"),
    _plain("csv", "text/plain"),
    _plain("ppt", "application/vnd.ms-powerpoint"),
    _plain("pptx", f"{_OFFICE}.presentationml.presentation"),
    _sound("mp3", "audio/mpeg", "mp3"),
    _video("mp4", "video/mp4", "h264", "aac"),
    _video("mp4", "video/mp4", "h264", "aac", plain=False, named="h264 high with B-frames+aac"),
    _video("mp4", "video/mp4", "hevc", "aac"),
    _video("mov", "video/quicktime", "h264", "aac"),
    _sound("wav", "audio/wav", "pcm_s16le"),
    _video("mpg", "video/mpeg", "mpeg1video", "mp2"),
    _video("mpeg", "video/mpeg", "mpeg2video", None),
    _plain("zip", "application/zip"),
    _plain("tar", "application/x-tar"),
    _plain("tgz", "application/gzip"),
    _plain("gz", "application/gzip"),
    _plain("pdf", "application/pdf"),
    _plain("log", "text/plain"),
    _plain("xml", "application/xml"),
    Sort("webp", None, Facts("image/webp", animated=False, deep=False)),
    Sort("heic", None, Facts("image/heic", deep=False)),
    _video("webm", "video/webm", "vp8", "opus"),
    _sound("webm", "video/webm", "opus", named="opus"),
    _sound("ogg", "audio/ogg", "opus", named="opus, mono"),
    _sound("ogg", "audio/ogg", "opus", 2, named="opus, stereo"),
    _sound("ogg", "audio/ogg", "vorbis", 2, named="vorbis"),
    _sound("m4a", "audio/mp4", "aac"),
    _sound("aac", "audio/aac", "aac"),
    _sound("amr", "audio/amr", "amr"),
    _video("3gp", "video/3gpp", "h264", "aac"),
    _video("3gp", "video/3gpp", "h263", "amr"),
    _video("mkv", "video/x-matroska", "h264", "aac"),
)


def outcomes_of(rules: Rules, *, has_video: bool = HAS_VIDEO) -> tuple[FileOutcome, ...]:
    """What becomes of each sort under these rules."""
    return tuple(_outcome(rules, sort, has_video=has_video) for sort in SORTS)


def _outcome(rules: Rules, sort: Sort, *, has_video: bool) -> FileOutcome:
    way = way_of(rules, sort.facts, None, has_video=has_video)
    rejected = way.outcome == "rejected"
    return FileOutcome(
        type=sort.type,
        codecs=sort.codecs,
        outcome=way.outcome,
        kind=None if rejected else way.kind,
        mime_type=way.to,
        reason=way.reason,
    )


def as_document(channels: Mapping[str, tuple[FileOutcome, ...]]) -> str:
    """The table in Markdown: a row for each sort, a column for each channel by its label."""
    lines = [" | ".join(("| type", "in it", *channels)) + " |", "|---" * (len(channels) + 2) + "|"]
    for row in zip(*channels.values(), strict=True):
        cells = (_cell(outcome) for outcome in row)
        lines.append(" | ".join((f"| {row[0].type.upper()}", row[0].codecs or "", *cells)) + " |")
    return "\n".join(lines) + "\n"


def _cell(outcome: FileOutcome) -> str:
    if outcome.outcome == "converted":
        return f"{outcome.kind}, converted to {outcome.mime_type}"
    if outcome.outcome == "rejected":
        return f"rejected: {outcome.reason}"
    return str(outcome.kind)
