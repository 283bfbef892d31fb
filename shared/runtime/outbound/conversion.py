"""Files of commands as the channel takes them: looked at, and converted where they do not fit as they are."""

from __future__ import annotations

from dataclasses import asdict

from shared.channel import Refused
from shared.contract.accounts import AccountRecord
from shared.contract.commands import File
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.media.facts import Facts, Unfit
from shared.media.outcomes import Rules, Way, meant, recipe_of, way_of
from shared.media.processing import LOOKED_AT, Looked, Made, Processor
from shared.media.types import claim, claimed_by_name, upload_name
from shared.workers import Busy

_SAID = {
    "broken": "The file is damaged, or is not what it seems to be.",
    "too_large": "The file cannot be made small enough.",
    "too_long": "The recording is too long to be converted.",
    "too_slow": "Converting the file takes too long.",
    "no_such_codec": "There is nothing here that can convert the file.",
}


class FileNotYet(Refused):
    """The file may be had in a moment: its address does not give it now, or nobody is free to convert it."""


class Converter:
    """Makes files fit the rules of a channel."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor

    async def fitted(
        self, account: AccountRecord, rules: Rules, file: File, found: str, version: str, field: str
    ) -> tuple[File, tuple[Warning, ...]]:
        """The file as it goes out, and what is different about it. Its blob has the type `found`. Raises Refused."""
        blob = file.blob
        assert blob is not None
        if found not in LOOKED_AT or not any(rule.makes for rule in rules.values()):
            return file, ()
        wanted = file.kind
        failed: dict[AttachmentKind, str] = {}
        looked: Looked | None = None
        damaged = False
        facts = Facts(found, animated=file.animated)
        try:
            if wanted is not AttachmentKind.DOCUMENT:
                looked = await self._processor.look(blob, version, found)
                facts = looked.facts
                file = file.model_copy(update={"sha256": looked.sha256})  # the same content is uploaded once
                wanted = meant(wanted, facts)
        except Busy:
            raise _not_yet(field) from None
        except Unfit as unfit:  # but for damage it is given the benefit of the doubt where it needs no conversion
            failed = dict.fromkeys(AttachmentKind, unfit.reason)
            damaged = unfit.reason == "broken"
        while True:
            way = way_of(rules, facts, file.size, wanted, failed=failed, damaged=damaged)
            if way.outcome != "converted" or looked is None:
                return self._unconverted(file, way, facts, wanted, failed, field)
            try:
                made = await self._processor.convert(
                    blob, looked, recipe_of(rules, way), f"{account.workspace_id}/converted"
                )
            except Busy:
                raise _not_yet(field) from None
            except Unfit as unfit:
                failed[way.kind] = unfit.reason
                continue
            return _converted(file, way, facts, made, field)

    def _unconverted(
        self,
        file: File,
        way: Way,
        facts: Facts,
        wanted: AttachmentKind | None,
        failed: dict[AttachmentKind, str],
        field: str,
    ) -> tuple[File, tuple[Warning, ...]]:
        if way.outcome == "rejected":
            if way.too_large is not None:
                raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=way.too_large, actual=file.size)
            if way.kind in failed:
                raise Refused(ErrorCode.FILE_UNPROCESSABLE, _SAID[failed[way.kind]], field=field)
            return file, ()  # the channel says in its own words what it takes
        exact = measured(file, facts)
        if way.outcome == "document":
            detail = f"{field} goes out as a document: {way.reason}."
            document = exact.model_copy(update={"kind": AttachmentKind.DOCUMENT})
            return document, (Warning(code=WarningCode.SENT_AS_DOCUMENT, detail=detail),)
        if wanted is None or way.kind is wanted:
            return exact.model_copy(update={"kind": wanted}), ()
        detail = f"{field} goes out as {way.kind}, not as {wanted}: {way.reason}."
        return exact.model_copy(update={"kind": way.kind}), (Warning(code=WarningCode.CONVERTED, detail=detail),)


def measured(file: File, facts: Facts) -> File:
    """The file with what was found in it."""
    found = {name: value for name, value in asdict(facts).items() if name in _MEASURES and value is not None}
    if facts.video is None and facts.audio is not None and facts.mime_type in ("video/mp4", "audio/mp4"):
        found["mime_type"] = "audio/mp4"  # the same boxes: what there is no picture in is sound
    return file.model_copy(update=found)


_MEASURES = frozenset({"width", "height", "duration", "animated"})


def _converted(file: File, way: Way, facts: Facts, made: Made, field: str) -> tuple[File, tuple[Warning, ...]]:
    exact = _as(measured(file, made.facts), way.kind, made.facts.mime_type)
    stored = exact.model_copy(update={"blob": made.blob, "size": made.size, "sha256": made.sha256})
    return stored, (_said(way, made.facts.mime_type, field, same=_coded(facts) == _coded(made.facts)),)


def _coded(facts: Facts) -> tuple[object, ...]:
    return facts.mime_type, facts.video, facts.audio, facts.channels, facts.plain


def _as(file: File, kind: AttachmentKind, mime_type: str) -> File:
    """The file as another kind and type, and named so."""
    name = upload_name(file.filename, mime_type) if file.filename else None
    return file.model_copy(update={"mime_type": mime_type, "kind": kind, "filename": name})


def _said(way: Way, mime_type: str, field: str, *, same: bool) -> Warning:
    code = WarningCode.RECOMPRESSED if same else WarningCode.CONVERTED
    return Warning(code=code, detail=f"{field} goes out as {mime_type}: {way.reason}.")


def as_planned(file: File, rules: Rules, field: str) -> tuple[File, tuple[Warning, ...]]:
    """What `Converter` would make of a file of which only what the command tells is known: for plans without files."""
    told = claim(file.mime_type) or claimed_by_name(file.filename)
    if told is None or file.kind is AttachmentKind.DOCUMENT or not any(rule.makes for rule in rules.values()):
        return file, ()
    facts = Facts(told, file.width, file.height, file.duration, file.animated)
    way = way_of(rules, facts, file.size, meant(file.kind, facts))
    if way.outcome != "converted" or way.to is None:
        return file, ()
    return _as(file, way.kind, way.to).model_copy(update={"size": None}), (
        _said(way, way.to, field, same=told == way.to),
    )


def _not_yet(field: str) -> FileNotYet:
    return FileNotYet(ErrorCode.FILE_UNPROCESSABLE, "Nobody is free to convert the file.", field=field)
