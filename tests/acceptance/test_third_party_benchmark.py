"""The example of a third party's benchmark, installed as the separate package it is and run end to end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import installed_into

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_benchmark"

RUN = """
import json, random
from metriq_gym import benchmarks
from metriq_gym.jobs.estimate import estimate
from metriq_gym.errors import InvalidRequest
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.jobs.plan import make_plan
from metriq_gym.providers.aer.devices import describe
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.schema_validator import validate
from metriq_gym.jobs.scoring import Share, score

provider, device = AerProvider(), describe("aer_simulator")
config, warnings = validate({"benchmark_name": "GHZ Fidelity", "num_qubits": 5, "shot": 7})
try:
    validate({"benchmark_name": "GHZ Fidelity", "num_qubits": 1})
except InvalidRequest as error:
    refused = str(error)
plan = make_plan(config, 1, device, provider.compiler, provider.max_circuits_per_task)

def scored(counts):
    shares = [Share(task.run, task.first, pack_counts(counts(task)), None) for task in plan.tasks]
    return score(config, 1, plan.data, plan.runs, shares)

def ideal(task):
    return provider.simulation(device.id, unpack_circuits(task.circuits), task.shots, task.seed).counts

def uniform(task):
    rng = random.Random(1)
    outcomes = [format(n, "05b") for n in range(32)]
    return [{outcome: rng.randrange(900, 1100) for outcome in outcomes} for _ in range(task.circuit_count)]

print(json.dumps({
    "names": benchmarks.names(),
    "config": config,
    "warnings": [str(each) for each in warnings],
    "refused": refused,
    "runs": plan.runs,
    "estimate": estimate(config, device, provider.compiler).to_dict(),
    "ideal": scored(ideal),
    "uniform": scored(uniform),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_into(tmp_path_factory.mktemp("third_party"), EXAMPLE)


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def outcome(installed: Path) -> dict[str, Any]:
    answer = python(RUN, installed)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_an_installed_benchmark_is_one_of_the_catalogue(outcome: dict[str, Any]) -> None:
    assert outcome["names"][-1] == "GHZ Fidelity"
    assert len(outcome["names"]) == 14


def test_its_configuration_gets_defaults_bounds_and_hints_from_its_schema(outcome: dict[str, Any]) -> None:
    assert outcome["config"]["shots"] == 1000
    assert "did you mean 'shots'?" in outcome["warnings"][0]
    assert outcome["refused"].startswith("$.num_qubits")


def test_its_circuits_run_on_the_ideal_simulator_with_the_ideal_score(outcome: dict[str, Any]) -> None:
    assert outcome["runs"] == [6]
    assert outcome["estimate"]["built"] == {
        "qubits": 5,
        "one_qubit_gates": 6 + 5 * 10,
        "two_qubit_gates": 6 * 4,
        "depth": 8,
    }
    assert outcome["ideal"]["fidelity"] == outcome["ideal"]["score"]
    assert outcome["ideal"]["score"]["value"] == pytest.approx(1)
    assert outcome["ideal"]["score"]["uncertainty"] == 0


def test_a_fully_depolarised_device_gets_the_known_floor(outcome: dict[str, Any]) -> None:
    score = outcome["uniform"]["score"]
    assert abs(score["value"] - 1 / 32) < 4 * score["uncertainty"]


def test_without_the_package_the_benchmark_is_unknown_by_name() -> None:
    code = "from metriq_gym.schema_validator import validate; validate({'benchmark_name': 'GHZ Fidelity'})"
    answer = python(code)
    assert "$.benchmark_name: unknown benchmark 'GHZ Fidelity'" in answer.stderr


def test_a_package_without_its_schema_is_refused_with_the_missing_file(installed: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(installed, tmp_path / "broken")
    (broken / "metriq_ghz" / "ghz_fidelity.schema.json").unlink()
    code = "from metriq_gym.schema_validator import validate; validate({'benchmark_name': 'GHZ Fidelity'})"
    answer = python(code, broken)
    assert "InvalidRequest: $.benchmark_name" in answer.stderr
    assert "metriq_ghz/ghz_fidelity.schema.json" in answer.stderr
