"""The profile `observability` mounts configurations that exist and that name servers which are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def mounted(name: str, path: str) -> Path:
    """The file of this repository that a container of a service sees at a path."""
    for volume in SERVICES[name]["volumes"]:
        source, target, *_ = str(volume).split(":")
        if source.startswith("./") and path.startswith(f"{target}/"):
            return ROOT / source / path.removeprefix(f"{target}/")
    raise AssertionError(f"{name} has nothing mounted at {path}")


@pytest.mark.parametrize("name", ["prometheus", "otel-collector"])
def test_server_is_started_with_a_configuration_that_is_there(name: str) -> None:
    (path,) = [
        word.split("=")[1] for word in SERVICES[name]["command"] if word.startswith(("--config.file", "--config="))
    ]
    assert yaml.safe_load(mounted(name, path).read_text())


def test_prometheus_asks_every_service_and_the_broker() -> None:
    config = yaml.safe_load(mounted("prometheus", "/etc/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    (discovery,) = jobs["metriq"]["dns_sd_configs"]
    assert discovery["names"] == ["dispatcher", "poller", "scorer", "exporter", "console"]
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    assert f"METRIQ_HTTP_PORT={discovery['port']}" in dockerfile
    assert jobs["rabbitmq"]["static_configs"] == [{"targets": ["rabbitmq:15692"]}]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("otel-collector", "/etc/otel/collector.yaml"),
        ("grafana", "/etc/grafana/provisioning/datasources/datasources.yaml"),
    ],
)
def test_servers_that_are_named_are_services(name: str, path: str) -> None:
    hosts = set(re.findall(r"(?:endpoint: |://)([a-z][\w-]*):\d+", mounted(name, path).read_text()))
    assert hosts
    assert hosts <= set(SERVICES)


def test_make_up_has_traces_sent_to_the_collector_with_the_profile_unless_told_otherwise(tmp_path: Path) -> None:
    def command(profiles: str, env: str = "") -> str:
        (tmp_path / ".env").write_text(env)
        make = ["make", "-n", "-f", str(ROOT / "Makefile"), "up", f"PROFILES={profiles}"]
        return subprocess.run(make, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    endpoint = re.findall(r"METRIQ_OTLP_ENDPOINT=(\S+)", command("sandbox observability"))
    collector = yaml.safe_load(mounted("otel-collector", "/etc/otel/collector.yaml").read_text())
    _, _, port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")
    assert endpoint == [f"http://otel-collector:{port}"]
    assert "METRIQ_OTLP_ENDPOINT" not in command("sandbox")
    assert "METRIQ_OTLP_ENDPOINT" not in command("observability", "METRIQ_OTLP_ENDPOINT=http://elsewhere:4318")


def test_grafana_looks_for_dashboards_where_they_are_mounted() -> None:
    path = "/etc/grafana/provisioning/dashboards/dashboards.yaml"
    (provider,) = yaml.safe_load(mounted("grafana", path).read_text())["providers"]
    assert (
        mounted("grafana", f"{provider['options']['path']}/any.json").parent
        == ROOT / "deploy" / "grafana" / "dashboards"
    )
