"""Splitting text: nothing lost, nothing that belongs together divided, and never slow."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.content import Span, SpanKind
from shared.policy.text import Utf16Offsets, length, split_text

# Characters that make and break clusters: combining marks, joiners, flags, skin tones, Hangul, Indic, CR LF, prepend.
_AWKWARD = "a b.c!\n\r\t\u0301\u200d\ufe0f👍🏽👩❤🇩🇪🇫한\u1100\u1161\u11a8नि\u094dक\u0600\u00a0。é😀"
awkward_text = st.text(st.sampled_from(_AWKWARD) | st.characters(exclude_categories=["Cs"]), max_size=120)
units = st.sampled_from(["code_points", "utf16"])


def _span(offset: int, size: int, kind: SpanKind = SpanKind.BOLD) -> Span:
    return Span(kind=kind, offset=offset, length=size)


def _boundaries(text: str) -> set[int]:
    return {0} | {match.end() for match in regex.finditer(r"\X", text)}


def _ends(parts: object) -> list[int]:
    ends, at = [], 0
    for part in parts:  # type: ignore[attr-defined]
        at += len(part.text)
        ends.append(at)
    return ends


spans_of = st.lists(
    st.builds(_span, st.integers(0, 130), st.integers(1, 60), st.sampled_from(list(SpanKind))), max_size=6
)


@given(text=awkward_text, limit=st.integers(2, 40), unit=units, spans=spans_of)
def test_parts_rejoin_and_fit(text: str, limit: int, unit: str, spans: list[Span]) -> None:
    parts = split_text(text, limit, unit=unit, spans=spans)  # type: ignore[arg-type]
    assert "".join(part.text for part in parts) == text
    assert all(length(part.text, unit) <= limit for part in parts)  # type: ignore[arg-type]
    assert all(part.text for part in parts) or text == ""


@given(text=awkward_text, limit=st.integers(2, 40), unit=units)
def test_a_cluster_is_divided_only_when_it_cannot_fit(text: str, limit: int, unit: str) -> None:
    boundaries = _boundaries(text)
    for end in _ends(split_text(text, limit, unit=unit)):  # type: ignore[arg-type]
        if end not in boundaries:
            start = max(place for place in boundaries if place < end)
            cluster = regex.match(r"\X", text[start:])[0]
            assert length(cluster, unit) > limit  # type: ignore[arg-type]


@given(text=awkward_text, limit=st.integers(2, 40), spans=spans_of)
def test_spans_cover_the_same_characters(text: str, limit: int, spans: list[Span]) -> None:
    covered = {
        (span.kind, place) for span in spans for place in range(span.offset, min(span.offset + span.length, len(text)))
    }
    found, start = set(), 0
    for part in split_text(text, limit, spans=spans):
        for span in part.spans:
            assert span.offset + span.length <= len(part.text)
            found |= {(span.kind, start + span.offset + step) for step in range(span.length)}
        start += len(part.text)
    assert found == covered


@given(text=awkward_text, offset=st.integers(0, 100), size=st.integers(1, 20), limit=st.integers(20, 40))
def test_a_span_that_fits_is_not_divided(text: str, offset: int, size: int, limit: int) -> None:
    span = _span(offset, size)
    end = min(offset + size, len(text))
    # A cluster that straddles the span's border leaves no place to cut there.
    if {offset, end} <= _boundaries(text):
        assert all(not offset < cut < end for cut in _ends(split_text(text, limit, spans=[span])))


@given(text=awkward_text)
def test_utf16_offsets_agree_with_the_encoding(text: str) -> None:
    offsets = Utf16Offsets(text)
    for point in range(len(text) + 1):
        unit = len(text[:point].encode("utf-16-le")) // 2
        assert offsets.units(point) == unit
        assert offsets.code_points(unit) == point
    for point, character in enumerate(text):
        if character > "\uffff":
            assert offsets.code_points(offsets.units(point) + 1) == point


def test_utf16_offset_beyond_the_end_is_the_end() -> None:
    assert Utf16Offsets("a😀").code_points(99) == 2


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("", 10, [""]),
        ("short", 10, ["short"]),
        ("exactly ten", 11, ["exactly ten"]),
        ("one two three", 8, ["one two ", "three"]),
        ("First one. Then two more", 20, ["First one. ", "Then two more"]),
        ("a long line\nand the next", 14, ["a long line\n", "and the next"]),
        ("para one ok\n\npara two. x y", 22, ["para one ok\n\n", "para two. x y"]),
        ("aaaaaaaaaaaaaaa", 6, ["aaaaaa", "aaaaaa", "aaa"]),
        ("你好。世界你好世界", 5, ["你好。", "世界你好世", "界"]),
        ("ab cccccccccc", 11, ["ab ", "cccccccccc"]),
    ],
    ids=["empty", "fits", "just-fits", "word", "sentence", "line", "paragraph", "no-border", "chinese", "early-border"],
)
def test_prefers_the_best_border(text: str, limit: int, expected: list[str]) -> None:
    assert [part.text for part in split_text(text, limit)] == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("说明说明说明https://example.com/a!b", 26, ["说明说明说明", "https://example.com/a!b"]),
        ("see www.example.com/q?x=1!y=2", 26, ["see ", "www.example.com/q?x=1!y=2"]),
    ],
)
def test_a_link_is_not_divided(text: str, limit: int, expected: list[str]) -> None:
    assert [part.text for part in split_text(text, limit)] == expected


def test_a_link_longer_than_a_part_is_divided() -> None:
    text = "https://example.com/" + "x" * 50
    assert [len(part.text) for part in split_text(text, 30)] == [30, 30, 10]


def test_a_family_a_flag_and_a_skin_tone_stay_whole() -> None:
    for cluster in ("👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️‍🔥", "한", "क्षि", "\r\n"):
        text = "x" * 9 + cluster + "y" * 9
        parts = [part.text for part in split_text(text, 12)]
        assert any(cluster in part for part in parts), cluster


def test_only_a_cluster_longer_than_a_part_is_divided() -> None:
    parts = split_text("a" + "\u0301" * 9, 4)
    assert [len(part.text) for part in parts] == [4, 4, 2]


def test_counts_utf16_units_where_the_provider_does() -> None:
    assert [part.text for part in split_text("😀" * 5, 4, unit="utf16")] == ["😀😀", "😀😀", "😀"]
    assert [part.text for part in split_text("😀" * 5, 4)] == ["😀" * 4, "😀"]


def test_a_long_span_continues_in_the_next_part() -> None:
    parts = split_text("aaaa bbbb", 5, spans=[_span(0, 9), _span(5, 2, SpanKind.ITALIC)])
    assert [(s.kind, s.offset, s.length) for s in parts[0].spans] == [("bold", 0, 5)]
    assert [(s.kind, s.offset, s.length) for s in parts[1].spans] == [("bold", 0, 4), ("italic", 0, 2)]


def test_spans_outside_the_text_are_left_out_or_clipped() -> None:
    (part,) = split_text("abc", 10, spans=[_span(2, 99), _span(3, 1), _span(50, 1)])
    assert [(span.offset, span.length) for span in part.spans] == [(2, 1)]


def test_limit_must_hold_a_character() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        split_text("abc", 1)


_MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "word " * (_MEGABYTE // 5),
        "a" * _MEGABYTE,
        "😀" * (_MEGABYTE // 4),
        "🇩" * (_MEGABYTE // 4),
        "a" + "\u0301" * (_MEGABYTE // 2),
        "👩\u200d" * (_MEGABYTE // 7),
        "\r\n" * (_MEGABYTE // 2),
        "\n \t \n" * (_MEGABYTE // 5),
        "http://" * (_MEGABYTE // 7),
        "www." * (_MEGABYTE // 4),
        "a.) " * (_MEGABYTE // 4),
        " " * _MEGABYTE,
    ],
    ids=["words", "one-word", "emoji", "flags", "marks", "joiners", "crlf", "blanks", "links", "www", "dots", "spaces"],
)
def test_a_megabyte_takes_linear_time(text: str) -> None:
    started = time.process_time()
    parts = split_text(text, 4096, unit="utf16")
    # A quadratic step takes minutes here; the bound only has to tell the two apart on a busy machine.
    assert time.process_time() - started < 5
    assert sum(len(part.text) for part in parts) == len(text)


def test_many_spans_take_linear_time() -> None:
    spans = [_span(offset, 3) for offset in range(0, 200_000, 2)]
    started = time.process_time()
    parts = split_text("ab" * 100_000, 4096, spans=spans)
    assert time.process_time() - started < 5
    assert sum(len(part.text) for part in parts) == 200_000
