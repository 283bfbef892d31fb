"""Messages with files as calls: single sends and albums, the caption, what follows it."""

from __future__ import annotations

from collections.abc import Sequence

from services.telegram.capabilities import CAPABILITIES
from services.telegram.send.files import Outgoing, albums, outgoing
from services.telegram.send.rendering import Params, text_calls, text_fields
from shared.channel import Call, Refused
from shared.contract.commands import File, OutMedia
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.words import is_visible
from shared.policy.text import length


def media_calls(
    content: OutMedia, files: Sequence[File], most: int, *, has_buttons: bool, field: str | None = None
) -> list[Call]:
    """The calls of a message with files, the last of which can carry a keyboard where there are buttons.

    A caption goes to the first file that takes one; a text that is too long for that, or that has to carry the
    buttons because an album cannot, follows in at most `most` messages of its own. Raises Refused, which names
    `field` where the files are no attachments.
    """
    sent = [outgoing(file, index, field) for index, file in enumerate(files)]
    groups = list(albums(sent))
    has_text = is_visible(content.text)
    separate = has_text and _text_has_to_follow(content, sent, albums_last=has_buttons and len(groups[-1]) > 1)
    if has_buttons and len(groups[-1]) > 1 and not has_text:
        # An album has no keyboard: its last file goes out alone and carries it.
        groups.append([groups[-1].pop()])
    captioned = next((file for file in sent if file.takes_caption), None) if has_text and not separate else None
    calls = [_group_call(group, content, captioned, originals=content.attachments, sent=sent) for group in groups]
    if separate:
        follow = text_calls(content.text, content.spans, most)
        detail = "The text follows the files as a message of its own."
        note = Warning(code=WarningCode.CAPTION_SEPARATED, detail=detail)
        calls[0] = Call(calls[0].method, calls[0].params, calls[0].files, calls[0].parts, (*calls[0].warnings, note))
        calls += follow
    return calls


def _text_has_to_follow(content: OutMedia, sent: Sequence[Outgoing], *, albums_last: bool) -> bool:
    rules = CAPABILITIES.text
    too_long = length(content.text, rules.unit) > rules.caption_max_length
    return too_long or albums_last or not any(file.takes_caption for file in sent)


def _group_call(
    group: Sequence[Outgoing],
    content: OutMedia,
    captioned: Outgoing | None,
    *,
    originals: Sequence[File],
    sent: Sequence[Outgoing],
) -> Call:
    warnings = [warning for file in group for warning in file.warnings]
    if len(group) == 1:
        file = group[0]
        params, dropped = _described(file, content if file is captioned else None)
        source, upload = _source(file, originals[sent.index(file)])
        if source:
            params = {file.method.parameter: source, **params}
        files = {file.method.parameter: upload} if upload else {}
        return Call(file.method.name, params, files, warnings=(*warnings, *dropped))
    items, uploads = [], {}
    for index, file in enumerate(group):
        caption = content if file is captioned else None
        item, upload, dropped = _album_item(file, f"file{index}", caption, originals[sent.index(file)])
        items.append(item)
        warnings += dropped
        if upload:
            uploads[f"file{index}"] = upload
    return Call("sendMediaGroup", {"media": items}, uploads, parts=len(group), warnings=tuple(warnings))


def _described(file: Outgoing, content: OutMedia | None) -> tuple[Params, tuple[Warning, ...]]:
    if content is None:
        return file.details(), ()
    fields, dropped = text_fields(content.text, content.spans, ("caption", "caption_entities"))
    return {**fields, **file.details()}, dropped


def _album_item(
    file: Outgoing, name: str, content: OutMedia | None, original: File
) -> tuple[Params, File | None, tuple[Warning, ...]]:
    described, dropped = _described(file, content)
    reference, upload = _source(file, original)
    item = {"type": file.method.media_type, "media": reference or f"attach://{name}", **described}
    return item, upload, dropped


def _source(file: Outgoing, original: File) -> tuple[str | None, File | None]:
    """What Telegram knows the file by, and what to upload where it knows it no longer or not at all."""
    if file.file.provider_ref is None:
        return None, file.file
    return file.file.provider_ref, original if original.provider_ref is None else None


def edited_media(content: OutMedia, files: Sequence[File], field: str | None = None) -> Call:
    """The call that gives a message another file and caption. Raises Refused for what cannot be edited; `field` is
    the file's own where it is no attachment.
    """
    if len(files) != 1:
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL,
            "A Telegram message has one file.",
            field="content.attachments",
            limit=1,
            actual=len(files),
        )
    limit = CAPABILITIES.text.caption_max_length
    actual = length(content.text, CAPABILITIES.text.unit)
    if actual > limit:
        raise Refused(
            ErrorCode.TEXT_TOO_LONG, "The caption is too long.", field="content.text", limit=limit, actual=actual
        )
    file = outgoing(files[0], 0, field)
    captioned = content if is_visible(content.text) else None
    if file.kind is AttachmentKind.VOICE:
        # Telegram does not exchange a voice message, but its caption can change.
        fields, dropped = text_fields(content.text, content.spans, ("caption", "caption_entities"))
        return Call("editMessageCaption", fields, parts=0, warnings=dropped)
    if file.method.media_type is None:
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL, f"A {file.kind} cannot be edited.", field=field or "content.attachments.0"
        )
    item, upload, dropped = _album_item(file, "file0", captioned, files[0])
    uploads = {"file0": upload} if upload else {}
    return Call("editMessageMedia", {"media": item}, uploads, parts=0, warnings=(*file.warnings, *dropped))
