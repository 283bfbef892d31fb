"""The tracker never commits past an open offset, whatever the order of closing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stream.tracker import Tracker

offsets = st.lists(st.integers(0, 1000), min_size=1, unique=True).map(sorted)


@given(offsets, st.randoms(use_true_random=False))
def test_watermark_is_the_lowest_open_offset_or_one_past_the_last(opened: list[int], random) -> None:
    tracker = Tracker()
    for offset in opened:
        tracker.open(offset)
    still_open = set(opened)
    for offset in random.sample(opened, len(opened)):
        tracker.close(offset)
        still_open.discard(offset)
        assert tracker.watermark == (min(still_open) if still_open else opened[-1] + 1)
        assert len(tracker) == len(still_open)
        assert tracker.held == sum(1 for each in opened if each >= tracker.watermark)
    assert len(tracker) == tracker.held == 0


@given(offsets, st.data())
def test_opening_and_closing_may_interleave(opened: list[int], data: st.DataObject) -> None:
    tracker, still_open, before = Tracker(), [], 0
    for offset in opened:
        tracker.open(offset)
        still_open.append(offset)
        while still_open and data.draw(st.booleans()):
            tracker.close(still_open.pop(data.draw(st.integers(0, len(still_open) - 1))))
        assert tracker.watermark == (min(still_open) if still_open else offset + 1)
        assert tracker.watermark >= before
        before = tracker.watermark


def test_a_watermark_is_committed_once() -> None:
    tracker = Tracker()
    assert tracker.uncommitted() is None
    tracker.open(7)
    tracker.open(8)
    tracker.close(7)
    assert tracker.uncommitted() == 8
    tracker.committed(8)
    assert tracker.uncommitted() is None


def test_misuse_is_refused() -> None:
    tracker = Tracker()
    tracker.open(5)
    with pytest.raises(ValueError, match="offset 5"):
        tracker.open(5)
    tracker.open(6)
    tracker.close(6)
    for offset in (4, 6, 7):
        with pytest.raises(KeyError):
            tracker.close(offset)
