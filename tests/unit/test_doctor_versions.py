"""What `mgym doctor` says of a MongoDB server's version, and which versions are run where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metriq_gym.operations.doctor import SUPPORTED_MONGODB, Verdict, of_version
from tests.servers import mongodb

ROOT = Path(__file__).parents[2]
OLDEST, NEWEST = SUPPORTED_MONGODB


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("5.0.31", Verdict.BAD), ("6.0.5", Verdict.GOOD), ("7.0.28", Verdict.GOOD), ("8.0.17", Verdict.NOTE)],
)
def test_server_outside_of_the_supported_versions_is_told(version: str, verdict: Verdict) -> None:
    check = of_version("db:27017", version)
    assert check.verdict is verdict
    assert bool(check.remedy) == (verdict is not Verdict.GOOD)


def test_compose_kubernetes_and_tests_with_an_engine_run_the_newest() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    kubernetes = (ROOT / "deploy/kubernetes/components/mongodb/replica-set.yaml").read_text()
    assert f"MONGO_IMAGE:-mongo:{NEWEST}}}" in compose
    assert re.search(rf"^  version: {NEWEST}\.", kubernetes, re.MULTILINE)
    assert f'"MONGO_IMAGE", "mongo:{NEWEST}"' in Path(mongodb.__file__).read_text()


def test_pages_state_the_supported_versions() -> None:
    for page in ("README.md", "deploy/kubernetes/README.md", "docs/decisions/0006-private-mongod.md"):
        assert re.search(rf"{OLDEST}\.0 (and|or) {NEWEST}\.0", (ROOT / page).read_text())
