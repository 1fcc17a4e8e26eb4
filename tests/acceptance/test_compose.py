"""What docker-compose.yml and the Dockerfile promise, read from the files; tests/docker runs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from metriq_gym.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
OURS = ("dispatcher", "poller", "scorer", "exporter")
ALL = (*OURS, "mongo-init", "rabbitmq", "mongo")
FIXED_BY_THE_IMAGE = {"METRIQ_DATA_DIR", "METRIQ_EXPORT_DIR", "METRIQ_HTTP_HOST", "METRIQ_HTTP_PORT"}


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_compose_has_these_services_and_no_other() -> None:
    assert set(COMPOSE["services"]) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_container_can_change_nothing_but_its_data(name: str) -> None:
    assert service(name)["read_only"] is True
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]
    assert service(name)["user"] not in ("root", "0", "0:0")


@pytest.mark.parametrize("name", ALL)
def test_ports_are_published_on_this_machine_only_and_can_be_moved(name: str) -> None:
    for port in service(name).get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+}:\d+", port)


@pytest.mark.parametrize("name", OURS)
def test_service_can_be_scaled(name: str) -> None:
    assert "ports" not in service(name)
    assert "container_name" not in service(name)


@pytest.mark.parametrize("name", ALL)
def test_image_can_be_replaced_by_a_variable(name: str) -> None:
    assert re.search(r"\$\{\w+:-[^}]+}", service(name)["image"])


@pytest.mark.parametrize("name", [*OURS, "rabbitmq", "mongo"])
def test_container_has_a_health_check_and_comes_back(name: str) -> None:
    assert service(name)["healthcheck"]["test"][0] == "CMD"
    assert service(name)["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_service_starts_when_its_servers_can_be_used(name: str) -> None:
    conditions = {server: wait["condition"] for server, wait in service(name)["depends_on"].items()}
    assert conditions == {"rabbitmq": "service_healthy", "mongo-init": "service_completed_successfully"}


def test_every_setting_can_be_set() -> None:
    passed_on = set().union(*(service(name)["environment"] for name in OURS))
    assert passed_on | FIXED_BY_THE_IMAGE == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("secret", "services"),
    [("METRIQ_TYXONQ_TOKEN", {"dispatcher", "poller"}), ("METRIQ_GITHUB_TOKEN", {"exporter"})],
)
def test_token_reaches_only_the_services_that_use_it(secret: str, services: set[str]) -> None:
    assert {name for name in OURS if secret in service(name)["environment"]} == services


@pytest.mark.parametrize("name", OURS)
def test_image_runs_its_service_as_an_unprivileged_number(name: str) -> None:
    (target,) = re.findall(rf"^FROM runtime AS {name}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert "USER 65532:65532\n" in target
    assert f'ENTRYPOINT ["python", "-m", "services.{name}"]' in target
    assert service(name)["build"]["target"] == name


def test_dependencies_are_installed_before_the_code_is_copied() -> None:
    for name in OURS:
        assert DOCKERFILE.index(f"COPY --from={name}-dependencies") < DOCKERFILE.index(
            "COPY --from=code", DOCKERFILE.index(f"FROM runtime AS {name}")
        )


def test_base_image_can_be_replaced_and_no_dockerfile_frontend_is_downloaded() -> None:
    assert re.findall(r"^FROM (\S+) AS python$", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"]
    assert "syntax=" not in DOCKERFILE
