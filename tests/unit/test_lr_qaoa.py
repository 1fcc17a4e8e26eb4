"""Linear Ramp QAOA: the circuits are the formula's, the swap network changes nothing, ratios are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rustworkx as rx
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from scipy.linalg import expm

from metriq_gym.benchmarks.benchmark import RunResult
from metriq_gym.benchmarks.lr_qaoa import (
    LinearRampQAOA,
    LinearRampQAOAData,
    LinearRampQAOAParams,
    effective_ratio,
    p_value_over_random,
    qaoa_circuit,
)
from metriq_gym.benchmarks.maxcut import WeightedGraph
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import IdealDevice, RecordingDevice

NOTHING = LinearRampQAOAData(draw="choice")


def qaoa(**changes: Any) -> LinearRampQAOA:
    defaults: dict[str, Any] = {
        "graph_type": "1D",
        "num_qubits": 6,
        "qaoa_layers": [3, 5],
        "delta_beta": 0.3,
        "delta_gamma": 0.6,
        "shots": 1000,
        "trials": 3,
        "num_random_trials": 25,
        "confidence_level": 0.995,
        "seed": 123,
    }
    params = LinearRampQAOAParams(**defaults | changes)
    return LinearRampQAOA(params, params.seed)


def line(num_qubits: int) -> RecordingDevice:
    return RecordingDevice(num_qubits, rx.generators.path_graph(num_qubits))


def probabilities(circuit: QuantumCircuit) -> Any:
    """Probability of each outcome of the classical bits, shape (2ⁿ,)."""
    qubit_of = {
        circuit.find_bit(instruction.clbits[0]).index: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.operation.name == "measure"
    }
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    return state.probabilities([qubit_of[bit] for bit in range(circuit.num_qubits)])


def formula(problem: WeightedGraph, betas: list[float], gammas: list[float]) -> Any:
    """∏ exp(iβ ΣX)·exp(−iγ Σ w ZZ) |+…+⟩ with dense matrices."""
    n = problem.num_nodes
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1.0, -1.0])

    def on(pauli: Any, *nodes: int) -> Any:
        out = np.eye(1)
        for node in range(n):
            out = np.kron(pauli if node in nodes else np.eye(2), out)
        return out

    mixer = sum(on(x, node) for node in range(n))
    cost = sum(w * on(z, *edge) for edge, w in zip(problem.edges, problem.weights, strict=True))
    state = np.full(2**n, 2 ** (-n / 2), dtype=complex)
    for beta, gamma in zip(betas, gammas, strict=True):
        state = expm(1j * beta * mixer) @ expm(-1j * gamma * cost) @ state
    return abs(state) ** 2


@pytest.mark.parametrize(("graph_type", "swap_network"), [("1D", False), ("FC", False), ("FC", True)])
def test_the_circuit_is_the_formula(graph_type: str, swap_network: bool) -> None:
    benchmark = qaoa(graph_type=graph_type, num_qubits=5)
    problem = benchmark.problem(NOTHING)
    betas, gammas = benchmark.betas(3), benchmark.gammas(3)
    circuit = qaoa_circuit(problem, betas, gammas, swap_network=swap_network)
    np.testing.assert_allclose(probabilities(circuit), formula(problem, betas, gammas), atol=1e-12)


@pytest.mark.parametrize("num_qubits", range(2, 9))
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_swap_network_is_the_direct_circuit_bit_for_bit(num_qubits: int, depth: int) -> None:
    problem = qaoa(graph_type="FC", num_qubits=num_qubits).problem(NOTHING)
    betas, gammas = [0.3, 0.5, 0.2][:depth], [0.7, 0.4, 0.9][:depth]
    direct = qaoa_circuit(problem, betas, gammas, swap_network=False)
    network = qaoa_circuit(problem, betas, gammas, swap_network=True)
    np.testing.assert_allclose(probabilities(network), probabilities(direct), atol=1e-12)
    for instruction in network.data:
        qubits = [network.find_bit(qubit).index for qubit in instruction.qubits]
        assert len(qubits) == 1 or abs(qubits[0] - qubits[1]) == 1


def test_the_swap_network_moves_nodes_so_that_the_order_of_measurement_matters() -> None:
    problem = qaoa(graph_type="FC", num_qubits=5).problem(NOTHING)
    network = qaoa_circuit(problem, [0.3], [0.7], swap_network=True)
    unmoved = network.remove_final_measurements(inplace=False)
    assert abs(Statevector(unmoved).probabilities() - formula(problem, [0.3], [0.7])).max() > 0.001


def test_fully_connected_problems_use_the_network_only_where_the_device_is_not() -> None:
    direct, network = RecordingDevice(6), line(6)
    for device in (direct, network):
        qaoa(graph_type="FC").dispatch_handler(device)
    assert "cx" not in direct.circuits[0].count_ops()
    assert direct.circuits[0].count_ops()["rzz"] == 3 * 15
    assert network.circuits[0].count_ops()["cx"] > 0


def test_angles_ramp_linearly() -> None:
    benchmark = qaoa(delta_beta=0.4, delta_gamma=0.8)
    assert benchmark.betas(4) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert benchmark.gammas(4) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_all_depths_are_run_in_every_trial() -> None:
    device = line(6)
    qaoa(trials=4).dispatch_handler(device)
    assert [circuit.count_ops()["rx"] // 6 for circuit in device.circuits] == [3, 5] * 4


@pytest.mark.slow
@pytest.mark.parametrize("graph_type", ["1D", "FC"])
def test_noiseless_ratios_are_exact_and_approach_one_with_depth(graph_type: str) -> None:
    gamma = 0.6 if graph_type == "1D" else 0.3
    benchmark = qaoa(graph_type=graph_type, qaoa_layers=[3, 10, 30, 90], delta_gamma=gamma)
    device = IdealDevice(6, rx.generators.path_graph(6))
    benchmark.dispatch_handler(device)
    problem = benchmark.problem(NOTHING)
    values = problem.all_cuts()
    exact = [probabilities(circuit) @ values / values.max() for circuit in device.circuits[:4]]
    result = device.score(benchmark)
    assert result.approx_ratio == pytest.approx(exact, abs=0.02)
    assert result.approx_ratio == sorted(result.approx_ratio)
    assert result.approx_ratio[-1] > 0.97
    assert all(result.confidence_pass)
    assert all(ratio > result.random_approx_ratio for ratio in result.approx_ratio)
    assert result.compute_score().value == pytest.approx(np.mean(result.effective_approx_ratio))


def test_uniform_counts_are_worth_nothing() -> None:
    result = line(6).score_uniform(qaoa(shots=5000))
    assert result.effective_approx_ratio == pytest.approx([0, 0], abs=0.02)
    assert result.random_approx_ratio == pytest.approx(0.5, abs=0.01)
    assert not any(result.confidence_pass)


def test_a_device_that_guesses_passes_as_often_as_the_level_allows() -> None:
    passed = 0
    for seed in range(150):
        benchmark = qaoa(seed=seed, shots=50, confidence_level=0.8)
        passed += sum(line(6).score_uniform(benchmark, seed=seed).confidence_pass)
    assert passed / 300 == pytest.approx(0.2, abs=0.07)


def test_the_best_sample_is_the_optimum_where_the_heuristic_missed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WeightedGraph, "optimum", lambda self, rng: 0.01)
    benchmark = qaoa(qaoa_layers=[3], trials=1)
    weight = benchmark.problem(NOTHING).weights.sum()
    result = benchmark.poll_handler(NOTHING, [RunResult([{"010101": 10, "000000": 10}])])
    assert result.approx_ratio == pytest.approx([0.5])
    assert result.random_approx_ratio < 1
    assert weight > 0.01


def test_bitstrings_are_read_with_node_0_at_the_right() -> None:
    benchmark = qaoa(num_qubits=3, qaoa_layers=[3], trials=1)
    first, second = benchmark.problem(NOTHING).weights
    result = benchmark.poll_handler(NOTHING, [RunResult([{"001": 1}])])
    assert result.approx_ratio == pytest.approx([first / (first + second)])


@pytest.mark.parametrize("num_qubits", [12, 57])
def test_the_native_layout_is_the_devices_graph_or_a_connected_part_of_it(num_qubits: int) -> None:
    graph = rx.generators.heavy_hex_graph(5)
    data = qaoa(graph_type="NL", num_qubits=min(num_qubits, graph.num_nodes())).dispatch_handler(
        device := RecordingDevice(graph.num_nodes(), graph)
    )
    assert data.native_edges is not None
    assert device.circuits[0].count_ops()["rzz"] == 3 * len(data.native_edges)
    if num_qubits > 50:
        assert len(data.native_edges) == graph.num_edges()


def test_the_native_layout_of_a_device_that_connects_nothing_is_refused() -> None:
    apart = rx.PyGraph()
    apart.add_nodes_from(range(4))
    with pytest.raises(Unsupported, match="connects none of its qubits"):
        qaoa(graph_type="NL", num_qubits=4).dispatch_handler(RecordingDevice(4, apart))


def test_weights_come_from_the_five_of_the_paper_and_from_the_seed() -> None:
    weights = qaoa(num_qubits=200).problem(NOTHING).weights
    assert set(weights) == {0.1, 0.2, 0.3, 0.5, 1.0}
    assert not np.array_equal(weights, qaoa(num_qubits=200, seed=124).problem(NOTHING).weights)


@pytest.mark.parametrize(("ratio", "p_value"), [(0.4, 1.0), (0.5, 1.0), (0.6, 1 / 11)])
def test_random_guesses_that_all_agree_still_give_a_p_value(ratio: float, p_value: float) -> None:
    assert p_value_over_random(ratio, np.full(10, 0.5), 3) == p_value


@pytest.mark.parametrize(("ratio", "random_ratio", "expected"), [(0.75, 0.5, 0.5), (0.4, 0.5, 0.0), (1.0, 1.0, 0.0)])
def test_effective_ratio(ratio: float, random_ratio: float, expected: float) -> None:
    assert effective_ratio(ratio, random_ratio) == expected


@pytest.mark.parametrize("graph_type", ["1D", "NL", "FC"])
def test_more_qubits_than_the_device_has_are_refused(graph_type: str) -> None:
    with pytest.raises(Unsupported, match="needs 6 qubits"):
        qaoa(graph_type=graph_type).dispatch_handler(line(5))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        qaoa(qaoa_layers=[3], trials=1).poll_handler(NOTHING, [RunResult([{}])])
