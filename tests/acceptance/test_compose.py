"""What docker-compose.yml and the Dockerfile promise, read from the files; tests/docker runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from metriq_gym.operations.access import ALL as ALL_RIGHTS
from metriq_gym.service.service import LAST_SECONDS
from metriq_gym.settings import Settings
from tests.support.variables import described

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
OURS = ("dispatcher", "poller", "scorer", "exporter")
ONCE = ("rabbitmq-init", "mongo-init")
STAND_INS = ("tyxonq-sandbox", "github-sandbox")
SANDBOX = (*STAND_INS, *(f"sandbox-{name}" for name in OURS), "sandbox-demo")
OBSERVABILITY = ("prometheus", "grafana", "otel-collector", "jaeger")
WITHOUT_A_CHECK = ("otel-collector", "jaeger")
"""Their images have nothing in them that could ask."""
DEFAULT = (*OURS, "console", *ONCE, "rabbitmq", "mongo")
ALL = (*DEFAULT, *SANDBOX, *OBSERVABILITY)
FIXED_BY_THE_IMAGE = {
    "METRIQ_DATA_DIR",
    "METRIQ_EXPORT_DIR",
    "METRIQ_HTTP_HOST",
    "METRIQ_HTTP_PORT",
    "METRIQ_CONSOLE_HOST",
    "METRIQ_CONSOLE_PORT",
}
OF_NO_SERVICE = {"METRIQ_MONGOD_STAY_SECONDS"}
"""They have a database of their own."""


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_profiles_have_these_services_and_no_other() -> None:
    profiles = {name: each.get("profiles", ["default"]) for name, each in COMPOSE["services"].items()}
    assert profiles == {
        name: [profile]
        for profile, names in (("default", DEFAULT), ("sandbox", SANDBOX), ("observability", OBSERVABILITY))
        for name in names
    }


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
def test_service_is_waited_for_longer_than_it_takes_to_stop(name: str) -> None:
    waited = float(service(name)["stop_grace_period"].removesuffix("s"))
    assert waited > Settings.model_fields["grace_seconds"].default + LAST_SECONDS


@pytest.mark.parametrize("name", OURS)
def test_service_can_be_scaled(name: str) -> None:
    assert "ports" not in service(name)
    assert "container_name" not in service(name)


@pytest.mark.parametrize("name", ALL)
def test_image_can_be_replaced_by_a_variable(name: str) -> None:
    assert re.search(r"\$\{\w+:-[^}]+}", service(name)["image"])


@pytest.mark.parametrize("name", sorted({*ALL} - {*ONCE, *WITHOUT_A_CHECK, "sandbox-demo"}))
def test_container_has_a_health_check_and_comes_back(name: str) -> None:
    assert service(name)["healthcheck"]["test"][0] == "CMD"
    assert service(name)["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ALL)
def test_images_that_exist_only_here_are_never_looked_for_in_a_registry(name: str) -> None:
    ours = "METRIQ_IMAGE_PREFIX" in service(name)["image"]
    assert service(name).get("pull_policy", "missing") == ("never" if ours else "missing")


@pytest.mark.parametrize("name", ALL)
def test_a_health_check_that_starts_an_interpreter_starts_a_bare_one(name: str) -> None:
    """With `site`, and the packages of the environment, each check costs five times as much."""
    check = service(name).get("healthcheck", {}).get("test", [])
    if "python" in check:
        assert check[1:4] == ["python", "-I", "-S"]
        paths = [Path(part) for part in check if part.endswith(".py")]
        assert all((ROOT / "shared" / path.relative_to("/opt/metriq")).is_file() for path in paths)
    (in_image,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(in_image)[:3] == ["python", "-I", "-S"]


@pytest.mark.parametrize("name", OURS)
def test_service_starts_when_its_servers_can_be_used(name: str) -> None:
    conditions = {server: wait["condition"] for server, wait in service(name)["depends_on"].items()}
    assert conditions == dict.fromkeys(ONCE, "service_completed_successfully")


def test_every_setting_can_be_set() -> None:
    passed_on = set().union(*(service(name)["environment"] for name in (*OURS, "console")))
    assert passed_on | FIXED_BY_THE_IMAGE | OF_NO_SERVICE == described().keys()


def test_every_variable_is_on_the_page() -> None:
    page = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|(.*)\|$", page, re.MULTILINE)
    named = {name for first, _ in rows for name in re.findall(r"`([A-Z_]+)`", first)}
    (users,) = [rest for first, rest in rows if first == "`RABBITMQ_<USER>_PASSWORD`"]
    named |= {
        f"{server}_{user.upper()}_PASSWORD"
        for server in ("RABBITMQ", "MONGO")
        for user in re.findall("`([a-z]+)`", users)
    }
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert used - named - described().keys() - OF_THE_BUILD == set()


OF_THE_BUILD = {"VERSION", "REVISION"}
"""What `make images` sets."""


@pytest.mark.parametrize("name", ALL)
def test_container_is_told_the_secrets_it_needs_and_no_other(name: str) -> None:
    told = set(re.findall(r"\$\{(\w+):-metriq}", json.dumps([service(name).get("environment", {})])))
    user = name.removeprefix("sandbox-").upper()
    match name:
        case "rabbitmq":
            wanted = {"RABBITMQ_ADMIN_PASSWORD"}
        case "mongo":
            wanted = {"MONGO_KEY"}
        case "grafana":
            wanted = {"GRAFANA_ADMIN_PASSWORD"}
        case "console":
            wanted = {"RABBITMQ_CONSOLE_PASSWORD", "MONGO_CONSOLE_PASSWORD", "METRIQ_CONSOLE_OPERATOR_TOKEN"}
        case "sandbox-demo":
            wanted = {"RABBITMQ_METRIQ_PASSWORD", "MONGO_METRIQ_PASSWORD"}
        case "rabbitmq-init" | "mongo-init":
            server = name.removesuffix("-init").upper()
            wanted = {
                f"{server}_{user}_PASSWORD" for user in ("ADMIN", *(rights.user.upper() for rights in ALL_RIGHTS))
            }
        case _ if user.lower() in OURS:
            wanted = {f"RABBITMQ_{user}_PASSWORD", f"MONGO_{user}_PASSWORD"}
        case _:
            wanted = set()
    assert told == wanted


@pytest.mark.parametrize("name", OURS)
def test_service_is_at_the_servers_as_itself(name: str) -> None:
    for each, host in ((name, ""), (f"sandbox-{name}", "sandbox")):
        environment = service(each)["environment"]
        rabbitmq, mongo = (
            f"${{RABBITMQ_{name.upper()}_PASSWORD:-metriq}}",
            f"${{MONGO_{name.upper()}_PASSWORD:-metriq}}",
        )
        assert environment["METRIQ_AMQP_URL"] == f"amqp://{name}:{rabbitmq}@rabbitmq/{host}"
        assert environment["METRIQ_MONGO_URL"] == f"mongodb://{name}:{mongo}@mongo/?replicaSet=rs0"


@pytest.mark.parametrize("name", ["sandbox-dispatcher", "sandbox-poller", "sandbox-scorer", "sandbox-exporter"])
def test_sandbox_shares_neither_data_nor_tokens_with_what_is_real(name: str) -> None:
    environment, real = service(name)["environment"], service(name.removeprefix("sandbox-"))
    assert environment["METRIQ_MONGO_DATABASE"] == "sandbox"
    for secret in ("METRIQ_TYXONQ_TOKEN", "METRIQ_GITHUB_TOKEN"):
        assert (secret in environment) == (secret in real["environment"])
        assert environment.get(secret, "fixed") is not None
    assert not set(service(name).get("volumes", [])) & set(real.get("volumes", []))


@pytest.mark.parametrize(
    ("secret", "services"),
    [
        ("METRIQ_IBM_TOKEN", {"dispatcher", "poller"}),
        ("METRIQ_TYXONQ_TOKEN", {"dispatcher", "poller"}),
        ("METRIQ_GITHUB_TOKEN", {"exporter"}),
    ],
)
def test_token_reaches_only_the_services_that_use_it(secret: str, services: set[str]) -> None:
    assert {name for name in DEFAULT if secret in service(name).get("environment", {})} == services


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


def test_image_is_built_by_one_service() -> None:
    """Built by two it may be two, and `up` after `up --build` would make containers anew."""
    built = [service(name)["image"] for name in ALL if "build" in service(name)]
    assert len(built) == len(set(built))
    assert {service(name)["image"] for name in ALL if "-sandbox:" in service(name)["image"]} <= set(built)


@pytest.mark.parametrize("name", OURS)
def test_image_says_how_it_is_and_where_it_comes_from(name: str) -> None:
    said = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", DOCKERFILE))
    assert said == {"vendor", "licenses", "base.name", "version", "revision", "title", "description"}
    assert "HEALTHCHECK" in DOCKERFILE


def test_nothing_is_run_in_an_image_of_a_service() -> None:
    """So they need no shell, and layers that have not changed keep their digests."""
    assert "RUN" not in DOCKERFILE[DOCKERFILE.index("AS runtime") :]


def test_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "deploy" / "docker" / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_base_image_can_be_replaced_and_no_dockerfile_frontend_is_downloaded() -> None:
    assert re.findall(r"^FROM (\S+) AS python$", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"]
    assert "syntax=" not in DOCKERFILE
