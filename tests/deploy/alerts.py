"""The alerts as Prometheus takes them, and what every expression asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.metrics import catalogue, name_of

MONITORING = Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "monitoring"
_METRIC = re.compile(r"\bconnector_\w+|\b(?:process|python)_\w+")
_OF_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


def groups() -> dict[str, Any]:
    """What stands in the PrometheusRule, in the form of a rule file."""
    (rule,) = yaml.safe_load_all((MONITORING / "rules.yaml").read_text())
    return dict(rule["spec"])


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups()["groups"] for rule in group["rules"]]


def unknown_metrics(expression: str) -> set[str]:
    """Names in a query that the catalogue does not have."""
    known = {name_of(metric) for metric in catalogue()}
    histograms = {name_of(metric) for metric in catalogue() if metric._type == "histogram"}
    asked = {name for name in _METRIC.findall(expression) if name.startswith("connector_")}
    return {name for name in asked if name not in known and _OF_HISTOGRAM.sub("", name) not in histograms}


def unknown_labels(expression: str) -> set[tuple[str, str]]:
    """Metric and label of every selector and grouping of a query that the metric does not have."""
    labels = {name_of(metric): {*metric._labelnames, "le"} for metric in catalogue()}
    wrong: set[tuple[str, str]] = set()
    for name, selector in re.findall(r"\b(connector_\w+)\{([^}]*)\}", expression):
        stem = name if name in labels else _OF_HISTOGRAM.sub("", name)
        asked = re.findall(r"(\w+)\s*[=!]~?", re.sub(r'"[^"]*"', '""', selector))
        wrong |= {(name, label) for label in asked if label not in labels[stem]}
    for grouping, inner in re.findall(r"by \(([\w, ]+)\) \(((?:[^()]|\([^()]*\))*)\)", expression):
        for name in _METRIC.findall(inner):
            stem = name if name in labels else _OF_HISTOGRAM.sub("", name)
            wrong |= {(name, label.strip()) for label in grouping.split(",") if label.strip() not in labels[stem]}
    return wrong
