"""Results as text: a head with the machine, a table per scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.figures import Figure, Result

_LEGEND = """\
Every figure of ours stands beside a yardstick that does the bare job with the same libraries against the same broker,
measured in the same run in turns (ours, bare, ours, bare …). A cell is the median of the rounds with the lowest and
the highest; the ratio is the median of the rounds' ratios. Processor time is that of the measured process alone; on a
busy machine it says more than a rate.
"""


def render(machine: Mapping[str, str], results: Sequence[Result]) -> str:
    """The whole file."""
    head = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return "\n".join(["# Benchmark results\n", _LEGEND, head, "", *(section(result) for result in results)])


def section(result: Result) -> str:
    """One scenario."""
    lines = [
        f"## {result.title}\n",
        f"{result.setting}\n",
        "| figure | unit | ours | bare | ratio | aim |",
        "|---|---|---:|---:|---:|---|",
        *map(_row, result.figures),
    ]
    return "\n".join(lines) + "\n"


def _row(figure: Figure) -> str:
    bare = "" if figure.bare is None else str(figure.bare)
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return f"| {figure.name} | {figure.unit} | {figure.ours} | {bare} | {ratio} | {figure.verdict} |"
