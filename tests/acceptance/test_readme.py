"""The README's shell blocks run as printed, from the top of the repository; tests/docker runs those for Docker."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.readme import BIN, ROOT, blocks

ELSEWHERE = {
    "make test": "what runs this",
    "docker compose": "tests/docker/test_readme.py",
    "kubectl": "tests/acceptance/test_kubernetes.py, as far as it goes without a cluster",
    "curl -fO": "tests/integration/test_readme_clients.py, tests/docker/test_readme.py",
    "export METRIQ_AMQP_URL": "both of these",
}
"""How a block begins that is not run here, and where it is."""


def shell(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # Whoever runs the tests has set up already, and perhaps elsewhere.
    as_here = block.replace("make ", f'make -o .venv/.ready BIN="{BIN}" ').replace(".venv/bin/", f"{BIN}/")
    # A make below the one that runs the tests would say so where the record is expected.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = outside | {"METRIQ_DATA_DIR": str(folder), "METRIQ_WORKERS": "1"}
    return subprocess.run(
        ["bash", "-euc", as_here], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def test_every_block_of_the_readme_is_run_somewhere() -> None:
    here = [block for block in blocks("sh") if not block.startswith(tuple(ELSEWHERE))]
    assert [block.split()[0] for block in here] == ["make", ".venv/bin/mgym"]


def test_a_newcomer_gets_a_first_result_and_then_others(tmp_path: Path) -> None:
    first, others = [block for block in blocks("sh") if block.startswith((".venv/bin/mgym", "make run"))]
    done = shell(first, tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    (printed,) = [json.loads(block) for block in blocks("json")]
    assert record["job_type"] == printed["job_type"]
    for metric, stated in printed["results"].items():
        found = record["results"][metric]
        assert found["value"] == pytest.approx(stated["value"], abs=5 * stated["uncertainty"])
        assert found["uncertainty"] == pytest.approx(stated["uncertainty"], abs=0.0002)
    done = shell(others, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "local/fake_jakarta" in done.stdout.splitlines()[-3]
