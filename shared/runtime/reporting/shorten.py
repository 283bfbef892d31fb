"""Shortens what is too large for its topic: told in fewer words rather than not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.contract.base import Model

M = TypeVar("M", bound=Model)

# Words for people. Ids, references and payloads are never cut: half of one is another one.
_WORDS = frozenset(
    (
        *("text", "detail", "title", "description", "headline", "body", "welcome_message", "subject", "remedy"),
        *("filename", "display_name", "given_name", "family_name", "name", "address", "organisation", "author"),
    )
)
# What can be done without, when shorter words are not enough.
_FACTS = frozenset(
    (
        *("spans", "html", "quoted_html", "quoted_text", "quote", "referral", "forwarded", "vcard", "avatar_url", "cc"),
        *("values", "warnings", "pricing", "file_refs", "provider_code", "trace_id", "allowed", "contacts", "items"),
        "buttons",
    )
)
_EMPTY: dict[str, Any] = {"raw": {}, "contacts": [], "items": []}  # these are required where they are
_SHORTEST, _LONGEST = 40, 1 << 20
_MARK = "…"


def shortened(data: M, fits: Callable[[M], bool]) -> M | None:
    """The most of it that `fits`, marked as `shortened`; None when nothing would.

    First words are cut, all to the same length; then facts are left out; then a message's content is, which becomes
    `unsupported` with the beginning of its text.
    """
    whole = data.model_dump(mode="json", exclude_none=True, by_alias=True) | {"shortened": True}
    for given in _lesser(whole):
        least = _model(data, _cut(given, _SHORTEST))
        if least is None or not fits(least):
            continue
        low, high = _SHORTEST, _LONGEST
        while high - low > 1:
            middle = (low + high) // 2
            more = _model(data, _cut(given, middle))
            if more is not None and fits(more):
                low, least = middle, more
            else:
                high = middle
        return least
    return None


def _lesser(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield whole
    bare = _without_facts(whole)
    yield bare
    content = bare.get("content")
    if isinstance(content, dict):
        text = str(content.get("text", ""))
        yield bare | {"content": {"kind": "unsupported", "text": text, "reason": "too_large"}}


def _without_facts(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_facts(each) for name, each in value.items() if name not in _FACTS}
        return kept | {name: empty for name, empty in _EMPTY.items() if name in value}
    return [_without_facts(each) for each in value] if isinstance(value, list) else value


def _cut(value: Any, longest: int, name: str = "") -> Any:
    if isinstance(value, str):
        return value[: longest - 1] + _MARK if name in _WORDS and len(value) > longest else value
    if isinstance(value, list):
        return [_cut(each, longest, name) for each in value]
    if not isinstance(value, Mapping):
        return value
    kept = {each: _cut(inner, longest, each) for each, inner in value.items()}
    if isinstance(kept.get("spans"), list) and isinstance(kept.get("text"), str):
        end = len(kept["text"])
        kept["spans"] = [span for span in kept["spans"] if span["offset"] + span["length"] <= end]
    return kept


def _model(data: M, fields: Mapping[str, Any]) -> M | None:
    try:
        return type(data).model_validate(fields)
    except ValidationError:
        return None
