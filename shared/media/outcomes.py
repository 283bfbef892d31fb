"""What becomes of a file on a channel: as it is, converted, as a document, or not at all; by its container and codecs.

One judgement for delivery, for preflight, for plans on the command line, and for the table that is published.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from shared.contract.capabilities import FileFormat, FileRule, Grade
from shared.contract.content import AttachmentKind
from shared.media.facts import Facts

Rules = Mapping[AttachmentKind, FileRule]

MOST_BYTES = 20 * 1024 * 1024  # of any file, whatever the provider takes
PICTURES = frozenset(f"image/{kind}" for kind in ("jpeg", "png", "gif", "bmp", "webp", "tiff", "heic", "heif", "avif"))
MOVING = frozenset(
    f"video/{kind}" for kind in ("mp4", "quicktime", "3gpp", "webm", "x-matroska", "mpeg", "mp2t", "x-msvideo", "ogg")
)
SOUNDS = frozenset(
    f"audio/{kind}" for kind in ("mpeg", "mp4", "aac", "amr", "ogg", "wav", "flac", "webm", "x-matroska", "3gpp")
)
# An image may leave out what reads and writes sound, video and HEIC: the encoders with it have a licence of their own.
HAS_VIDEO = find_spec("av") is not None and find_spec("pillow_heif") is not None
_WITH_VIDEO = frozenset({"image/heic", "image/heif"})


@dataclass(frozen=True, slots=True)
class Way:
    """How a file goes out. `to` is the type it is converted into, `reason` why it does not go out as it is."""

    outcome: Literal["native", "converted", "document", "rejected"]
    kind: AttachmentKind
    to: str | None = None
    reason: str | None = None
    too_large: int | None = None  # bytes that are taken, where only the size is wrong


def way_of(
    rules: Rules,
    facts: Facts,
    size: int | None,
    wanted: AttachmentKind | None = None,
    *,
    has_video: bool = HAS_VIDEO,
    failed: Collection[AttachmentKind] = (),
    damaged: bool = False,
) -> Way:
    """The best way for a file. What is not known of it is taken to fit.

    `wanted` is the kind that was asked for. Without one, and for sound, another that carries the file as it is goes
    before a conversion. `failed` are kinds for which a conversion has been tried in vain. What is `damaged` can still
    be handed on as a file.
    """
    first = wanted or kind_of(rules, facts)
    chain = _chain(rules, first)
    if damaged:
        document = AttachmentKind.DOCUMENT
        fits = document in chain and misfit(rules[document], facts, size)[0] is None
        if fits:
            return Way("document", document, reason="it is damaged")
        return Way("rejected", first, reason="it is damaged", too_large=misfit(rules[first], facts, size)[1])
    reason, limit = misfit(rules[first], facts, size)
    for kind in chain if wanted in (None, AttachmentKind.AUDIO) else chain[:1]:
        if kind is not AttachmentKind.DOCUMENT and misfit(rules[kind], facts, size)[0] is None:
            return Way("native", kind)
    for kind in chain:
        rule = rules[kind]
        if misfit(rule, facts, size)[0] is None:
            as_file = kind is AttachmentKind.DOCUMENT and first is not kind
            return Way("document" if as_file else "native", kind, reason=reason)
        if kind not in failed and _can_make(rule, facts, has_video=has_video):
            return Way("converted", kind, rule.makes, reason)
    return Way("rejected", first, reason=reason, too_large=limit)


def kind_of(rules: Rules, facts: Facts) -> AttachmentKind:
    """What a file is meant as when nobody says so."""
    if facts.mime_type == "image/gif" and facts.animated is not False:
        moves = rules[AttachmentKind.VIDEO].grade is not Grade.REJECTED
        return AttachmentKind.VIDEO if moves else AttachmentKind.IMAGE
    family = facts.mime_type.partition("/")[0]
    if family == "video" and facts.video is None and facts.audio is not None:
        return AttachmentKind.AUDIO
    kinds = {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}
    return kinds.get(family, AttachmentKind.DOCUMENT)


def meant(wanted: AttachmentKind | None, facts: Facts) -> AttachmentKind | None:
    """The kind that was asked for, unless the file cannot be shown as that; a picture that moves is none."""
    moves = wanted is AttachmentKind.IMAGE and facts.mime_type == "image/gif"
    return None if wanted is None or moves or not can_be(wanted, facts) else wanted


def can_be(kind: AttachmentKind, facts: Facts) -> bool:
    """Whether a file has in it what is shown or played as this kind. What is not known of it is taken to be there."""
    known = facts.video is not None or facts.audio is not None
    moves = facts.mime_type in MOVING and (facts.video is not None or not known)
    if kind in (AttachmentKind.AUDIO, AttachmentKind.VOICE):
        plays = facts.mime_type in MOVING or facts.mime_type.startswith("audio/")
        return plays and (facts.audio is not None or not known)
    if kind in (AttachmentKind.VIDEO, AttachmentKind.VIDEO_NOTE):
        return moves or facts.mime_type == "image/gif"
    if kind is AttachmentKind.STICKER:
        return moves or facts.mime_type.startswith("image/") or facts.mime_type == "application/x-tgsticker"
    return kind is AttachmentKind.DOCUMENT or facts.mime_type.startswith("image/")


def _chain(rules: Rules, first: AttachmentKind) -> list[AttachmentKind]:
    chain = [first]
    while (then := rules[chain[-1]].otherwise) is not None and then not in chain:
        chain.append(then)
    return chain


def misfit(rule: FileRule, facts: Facts, size: int | None) -> tuple[str | None, int | None]:
    """Why a file is not what the rule takes, and the limit in bytes where that is all."""
    if rule.grade is Grade.REJECTED:
        return "the channel has nothing of this kind", None
    if rule.mime_types and facts.mime_type not in rule.mime_types:
        return f"it does not take {facts.mime_type}", None
    form = _format(rule, facts.mime_type)
    if form is not None and (reason := _wrong_codecs(form, facts)):
        return reason, None
    if rule.eight_bit and facts.deep:
        return "it takes 8 bits a channel, in the colours of a screen", None
    if facts.width and facts.height and (reason := _wrong_shape(rule, facts.width, facts.height)):
        return reason, None
    if rule.max_duration is not None and facts.duration is not None and facts.duration > rule.max_duration:
        return f"it takes at most {rule.max_duration:g} seconds", None
    limit = limit_of(rule, facts.mime_type, animated=bool(facts.animated))
    return (f"it takes at most {limit} bytes", limit) if size is not None and size > limit else (None, None)


def limit_of(rule: FileRule, mime_type: str, *, animated: bool) -> int:
    """The largest file of the type that a rule takes, in bytes."""
    form = _format(rule, mime_type)
    most = rule.max_bytes if animated or rule.still_max_bytes is None else rule.still_max_bytes
    return min(most, MOST_BYTES, form.max_bytes if form is not None and form.max_bytes is not None else most)


def _format(rule: FileRule, mime_type: str) -> FileFormat | None:
    return next((form for form in rule.formats if form.mime_type == mime_type), None)


def _wrong_codecs(form: FileFormat, facts: Facts) -> str | None:
    if facts.video is not None and form.video_codecs and facts.video not in form.video_codecs:
        return f"it plays no {facts.video}"
    if facts.audio is not None and form.audio_codecs and facts.audio not in form.audio_codecs:
        return f"it plays no {facts.audio}"
    if form.channels is not None and (facts.channels or 0) > form.channels:
        return "it takes one channel of sound"
    return "not every phone plays this profile of H.264" if form.plain and facts.plain is False else None


def _wrong_shape(rule: FileRule, width: int, height: int) -> str | None:
    if rule.side is not None and (width, height) != (rule.side, rule.side):
        return f"it takes {rule.side} by {rule.side} pixels"
    if rule.max_pixels is not None and width + height > rule.max_pixels:
        return f"width and height are more than {rule.max_pixels} together"
    if rule.max_ratio is not None and max(width, height) > rule.max_ratio * min(width, height):
        return f"one side is more than {rule.max_ratio:g} times the other"
    return None


def _can_make(rule: FileRule, facts: Facts, *, has_video: bool) -> bool:
    """Whether what the rule makes can be made of the file, as far as its type tells."""
    family = (rule.makes or "").partition("/")[0]
    if rule.max_duration is not None and (facts.duration or 0) > rule.max_duration:
        return False  # nothing is cut off
    sides = facts.width or 0, facts.height or 0
    if family == "image" and rule.max_ratio is not None and max(sides) > rule.max_ratio * min(sides):
        return False
    if rule.makes == "image/webp" and facts.animated and rule.still_max_bytes is None:
        return False  # a limit of their own for still ones is what tells that there are moving ones
    if family == "image":
        return facts.mime_type in PICTURES and (has_video or facts.mime_type not in _WITH_VIDEO)
    if family == "audio":
        known = facts.video is not None or facts.audio is not None
        return has_video and facts.mime_type in MOVING | SOUNDS and (facts.audio is not None or not known)
    if family == "video":
        shown = facts.video is not None or facts.audio is None
        return has_video and (facts.mime_type == "image/gif" or (facts.mime_type in MOVING and shown))
    return False


def recipe_of(rules: Rules, way: Way) -> dict[str, Any]:
    """What a conversion has to keep to: the arguments of the job, but for the file."""
    rule, to = rules[way.kind], way.to or ""
    form = _format(rule, to)
    # A sixteenth less than the limit: providers count megabytes of either sort, and do not say which.
    most = limit_of(rule, to, animated=True) * 15 // 16
    limits = {
        "max_bytes": most,
        "still_max_bytes": None if rule.still_max_bytes is None else rule.still_max_bytes * 15 // 16,
        "max_pixels": rule.max_pixels,
        "max_ratio": rule.max_ratio,
        "max_duration": rule.max_duration,
        "note": rule.max_ratio == 1.0 and to == "video/mp4",
        "plain": form is not None and form.plain,
        "alpha": "image/png" in rule.mime_types,
    }
    return {"to": to, "limits": {name: value for name, value in limits.items() if value}}
