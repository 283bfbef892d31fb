"""An album one item of which Telegram refuses: that item goes another way, the others as they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.telegram.send.files import METHODS
from services.telegram.send.rendering import Params
from shared.channel import Call
from shared.contract.content import AttachmentKind
from shared.contract.statuses import Warning, WarningCode

_METHOD_OF = {method.media_type: method for method in METHODS.values() if method.media_type}
_DOCUMENT = METHODS[AttachmentKind.DOCUMENT]
_CAPTION = ("caption", "caption_entities")


def without_item(call: Call, number: int, *, upload: bool) -> Call | Sequence[Call] | None:
    """What to do instead of an album whose item `number` (from 0) was refused; None where there is nothing else.

    An id that Telegram no longer knows is exchanged for the bytes where they are at hand. Any other item stands alone,
    as a document where its bytes are at hand, between what was before it and what was behind it.
    """
    items = call.params.get("media")
    if call.method != "sendMediaGroup" or not isinstance(items, list) or not 0 <= number < len(items):
        return None
    if upload and (name := f"file{number}") in call.files and items[number]["media"] != f"attach://{name}":
        sent_anew = [*items[:number], {**items[number], "media": f"attach://{name}"}, *items[number + 1 :]]
        return replace(call, params={**call.params, "media": sent_anew})
    alone = _alone(call, items[number], number, as_document=not upload)
    if alone is None:
        return None
    calls = [_group(call, items, range(number)), alone, _group(call, items, range(number + 1, len(items)))]
    made = [found for found in calls if found is not None]
    # The reply reference belongs to what comes first, and so does what was said of the whole.
    return [
        replace(made[0], warnings=(*call.warnings, *made[0].warnings)),
        *(replace(later, params=_without(later.params, "reply_parameters")) for later in made[1:]),
    ]


def _group(call: Call, items: Sequence[Params], places: range) -> Call | None:
    """The items at some places: an album, or the one there is."""
    if not places:
        return None
    if len(places) == 1:
        return _single(call, items[places[0]])
    # The bytes go under names counted from 0, as in any other album.
    renamed, files = [], {}
    for index, place in enumerate(places):
        item, old = dict(items[place]), f"file{place}"
        if item["media"] == f"attach://{old}":
            item["media"] = f"attach://file{index}"
        if old in call.files:
            files[f"file{index}"] = call.files[old]
        renamed.append(item)
    return replace(call, params={**call.params, "media": renamed}, files=files, parts=len(places), warnings=())


def _single(call: Call, item: Params) -> Call:
    method = _METHOD_OF[item["type"]]
    described = _without(item, "type", "media")
    name = str(item["media"]).removeprefix("attach://")
    file = call.files.get(name)
    source = {} if file is not None else {method.parameter: item["media"]}
    params = {**_without(call.params, "media"), **source, **described}
    files = {method.parameter: file} if file is not None else {}
    return Call(method.name, params, files)


def _alone(call: Call, item: Params, number: int, *, as_document: bool) -> Call | None:
    name = f"file{number}"
    if not as_document or item["media"] != f"attach://{name}":
        return _single(call, item)  # Telegram has the file, or has lost it: its own answer says so, for this item alone
    if item["type"] == _DOCUMENT.media_type:
        return None
    described = {key: value for key, value in item.items() if key in _CAPTION}
    params = {**_without(call.params, "media"), **described, "disable_content_type_detection": True}
    detail = f"Telegram refused file {number + 1} of the album; it goes out as a document."
    warning = Warning(code=WarningCode.SENT_AS_DOCUMENT, detail=detail)
    return Call(_DOCUMENT.name, params, {_DOCUMENT.parameter: call.files[name]}, warnings=(warning,))


def _without(params: Any, *names: str) -> Params:
    return {name: value for name, value in params.items() if name not in names}
