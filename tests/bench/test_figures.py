"""Figures, aims and the table they are shown in."""

from __future__ import annotations

import pytest

from bench.figures import Aim, Figure, Result, percentile, series
from bench.report import render, section


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    figure = Figure("rate", "/s", series([10, 40, 30]), series([20, 40, 60]))
    assert figure.ratio == 0.5
    assert str(figure.ours) == "30.0 (10.0–40.0)"


def test_a_figure_nobody_measured_is_none() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        series([])


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (Aim(80), True),
        (Aim(101), False),
        (Aim(100, "at most"), True),
        (Aim(99, "at most"), False),
        (Aim(0.5, of="ratio"), True),
        (Aim(0.6, of="ratio"), False),
    ],
)
def test_an_aim_is_of_the_value_or_of_the_ratio(aim: Aim, met: bool) -> None:
    assert aim.met(Figure("rate", "/s", series([100]), series([200]), (aim,))) is met


def test_an_aim_of_a_ratio_is_missed_without_a_yardstick() -> None:
    assert not Aim(0.1, of="ratio").met(Figure("rate", "/s", series([100])))


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert percentile([1], 0.99) == 1


def test_the_report_names_the_machine_and_shows_what_was_missed() -> None:
    figures = (
        Figure("rate", "/s", series([1234]), series([2468]), (Aim(0.8, of="ratio"), Aim(1000))),
        Figure("memory", "MiB", series([12.34])),
    )
    text = render({"Processor": "one of many"}, [Result("A title", "What was done.", figures)])
    assert "- Processor: one of many" in text
    assert "| rate | /s | 1,234 | 2,468 | 0.50 | ≥ 0.80 of bare ✗, ≥ 1,000 ✓ |" in text
    assert "| memory | MiB | 12.3 |  |  |  |" in section(Result("A title", "What was done.", figures))
