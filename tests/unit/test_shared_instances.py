"""Instances that a seed defines are those of the dataset: what metriq-gym 0.8.0 draws for the same seed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rustworkx as rx

from metriq_gym import benchmarks
from metriq_gym.benchmarks.lr_qaoa import LinearRampQAOA, LinearRampQAOAData
from metriq_gym.benchmarks.qat_ole import QATOLEData
from metriq_gym.benchmarks.qml_kernel import data_point
from metriq_gym.benchmarks.subgraphs import random_path
from metriq_gym.jobs.plan import Recorder
from metriq_gym.providers.aer import devices
from metriq_gym.schema_validator import validate
from tests.support.devices import IdealDevice, RecordingDevice


def recorder(device: str) -> Recorder:
    return Recorder(devices.describe(device))


def qaoa(seed: int = 123, **changes: Any) -> LinearRampQAOA:
    config, _ = validate({"benchmark_name": "Linear Ramp QAOA", "qaoa_layers": [3], "seed": seed, **changes})
    found = benchmarks.load("Linear Ramp QAOA").from_config(config, seed)
    assert isinstance(found, LinearRampQAOA)
    return found


@pytest.mark.parametrize(
    ("graph_type", "num_qubits", "device", "seed", "weights"),
    [
        ("1D", 10, "aer_simulator", 123, [0.1, 0.3, 0.1, 0.5, 0.3, 0.1, 0.1, 0.5, 1.0]),
        ("1D", 5, "aer_simulator", 2**40, [0.1, 0.3, 0.1, 0.5]),
        ("FC", 5, "aer_simulator", 123, [0.1, 0.3, 0.1, 0.5, 0.3, 0.1, 0.1, 0.5, 1.0, 1.0]),
        ("NL", 7, "aer_simulator", 123, [0.1, 0.3, 0.1, 0.5, 0.3, 0.1]),
        (
            "NL",
            16,
            "fake_guadalupe",
            123,
            [0.1, 0.3, 0.1, 0.5, 0.3, 0.1, 0.1, 0.5, 1.0, 1.0, 0.3, 0.3, 0.1, 0.2, 0.2, 0.3],
        ),
    ],
)
def test_weights_of_linear_ramp_qaoa(
    graph_type: str, num_qubits: int, device: str, seed: int, weights: list[float]
) -> None:
    benchmark = qaoa(seed, graph_type=graph_type, num_qubits=num_qubits)
    problem = benchmark.problem(benchmark.dispatch_handler(recorder(device)))
    assert problem.weights.tolist() == weights
    assert list(problem.edges) == sorted(problem.edges)


def test_the_native_problem_of_a_device_keeps_the_order_of_its_edges() -> None:
    benchmark = qaoa(7, graph_type="NL", num_qubits=127)
    problem = benchmark.problem(benchmark.dispatch_handler(recorder("fake_brisbane")))
    assert list(problem.edges)[:6] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 15)]
    drawn = hashlib.sha256(json.dumps(problem.weights.tolist()).encode()).hexdigest()
    assert drawn.startswith("84aece0326891eed")


def test_the_native_problem_of_the_ideal_simulator_is_a_star() -> None:
    data = qaoa(graph_type="NL", num_qubits=5).dispatch_handler(recorder("aer_simulator"))
    assert data.native_edges == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_the_suites_ten_qubit_chain_scores_without_noise_what_the_datasets_problem_gives() -> None:
    benchmark = qaoa(num_qubits=10, graph_type="1D", qaoa_layers=[10], delta_gamma=0.6, trials=10)
    result = IdealDevice(10, rx.generators.path_graph(10)).score(benchmark)
    assert result.compute_score().value == pytest.approx(0.774, abs=0.01)


def test_a_job_dispatched_before_there_was_a_choice_is_scored_with_the_weights_it_was_run_with() -> None:
    benchmark = qaoa(num_qubits=10, graph_type="1D")
    before = benchmark.problem(LinearRampQAOAData.model_validate({"native_edges": None}))
    assert before.weights.tolist() == [0.5, 0.3, 1.0, 0.1, 0.3, 0.1, 0.3, 0.1, 0.2]
    assert benchmark.problem(LinearRampQAOAData(draw="choice")).weights.tolist() != before.weights.tolist()


def test_angles_of_the_quantum_kernel() -> None:
    assert data_point(12, 0)[:5] == pytest.approx(
        [3.448296944258, 4.493667318642, 3.787273988239, 3.423602009535, 2.661901610522], abs=1e-12
    )


def test_initial_states_of_the_operator_loschmidt_echo() -> None:
    config, _ = validate(
        {
            "benchmark_name": "QAT OLE",
            "qasm": 'OPENQASM 3.0; include "stdgates.inc"; qubit[6] q; h q;',
            "observable_qubits": [0, 1, 2],
            "num_initial_states": 5,
            "seed": 42,
        }
    )
    data = benchmarks.load("QAT OLE").from_config(config, 42).dispatch_handler(RecordingDevice(6))
    assert isinstance(data, QATOLEData)
    # There, the leftmost character is qubit 0.
    assert [state[::-1] for state in data.initial_states] == ["001000", "001000", "000010", "110011", "100100"]


@pytest.mark.parametrize(
    ("device", "length", "seed", "chain"),
    [
        ("fake_guadalupe", 10, 12345, [0, 1, 4, 7, 10, 12, 13, 14, 11, 8]),
        ("fake_guadalupe", 6, 0, [8, 11, 14, 13, 12, 15]),
        ("fake_mumbai", 20, 12345, [13, 12, 10, 7, 4, 1, 2, 3, 5, 8, 11, 14, 16, 19, 22, 25, 24, 23, 21, 18]),
        (
            "fake_brisbane",
            20,
            12345,
            [98, 91, 79, 78, 77, 76, 75, 90, 94, 95, 96, 109, 114, 115, 116, 117, 118, 110, 100, 99],
        ),
        ("aer_simulator", 10, 12345, [15, 18, 14, 2, 20, 28, 11, 21, 5, 1]),
    ],
)
def test_chains_of_eplg(device: str, length: int, seed: int, chain: list[int]) -> None:
    assert random_path(recorder(device), length, seed) == chain
