"""Splitting of text that is longer than a channel takes, and counting it the way providers do.

A part never ends inside a grapheme cluster (Unicode UAX #29), inside a span or a link that fits into one part, and
ends at a paragraph, line, sentence or word where there is one. The parts rejoin exactly to the input. How many of them
a message may become is the account's to say.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import regex

from shared.contract.content import Span

Unit = Literal["code_points", "utf16"]

# Clusters of several code points, as the one group. Runs of characters that always stand alone are skipped in one
# match. Regional indicators are paired here because `\X` looks back over the whole run of them: quadratic.
_CLUSTERS = regex.compile(
    r"\p{GCB=Other}+(?=\p{GCB=Other})|(\p{RI}{2}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*|\X)"
)
_LINKS = regex.compile(r"(?i)(?:(?:https?|ftp|tg)://|mailto:|(?<![a-z0-9.])www\.)\S++")
# Borders, the best first; searched from the end of the window (`(?r)`), the part ends behind the match.
_PARAGRAPH = regex.compile(r"(?r)\n[^\S\n]*\n")
_LINE = regex.compile(r"(?r)\n")
_SENTENCE = regex.compile(r"(?r)[.!?…][\"'”’»)\]]?\s|[。！？]")
_WORD = regex.compile(r"(?r)\s")
DEFAULT_PARTS = 10  # messages that one text may become
_PARTS = range(1, 51)  # what an account may set instead: no more than a message may have files
_BORDERS = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
_WORDS_ONLY: tuple[regex.Pattern[str], ...] = ()  # of the borders worth a part that is half empty: none
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a text with the spans that lie in it, their offsets counted from the part's start."""

    text: str
    spans: tuple[Span, ...] = ()


class Utf16Offsets:
    """Translates offsets of one text between code points (ours) and UTF-16 code units (many providers')."""

    __slots__ = ("_length", "_points", "_units")

    def __init__(self, text: str) -> None:
        # Only what lies outside the Basic Multilingual Plane takes two units.
        self._points = [] if text.isascii() else [match.start() for match in _ASTRAL.finditer(text)]
        self._units = [point + index for index, point in enumerate(self._points)]
        self._length = len(text)

    def units(self, code_point: int) -> int:
        """The offset in UTF-16 units of the code point at `code_point`."""
        return code_point + bisect_left(self._points, code_point)

    def code_points(self, unit: int) -> int:
        """The code point at `unit`, at most the length of the text; inside a surrogate pair, the character it is."""
        pairs_before = bisect_right(self._units, unit - 2)
        inside_pair = pairs_before < len(self._units) and self._units[pairs_before] == unit - 1
        return min(unit - pairs_before - inside_pair, self._length)


def length(text: str, unit: Unit = "code_points") -> int:
    """The length of a text in the unit a provider counts."""
    if unit == "code_points" or text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parts_allowed(settings: Mapping[str, Any]) -> int:
    """Into how many messages an account's text may be split: `settings.max_text_parts`, 1 to 50, else 10."""
    given = settings.get("max_text_parts")
    return given if isinstance(given, int) and not isinstance(given, bool) and given in _PARTS else DEFAULT_PARTS


def excess(channel: str, limit: int, most: int, actual: int, parts: int = 0) -> tuple[str, dict[str, int]] | None:
    """Why a text is too long for `most` messages of `limit`, as a sentence and figures; None where it is not.

    `channel` as people call it; `actual` is the text's length. Also a text within the limit may make too many parts:
    the figures are those of the parts then.
    """
    noun = "part" if most == 1 else "parts"
    said = f"{channel} takes at most {most * limit:,} characters in one message ({most} {noun} of {limit:,})"
    if actual > most * limit:
        return f"{said}; this text has {actual:,}.", {"limit": most * limit, "actual": actual}
    if parts > most:
        return f"{said}; this text has {actual:,} and makes {parts} parts.", {"limit": most, "actual": parts}
    return None


def split_text(
    text: str, limit: int, *, unit: Unit = "code_points", spans: Sequence[Span] = (), most: int | None = None
) -> tuple[TextPart, ...]:
    """Parts of at most `limit` units that rejoin exactly to `text`; one part (also of an empty text) where it fits.

    Spans are clipped to the text and to each part; one that lies outside the text is left out. Only what is longer
    than a whole part (a span, a link, a word, a cluster) is divided, and a cluster last of all. Where that makes more
    than `most` parts, they end at any word, which fills them; also so there may be more than `most`.
    Raises ValueError for a limit below 2.
    """
    if limit < 2:
        raise ValueError("limit must be at least 2")
    inside = [span for span in spans if span.offset < len(text)]
    if length(text, unit) <= limit:
        return (TextPart(text, tuple(_clipped(inside, 0, len(text)))),)
    splitter = _Splitter(text, limit, unit, inside)
    cuts = list(splitter.cuts())
    if most is not None and len(cuts) > most:
        cuts = list(splitter.cuts(_WORDS_ONLY))
    return tuple(_parts(text, cuts, inside))


class _Intervals:
    """Stretches that must not be divided; overlapping ones are one."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(stretches):
            if self._ends and start < self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def floor(self, cut: int) -> int:
        """The nearest place at or before `cut` that divides nothing."""
        index = bisect_left(self._starts, cut) - 1
        return self._starts[index] if index >= 0 and cut < self._ends[index] else cut


class _Splitter:
    """Chooses where the parts of one text end."""

    def __init__(self, text: str, limit: int, unit: Unit, spans: Sequence[Span]) -> None:
        self._text = text
        self._limit = limit
        self._offsets = Utf16Offsets(text if unit == "utf16" else "")
        self._utf16 = unit == "utf16"
        clusters = list(_clusters(text))
        self._clusters = _Intervals(clusters)
        whole = [(span.offset, min(span.offset + span.length, len(text))) for span in spans]
        whole += [match.span() for match in _LINKS.finditer(text)]
        self._protected = _Intervals([*clusters, *(stretch for stretch in whole if self._fits(*stretch))])

    def cuts(self, borders: Sequence[regex.Pattern[str]] = _BORDERS) -> Iterator[int]:
        """The end of each part, in order; the last is the end of the text."""
        start = 0
        while start < len(self._text):
            end = self._window_end(start)
            start = end if end == len(self._text) else self._cut(start, end, borders)
            yield start

    def _fits(self, start: int, end: int) -> bool:
        if self._utf16:
            return self._offsets.units(end) - self._offsets.units(start) <= self._limit
        return end - start <= self._limit

    def _window_end(self, start: int) -> int:
        if self._utf16:
            return self._offsets.code_points(self._offsets.units(start) + self._limit)
        return min(start + self._limit, len(self._text))

    def _cut(self, start: int, end: int, borders: Sequence[regex.Pattern[str]]) -> int:
        # A border in the first half is worth less than a fuller part.
        middle = start + (end - start) // 2
        for border in borders:
            if cut := self._last_border(border, start, end, middle):
                return cut
        if cut := self._last_border(_WORD, start, end, start):
            return cut
        for intervals in (self._protected, self._clusters):
            cut = intervals.floor(end)
            if cut > start:
                return cut
        return end

    def _last_border(self, border: regex.Pattern[str], start: int, end: int, least: int) -> int | None:
        """The last place in (least, end] behind a match after `start` that divides nothing."""
        while (match := border.search(self._text, start, end)) and match.end() > least:
            cut = self._protected.floor(match.end())
            if cut == match.end():
                return cut
            end = min(cut, match.end() - 1)
        return None


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    if text.isascii():
        return ((match.start(), match.end()) for match in re.finditer("\r\n", text))
    return (match.span() for match in _CLUSTERS.finditer(text) if match[1] and len(match[1]) > 1)


def _parts(text: str, cuts: Sequence[int], spans: Sequence[Span]) -> Iterator[TextPart]:
    waiting = sorted(spans, key=lambda span: span.offset, reverse=True)
    open_spans: list[Span] = []
    start = 0
    for end in cuts:
        while waiting and waiting[-1].offset < end:
            open_spans.append(waiting.pop())
        yield TextPart(text[start:end], tuple(_clipped(open_spans, start, end)))
        open_spans = [span for span in open_spans if span.offset + span.length > end]
        start = end


def _clipped(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    for span in spans:
        first, last = max(span.offset, start), min(span.offset + span.length, end)
        if (first - start, last - first) == (span.offset, span.length):
            yield span
        elif first < last:
            yield span.model_copy(update={"offset": first - start, "length": last - first})
