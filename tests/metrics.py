"""Writes `docs/metrics.md`: every metric of the catalogue. `make docs` runs it, a test keeps it fresh."""

from __future__ import annotations

import inspect
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from shared.runtime import metrics
from shared.runtime.reporting.by_account import LABELLED, REST

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"
_HEAD = f"""# Metrics

Written by `make docs` from `shared/runtime/metrics.py`; do not edit it by hand. `GET /metrics` answers in
Prometheus' text format. Beside these there are those of the process (`process_…`, `python_gc_…`). A histogram
has `_bucket`, `_sum` and `_count`. Series whose labels are known beforehand begin at 0.

With `account` as a label, the {LABELLED} busiest accounts have series of their own; the others are counted under
`account="{REST}"`. An account that becomes busier than the least busy takes its place: a series then ends, and
sums stay true.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def catalogue() -> list[MetricWrapperBase]:
    return [value for _, value in inspect.getmembers(metrics) if isinstance(value, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    """As it is in a query; of a histogram the stem."""
    return f"{metric._name}_total" if metric._type == "counter" else metric._name


def document() -> str:
    rows = [
        f"| `{name_of(m)}` | {m._type} | {', '.join(f'`{label}`' for label in m._labelnames)} | {m._documentation} |"
        for m in sorted(catalogue(), key=name_of)
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
