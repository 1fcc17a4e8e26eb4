"""The commands of deploy/kubernetes/README.md, typed as printed where there is a cluster that only takes notes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import FOLDER, Manifest, containers, of, overlay
from tests.support.patience import PATIENCE
from tests.support.readme import blocks

ROOT = FOLDER.parents[1]
PAGE = FOLDER / "README.md"

CLUSTER = """
import base64, json, os, pathlib, re, sys
name, *words = pathlib.Path(sys.argv[0]).name, *sys.argv[1:]
folder = pathlib.Path(os.environ["NOTES"])
with (folder / "typed").open("a") as typed:
    typed.write(json.dumps([name, *words]) + "\\n")
if "secret" in words and "create" in words:
    secret = folder / f"{words[words.index('generic') + 1]}.secret"
    assert not secret.exists(), secret
    pairs = (word.partition("=")[2].split("=", 1) for word in words if word.startswith("--from-"))
    secret.write_text(json.dumps(dict(pairs)))
elif "secret" in words and "get" in words:
    key = re.fullmatch(r"jsonpath=\\{\\.data\\.(.*)\\}", words[-1]).group(1).replace("\\\\", "")
    secret = folder / f"{words[words.index('secret') + 1]}.secret"
    value = json.loads(secret.read_text())[key] if secret.exists() else "of an operator"
    print(base64.b64encode(value.encode()).decode())
"""
"""A `kubectl`, `helm`, `docker`, `make` or `mgym` that writes down what is typed, and remembers Secrets."""

IN_PRODUCTION_ONLY = "rabbitmq.example.org"


class Notes:
    """What a page's commands did."""

    def __init__(self, folder: Path) -> None:
        self.commands: list[list[str]] = [json.loads(line) for line in (folder / "typed").read_text().splitlines()]
        self.secrets: dict[str, dict[str, str]] = {
            path.stem: json.loads(path.read_text()) for path in folder.glob("*.secret")
        }


def typed(folder: Path, commands: list[str]) -> Notes:
    for name in ("kubectl", "helm", "docker", "make", "mgym"):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{CLUSTER}")
        program.chmod(0o755)
    text = "\n".join(commands).replace(".venv/bin/", "").replace("$PWD", str(folder))
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "NOTES": str(folder)}
    done = subprocess.run(
        ["bash", "-euc", f"{text}\nwait"], cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return Notes(folder)


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Notes:
    page = [each for each in blocks("sh", PAGE) if IN_PRODUCTION_ONLY not in each]
    return typed(tmp_path_factory.mktemp("operators"), page)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Notes:
    page = [each for each in blocks("sh", PAGE) if IN_PRODUCTION_ONLY in each]
    return typed(tmp_path_factory.mktemp("production"), page)


def referred(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    """Yield the Secrets that must be there, with a key of each."""
    for container in containers(manifests):
        for each in container.get("env", []):
            if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]
        for each in container["envFrom"]:
            if (reference := each.get("secretRef")) and not reference.get("optional"):
                yield from ((reference["name"], key) for key in WHOLE[reference["name"]])
    for authentication in of("TriggerAuthentication", manifests).values():
        yield from ((each["name"], each["key"]) for each in authentication["spec"]["secretTargetRef"])
    for user in of("User", manifests).values():
        yield from ((user["spec"]["importCredentialsSecret"]["name"], key) for key in ("username", "password"))
    for replica_set in of("MongoDBCommunity", manifests).values():
        yield from ((each["passwordSecretRef"]["name"], "password") for each in replica_set["spec"]["users"])


URLS = ("METRIQ_AMQP_URL", "METRIQ_MONGO_URL")
USERS = ("DISPATCHER", "POLLER", "SCORER", "EXPORTER", "CONSOLE", "METRIQ", "OPERATOR", "MONITOR")
WHOLE = {
    **dict.fromkeys(("metriq-dispatcher", "metriq-poller", "metriq-scorer", "metriq-exporter"), URLS),
    "metriq-console": ("METRIQ_CONSOLE_OPERATOR_TOKEN",),
    "metriq-administrators": (
        *("RABBITMQ_ADMIN_URL", "RABBITMQ_MANAGEMENT_URL", "MONGO_ADMIN_URL"),
        *(f"{server}_{user}_PASSWORD" for server in ("RABBITMQ", "MONGO") for user in USERS),
    ),
}


def made_by_operators(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    for certificate in of("Certificate", manifests).values():
        yield from ((certificate["spec"]["secretName"], key) for key in ("ca.crt", "tls.crt", "tls.key"))
    for replica_set in of("MongoDBCommunity", manifests).values():
        for user in replica_set["spec"]["users"]:
            yield user["connectionStringSecretName"], "connectionString.standard"


def test_every_secret_that_is_needed_is_made(operators: Notes, production: Notes) -> None:
    for name, notes in (("operators", operators), ("production", production)):
        made = {(secret, key) for secret, keys in notes.secrets.items() for key in keys}
        needed = set(referred(overlay(name)))
        assert needed <= made | set(made_by_operators(overlay(name)))
        # The last one is for the Topology Operator, in its own namespace.
        assert set(notes.secrets) <= {secret for secret, _ in needed} | {"rabbitmq-authority"}


def test_passwords_differ_and_can_be_part_of_a_url(operators: Notes, production: Notes) -> None:
    for notes in (operators, production):
        passwords = [
            value
            for keys in notes.secrets.values()
            for key, value in keys.items()
            if key == "password" or key.endswith("_PASSWORD")
        ]
        assert len(passwords) == len(set(passwords)) == 2 * len(USERS)
        assert all(re.fullmatch("[0-9a-f]{48}", each) for each in passwords)


def test_urls_are_for_users_with_the_passwords_that_they_get(operators: Notes, production: Notes) -> None:
    password = operators.secrets["rabbitmq-monitor"]["password"]
    url = f"https://monitor:{password}@rabbitmq.metriq-gym.svc:15671/"
    assert operators.secrets["metriq-monitor"]["RABBITMQ_MANAGEMENT_URL"] == url
    given = production.secrets["metriq-administrators"]
    for user in ("dispatcher", "poller", "scorer", "exporter"):
        urls = production.secrets[f"metriq-{user}"]
        rabbitmq, mongo = (given[f"{server}_{user.upper()}_PASSWORD"] for server in ("RABBITMQ", "MONGO"))
        assert urls["METRIQ_AMQP_URL"] == f"amqps://{user}:{rabbitmq}@rabbitmq.example.org/"
        assert urls["METRIQ_MONGO_URL"].startswith(f"mongodb://{user}:{mongo}@mongo.example.org/?")


def test_what_is_named_exists_and_has_a_version(operators: Notes, production: Notes) -> None:
    for command in operators.commands + production.commands:
        for word in command:
            if path := re.search("deploy/.*", word):
                assert (ROOT / path.group()).exists(), word
            elif word.startswith("https://") and word.endswith((".yaml", ".yml")):
                assert re.search(r"/v?\d+\.\d+\.\d+/", word), word
        if command[0] == "helm":
            assert re.fullmatch(r"\d+\.\d+\.\d+", command[command.index("--version") + 1])


def test_resources_that_are_named_are_those_of_the_overlay(operators: Notes) -> None:
    known = {f"{each['kind']}/{each['metadata']['name']}".lower() for each in overlay("operators")}
    named = {
        word
        for command in operators.commands
        for word in command
        if re.fullmatch(r"(deployment|certificate|service|pod)/[\w-]+", word)
    }
    assert named == {"certificate/rabbitmq-tls", "deployment/exporter", "service/rabbitmq", "pod/mongodb-0"}
    # Operators make the last two.
    assert named - known == {"service/rabbitmq", "pod/mongodb-0"}


def test_every_image_is_pushed_and_has_a_place_in_an_overlay_of_ones_own(operators: Notes) -> None:
    needed = {each["image"].partition(":")[0] for each in containers(overlay("operators")) if "metriq" in each["image"]}
    pushed = {command[-1].partition(":")[0] for command in operators.commands if command[:2] == ["docker", "push"]}
    mine = yaml.safe_load(next(each for each in blocks("yaml", PAGE) if "images:" in each))
    assert needed == pushed == {each["name"] for each in mine["images"]}


def test_what_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https:)([^)#]+)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []
