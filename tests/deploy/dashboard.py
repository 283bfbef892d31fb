"""Writes the Grafana dashboard: rows for the parts of the service, a panel per metric. `make docs` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from shared.runtime import metrics
from tests.metrics import catalogue, name_of

DOCUMENT = (
    Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "dashboard" / "channel-connectors.json"
)  # fmt: skip
_ROWS: dict[str, tuple[MetricWrapperBase, ...]] = {
    "What people feel": (
        metrics.INGEST_SECONDS, metrics.COMMAND_SECONDS, metrics.CONSUMER_LAG, metrics.OLDEST_OPEN,
        metrics.OLDEST_PARKED, metrics.DEAD_PRESENT, metrics.OLDEST_DEAD, metrics.STATUSES,
    ),
    "What it leans on": (
        metrics.READY, metrics.DEPENDENCY_UP, metrics.TOPIC_MISSING, metrics.PRODUCER_RENEWALS, metrics.BUILD,
    ),
    "Accounts": (
        metrics.ACCOUNT_SENDS, metrics.ACCOUNT_ERRORS, metrics.ACCOUNT_WINDOWS, metrics.ACCOUNT_WEBHOOK,
        metrics.ACCOUNT_SILENT, metrics.ACCOUNTS, metrics.ACCOUNT_RECORDS, metrics.HELD_ACCOUNTS,
    ),
    "The provider": (
        metrics.PROVIDER_CALLS, metrics.PROVIDER_SECONDS, metrics.PROVIDER_CODES, metrics.PROVIDER_LAG_SECONDS,
        metrics.CALLS_DRAWN,
    ),
}  # fmt: skip
_REST = "Everything else"
_OF_ALL_ALIKE = frozenset(  # every replica says the same of these
    {metrics.ACCOUNTS, metrics.ACCOUNT_RECORDS, metrics.DEAD_PRESENT, metrics.OLDEST_DEAD, metrics.BUILD,
     metrics.TOPIC_MISSING, metrics.HELD_ACCOUNTS, metrics.OLDEST_OPEN, metrics.OLDEST_PARKED,
     metrics.ACCOUNT_WEBHOOK, metrics.READY}
)  # fmt: skip


def query(metric: MetricWrapperBase) -> str:
    """What a panel asks for: rates of counters, the 99th percentile of durations, gauges over all replicas."""
    name, labels = name_of(metric), ", ".join(metric._labelnames)
    chosen = f'{name}{{channel=~"$channel"}}'
    if metric._type == "counter":
        return f"sum by ({labels}) (rate({chosen}[$__rate_interval]))"
    if metric._type == "histogram":
        chosen = f'{name}_bucket{{channel=~"$channel"}}'
        return f"histogram_quantile(0.99, sum by ({labels}, le) (rate({chosen}[$__rate_interval])))"
    if metric is metrics.ACCOUNT_WEBHOOK:
        return f"time() - max by ({labels}) ({chosen})"
    if metric in (metrics.ACCOUNT_SILENT, metrics.DEPENDENCY_UP):
        return f"min by ({labels}) ({chosen})"
    return f"{'max' if metric in _OF_ALL_ALIKE else 'sum'} by ({labels}) ({chosen})"


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def dashboard() -> dict[str, Any]:
    placed = {metric for row in _ROWS.values() for metric in row}
    rest = tuple(sorted((m for m in catalogue() if m not in placed), key=name_of))
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in {**_ROWS, _REST: rest}.items():
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        top += 1
        for number, metric in enumerate(row):
            at = {"x": 8 * (number % 3), "y": top + 7 * (number // 3), "w": 8, "h": 7}
            panels.append(_panel(metric, at))
        top += 7 * ((len(row) + 2) // 3)
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "uid": "channel-connectors",
        "title": "Channel connectors",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "channel",
                    "type": "query",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": "label_values(connector_build_info, channel)",
                    "multi": True,
                    "includeAll": True,
                    "refresh": 2,
                },
            ]
        },
        "panels": panels,
    }


def _panel(metric: MetricWrapperBase, at: dict[str, int]) -> dict[str, Any]:
    unit = "ops" if metric._type == "counter" else "s" if "seconds" in metric._name else "short"
    return {
        "type": "timeseries",
        "title": name_of(metric),
        "description": metric._documentation,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "expr": query(metric),
                "legendFormat": " ".join(f"{{{{{label}}}}}" for label in metric._labelnames),
            }
        ],
    }


def document() -> str:
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
