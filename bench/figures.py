"""Figures: what was measured, of ours and of the yardstick, and how the two compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Series:
    """One value per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        """The median, and the range where there is one: `412 (398–431)`."""
        if len(self.values) == 1:
            return _number(self.values[0])
        return f"{_number(self.median)} ({_number(min(self.values))}–{_number(max(self.values))})"


def series(values: Sequence[float]) -> Series:
    """Raises ValueError without a value: a figure nobody measured is none."""
    if not values:
        raise ValueError("nothing was measured")
    return Series(tuple(values))


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be: at least, or at most, `bound`; of our own value or of the ratio to the yardstick."""

    bound: float
    kind: Literal["at least", "at most"] = "at least"
    of: Literal["value", "ratio"] = "value"

    def met(self, figure: Figure) -> bool:
        reached = figure.ratio if self.of == "ratio" else figure.ours.median
        if reached is None:
            return False
        return reached >= self.bound if self.kind == "at least" else reached <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.kind == "at least" else "≤"
        return f"{sign} {_number(self.bound)}{' of bare' if self.of == 'ratio' else ''}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the results. Without a yardstick the figure stands alone."""

    name: str
    unit: str
    ours: Series
    bare: Series | None = None
    aims: tuple[Aim, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Ours to the yardstick's, round by round; the median of the rounds."""
        if self.bare is None:
            return None
        return median(a / b for a, b in zip(self.ours.values, self.bare.values, strict=True))

    @property
    def verdict(self) -> str:
        return ", ".join(f"{aim} {'✓' if aim.met(self) else '✗'}" for aim in self.aims)


@dataclass(frozen=True, slots=True)
class Result:
    """What one scenario has found; `setting` says what was done, so that the figures mean something."""

    title: str
    setting: str
    figures: tuple[Figure, ...]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
