"""What the operators of RabbitMQ and MongoDB are told is what the services need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metriq_gym.operations.access.kubernetes import as_yaml, mongodb

ROOT = Path(__file__).parents[2]
PUBLISHED = {
    "rabbitmq": "deploy/kubernetes/components/rabbitmq/topology.yaml",
    "mongodb": "deploy/kubernetes/components/mongodb/rights.yaml",
}


@pytest.mark.parametrize("server", PUBLISHED)
def test_published_resources_are_fresh(server: str) -> None:
    path = PUBLISHED[server]
    assert (ROOT / path).read_text() == as_yaml(server), (
        f"python -m metriq_gym.operations.access.kubernetes {server} > {path}"
    )


@pytest.mark.slow
def test_module_prints_them() -> None:
    command = [sys.executable, "-m", "metriq_gym.operations.access.kubernetes", "mongodb"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert yaml.safe_load(printed.stdout) == mongodb()
