"""Formatting as WhatsApp writes it: *bold*, _italic_, ~strikethrough~, `code`, ```pre```, > quote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.contract.content import Span, SpanKind

_LINE_END = re.compile("\n")
_MARKS = {
    SpanKind.BOLD: "*",
    SpanKind.ITALIC: "_",
    SpanKind.STRIKETHROUGH: "~",
    SpanKind.CODE: "`",
    SpanKind.PRE: "```",
}
# Kinds that WhatsApp finds in the text by itself.
_BARE = frozenset(
    {SpanKind.MENTION, SpanKind.HASHTAG, SpanKind.COMMAND, SpanKind.EMAIL, SpanKind.PHONE, SpanKind.OTHER}
)


# Marks that WhatsApp shows as they are where a letter or a digit stands right outside of them.
_WORDS = frozenset({SpanKind.BOLD, SpanKind.ITALIC, SpanKind.STRIKETHROUGH})


def _within_a_word(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()


def _whole_lines(text: str, start: int, end: int) -> bool:
    """Whether a stretch is made of whole lines, blanks at its edges aside: a quote is no less than a line."""
    before, after = text[:start].rpartition("\n")[2], text[end:].partition("\n")[0]
    return not before.strip() and not after.strip()


def _spoken(url: str) -> str:
    """The part of an address that somebody would write out: `example.com/a` of `https://example.com/a/`."""
    return url.rstrip("/").partition(":")[2].lstrip("/") or url


def marked_up(text: str, spans: Sequence[Span]) -> tuple[str, bool]:
    """The text with WhatsApp's marks for its spans, and whether some formatting was lost.

    A mark works only next to the character it encloses, so blanks at the edges of a span stay outside; it does not
    work inside a word. The address of a link that only formatting shows is written after it.
    """
    inserts: dict[int, tuple[str, str]] = {}
    quoted: set[int] = set()
    quoted_up_to = 0
    lost = False
    # Longer spans first: they open outside and close outside.
    for span in sorted(spans, key=lambda s: (s.offset, -s.length)):
        start, end = span.offset, min(span.offset + span.length, len(text))
        inner = text[start:end]
        start += len(inner) - len(inner.lstrip())
        end -= len(inner) - len(inner.rstrip())
        if start >= end or span.kind in _BARE:
            continue
        if span.kind is SpanKind.LINK:
            if span.url and _spoken(span.url) not in text:
                closing, opening = inserts.get(end, ("", ""))
                inserts[end] = (f" ({span.url}){closing}", opening)
            continue
        if span.kind is SpanKind.QUOTE and _whole_lines(text, start, end):
            first = text.rfind("\n", 0, start) + 1
            quoted.add(first)
            # Spans come in their order: lines that another quote has marked are not looked at again.
            quoted.update(at.end() for at in _LINE_END.finditer(text, max(start, quoted_up_to), end - 1))
            quoted_up_to = max(quoted_up_to, end - 1)
            continue
        mark = _MARKS.get(span.kind)
        broken = "\n" in text[start:end] and span.kind is not SpanKind.PRE
        if mark is None or broken or (span.kind in _WORDS and _within_a_word(text, start, end)):
            lost = True
            continue
        closing, opening = inserts.get(start, ("", ""))
        inserts[start] = (closing, opening + mark)
        closing, opening = inserts.get(end, ("", ""))
        inserts[end] = (mark + closing, opening)
    for start in quoted:  # a quote's mark stands first on its line
        closing, opening = inserts.get(start, ("", ""))
        inserts[start] = (closing, f"> {opening}")
    if not inserts:
        return text, lost
    pieces: list[str] = []
    at = 0
    for place in sorted(inserts):
        pieces += (text[at:place], *inserts[place])
        at = place
    return "".join((*pieces, text[at:])), lost
