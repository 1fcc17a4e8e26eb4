"""The commands of deploy/README.md as printed, in a fresh copy of the repository."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.docker.test_compose import PORTS, docker
from tests.servers.discovery import free_port
from tests.servers.mongodb import IMAGE as MONGO_IMAGE
from tests.support.patience import until
from tests.support.readme import BIN, ROOT, blocks

UPGRADE = "METRIQ_IMAGE_TAG=next"
PAGE = ROOT / "deploy" / "README.md"


@dataclass(frozen=True)
class Checkout:
    """The tracked files in a folder of their own, and a shell there, whose containers are nobody else's."""

    folder: Path
    env: dict[str, str]

    def run(self, commands: str) -> str:
        # The ports that the pages print may be taken here, and nobody would ever stop following a log.
        for name, default in re.findall(r"127\.0\.0\.1:\$\{(\w+):-(\d+)}", (ROOT / "docker-compose.yml").read_text()):
            commands = commands.replace(f"localhost:{default}", f"localhost:{self.env[name]}")
        commands = commands.replace("logs -f", "logs").replace(".venv/bin/", f"{BIN}/")
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def records(self) -> dict[str, dict[str, object]]:
        return {path.stem: json.loads(path.read_text()) for path in (self.folder / "results").glob("*.json")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("checkout")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    env = {name: value for name, value in os.environ.items() if not name.startswith("METRIQ_")}
    env |= {name: str(free_port()) for name in PORTS}
    env |= {"COMPOSE_PROJECT_NAME": f"metriq-docs-{secrets.token_hex(4)}", "METRIQ_IMAGE_TAG": "docs"}
    checkout = Checkout(folder, env | {"MONGO_IMAGE": MONGO_IMAGE})
    docker("version")
    try:
        yield checkout
    finally:
        checkout.run("docker compose --profile '*' down --volumes --timeout 10")


def block(beginning: str) -> str:
    (found,) = [each for each in blocks("sh", PAGE) if each.startswith(beginning)]
    return found


def test_every_block_of_the_page_is_run_here() -> None:
    known = ("make up", "docker compose up", "docker compose --profile sandbox", "mkdir", ". ./.env", UPGRADE)
    assert [each for each in blocks("sh", PAGE) if not each.startswith(known)] == []


def test_without_passwords_of_ones_own(checkout: Checkout) -> None:
    checkout.run(block("docker compose up"))
    checkout.run(block(UPGRADE))
    assert "-poller:next" in checkout.run("docker compose ps --format '{{.Image}}'")
    checkout.run("docker compose down --volumes")


def test_from_nothing_to_a_pull_request_with_random_passwords(checkout: Checkout) -> None:
    start, stop = block("make up").splitlines()
    began = time.monotonic()
    checkout.run(f"{start.split('#')[0]} PROFILES=sandbox")
    print(f"\nmake up PROFILES=sandbox: {time.monotonic() - began:.0f} s up to the pull request")
    assert "metriq" not in (checkout.folder / ".env").read_text()
    said = checkout.run(block("docker compose --profile sandbox"))
    assert "sandbox-demo: exported" in said
    assert '"title"' in said
    with urlopen(f"http://localhost:{checkout.env['TYXONQ_SANDBOX_PORT']}/_sandbox/health") as health:
        assert health.status == 200
    checkout.run(stop)


def test_results_appear_in_a_folder_and_mgym_is_a_client(checkout: Checkout) -> None:
    checkout.run(block("mkdir"))
    # The page's URLs have the default ports.
    login = block(". ./.env").replace('@localhost/"', f'@localhost:{checkout.env["RABBITMQ_PORT"]}/"')
    login = login.replace("@localhost/?", f"@localhost:{checkout.env['MONGO_PORT']}/?")
    checkout.run(f"{login}\n.venv/bin/mgym run wit.example.json")
    until(checkout.records)
    assert "refuses" not in checkout.run(f"{login}\n.venv/bin/mgym doctor")
