"""Alerts go off for what they say and for nothing beside it; each has a runbook; dashboards ask for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alerts import alerts, groups, unknown_labels, unknown_metrics
from tests.deploy.dashboard import DOCUMENT, dashboard, document, queries
from tests.metrics import catalogue, name_of

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "alerts.yaml"


def promtool(*arguments: str, directory: Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (Debian: prometheus)")
    ran = subprocess.run(["promtool", *arguments], cwd=directory, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()))
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", "rules.yaml", directory=tmp_path)


def test_every_alert_goes_off_for_what_it_says_and_for_nothing_else(tmp_path: Path) -> None:
    rules = {rule["alert"]: rule for rule in alerts()}
    cases: dict[str, Any] = yaml.safe_load(CASES.read_text())
    # The words of an annotation are the rule's own business: the case is about who is alerted, of what.
    bare = [{**rule, "annotations": {}} for rule in alerts()]
    for case in cases["tests"]:
        for expected in case["alert_rule_test"]:
            for alert in expected["exp_alerts"]:
                alert["exp_labels"] |= rules[expected["alertname"]]["labels"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "alerts", "rules": bare}]}))
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    promtool("test", "rules", "cases.yaml", directory=tmp_path)
    tried = [expected["alertname"] for case in cases["tests"] for expected in case["alert_rule_test"]]
    assert sorted(tried) == sorted(rules)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_there_is_and_has_a_runbook(rule: dict[str, Any]) -> None:
    assert unknown_metrics(rule["expr"]) == set()
    assert unknown_labels(rule["expr"]) == set()
    assert rule["labels"]["severity"] in ("page", "ticket")
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    sections = re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", (ROOT / path).read_text(), re.MULTILINE | re.DOTALL)
    found = {name.lower(): text for name, text in sections}
    assert anchor == rule["alert"].lower()
    assert all(f"**{part}**" in found[anchor] for part in ("Means", "Look", "Do"))
    asked = f"{rule['annotations']['summary']} "
    named = set(re.findall(r"\$labels\.(\w+)", asked))
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
    assert named <= grouped


def test_a_runbook_is_of_an_alert_and_names_metrics_that_there_are() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [rule["alert"] for rule in alerts()]
    assert unknown_metrics(text) == set()
    assert unknown_metrics((ROOT / "docs" / "operations.md").read_text()) == set()


def test_a_wrong_query_would_be_found() -> None:
    assert unknown_metrics('sum(rate(connector_sends_total{channel="a"}[5m]))') == {"connector_sends_total"}
    assert unknown_metrics("histogram_quantile(0.9, connector_command_seconds_bucket)") == set()
    wrong = 'sum by (role) (rate(connector_webhooks_total{code="401"}[5m]))'
    assert unknown_labels(wrong) == {("connector_webhooks_total", "code"), ("connector_webhooks_total", "role")}


def test_the_dashboard_is_fresh_and_shows_every_metric_once() -> None:
    assert DOCUMENT.read_text() == document(), "make docs writes it anew"
    shown = [panel["title"] for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert sorted(shown) == sorted(name_of(metric) for metric in catalogue())
    ids = [panel["id"] for panel in json.loads(DOCUMENT.read_text())["panels"]]
    assert len(ids) == len(set(ids))


def test_the_dashboards_queries_are_valid_and_ask_for_what_there_is(tmp_path: Path) -> None:
    asked = [text.replace("$__rate_interval", "5m").replace("$channel", ".*") for text in queries()]
    for expression in asked:
        assert unknown_metrics(expression) == set()
        assert unknown_labels(expression) == set()
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked)]
    rules = {"groups": [{"name": "dashboard", "rules": recorded}]}
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(rules))
    promtool("check", "rules", "queries.yaml", directory=tmp_path)
