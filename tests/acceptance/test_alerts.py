"""Alerts and the dashboard: right by Prometheus's own checker, about metrics that exist, with somewhere to read on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metriq_gym.telemetry.metrics import METRICS
from tests.servers.promtool import promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
PANELS: list[dict[str, Any]] = json.loads(
    (ROOT / "deploy" / "grafana" / "dashboards" / "metriq-gym.json").read_text(encoding="utf-8")
)["panels"]
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]


def served() -> dict[str, set[str]]:
    """Every series that a service tells of, and the labels it has beside the target's."""
    of_process = {"process_cpu_seconds_total": set[str](), "process_resident_memory_bytes": set[str]()}
    found: dict[str, set[str]] = {"up": set(), **of_process}
    for metric in METRICS:
        for name in (
            [metric.name + end for end in ("_bucket", "_sum", "_count")] if metric.kind == "histogram" else [""]
        ):
            found[name or metric.name] = {*metric.labels, *({"le"} if name.endswith("_bucket") else ())}
    found["metriq_build_info"] = {"version"}
    return found


def queries() -> Iterator[tuple[str, str]]:
    """What alerts and panels ask, and which of them."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in PANELS:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$namespace", ".*")


def run(*arguments: str | Path) -> None:
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_with_the_rules() -> None:
    run("check", "config", RULES.parent / "prometheus.yml")
    run("check", "rules", RULES)


def test_each_alert_comes_when_it_should_and_only_then() -> None:
    scenarios = ROOT / "tests" / "prometheus" / "alerts.yml"
    run("test", "rules", scenarios)
    tried = {
        each["alertname"]
        for test in yaml.safe_load(scenarios.read_text())["tests"]
        for each in test["alert_rule_test"]
        if "exp_alerts" in each
    }
    assert tried == {alert["alert"] for alert in ALERTS}


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(queries())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("check", "rules", tmp_path / "panels.yml")


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_names_metrics_and_labels_that_there_are(where: str, query: str) -> None:
    series = served()
    named = set(re.findall(r"\b(?:metriq|process)_\w+|\bup\b", query))
    assert named, where
    assert named <= set(series), where
    labels = set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', query)))
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        labels |= set(re.findall(r"\w+", grouped))
    of_target = {"job", "instance", "service", "namespace"}
    assert labels - of_target <= set().union(*(series[name] for name in named)), where


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("warning", "critical")
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/operations.md", alert["alert"].lower())


def test_every_alert_has_a_runbook_and_every_runbook_its_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [alert["alert"] for alert in ALERTS]


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(query for _, query in queries())
    assert [metric.name for metric in METRICS if metric.name not in shown] == []


def test_panels_ask_the_prometheus_that_is_provisioned_and_do_not_overlap() -> None:
    provisioned = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "datasources.yaml"
    sources = {each["uid"] for each in yaml.safe_load(provisioned.read_text())["datasources"]}
    places = set[tuple[int, int]]()
    for panel in PANELS:
        at = panel["gridPos"]
        covered = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not covered & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= covered
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] in sources
            assert panel["targets"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
