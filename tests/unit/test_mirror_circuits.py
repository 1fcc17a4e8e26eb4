"""Mirror Circuits: the expected bitstring is the right one, and polarisation follows the noise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Clifford, Operator, Pauli, StabilizerState

from metriq_gym.benchmarks.benchmark import RunResult
from metriq_gym.benchmarks.mirror_circuits import (
    MirrorCircuits,
    MirrorCircuitsData,
    MirrorCircuitsParams,
    random_layers,
)
from metriq_gym.benchmarks.random_cliffords import INVERSE_PAULI_MAPS, INVERSE_WORDS, ORDER, WORDS
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.noise import noisy_probabilities


def mirror(seed: int = 0, **changes: Any) -> MirrorCircuits:
    defaults: dict[str, Any] = {
        "width": 4,
        "num_layers": 4,
        "two_qubit_gate_prob": 0.5,
        "two_qubit_gate_name": "CNOT",
        "shots": 1000,
        "num_circuits": 10,
        "seed": None,
    }
    return MirrorCircuits(MirrorCircuitsParams(**defaults | changes), seed)


def circuit_of(word: tuple[str, ...]) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    for name in word:
        getattr(circuit, name)(0)
    return circuit


@pytest.mark.parametrize("element", range(ORDER))
def test_one_qubit_cliffords_are_those_of_qiskit_experiments_with_inverses_and_pauli_maps(
    element: int,
) -> None:
    from qiskit_experiments.library.randomized_benchmarking.clifford_utils import CliffordUtils

    gate = Clifford(circuit_of(WORDS[element]))
    assert gate == CliffordUtils.clifford_1_qubit(element)
    assert Operator(circuit_of(WORDS[element] + INVERSE_WORDS[element])).equiv(np.eye(2))
    for label in "XYZ":
        before, after = Pauli(label), Pauli(label).evolve(gate, frame="h")
        mapped = INVERSE_PAULI_MAPS[element] @ [before.x[0], before.z[0]] % 2
        assert mapped.tolist() == [after.x[0], after.z[0]]


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["CNOT", "CZ"])
@pytest.mark.parametrize("width", [2, 3, 5, 8, 12])
def test_expected_bitstring_is_the_only_outcome_of_a_stabiliser_simulation(width: int, gate: str) -> None:
    device = RecordingDevice(12)
    data = mirror(width, width=width, num_layers=10, two_qubit_gate_name=gate).dispatch_handler(device)
    for circuit, expected in zip(device.circuits, data.expected_bitstrings, strict=True):
        circuit.remove_final_measurements()
        assert StabilizerState(circuit).probabilities_dict() == {expected: 1.0}


def test_circuits_expect_different_bitstrings() -> None:
    data = mirror(width=12).dispatch_handler(RecordingDevice(12))
    assert len(set(data.expected_bitstrings)) == 10


@pytest.mark.parametrize("width", [2, 7, 20])
def test_noiseless_polarisation_is_one_exactly(width: int) -> None:
    result = IdealDevice(20).score(mirror(width=width, shots=100))
    assert result.polarization.value == result.success_probability.value == 1
    assert 0 < result.polarization.uncertainty < 0.01
    assert result.binary_success


def test_uniform_counts_have_no_polarisation() -> None:
    result = RecordingDevice(4).score_uniform(mirror(shots=10_000))
    assert result.polarization.value <= 3 * result.polarization.uncertainty
    assert result.success_probability.value == pytest.approx(1 / 16, abs=0.003)
    assert not result.binary_success


def test_fewer_hits_than_chance_do_not_make_polarisation_negative() -> None:
    data = MirrorCircuitsData(expected_bitstrings=["00"])
    result = mirror().poll_handler(data, [RunResult([{"11": 1000}])])
    assert result.polarization.value == 0


@pytest.mark.parametrize(("hits", "passed"), [(525, False), (527, True)])
def test_binary_success_starts_at_a_polarisation_of_one_over_e(hits: int, passed: bool) -> None:
    data = MirrorCircuitsData(expected_bitstrings=["01"])
    result = mirror().poll_handler(data, [RunResult([{"01": hits, "10": 1000 - hits}])])
    assert result.binary_success is passed


@pytest.mark.parametrize(("name", "gate"), [("CNOT", "cx"), ("CZ", "cz")])
def test_known_depolarising_noise_gives_the_density_matrix_value(name: str, gate: str) -> None:
    benchmark = mirror(3, two_qubit_gate_name=name, num_circuits=5, shots=5000)
    exact = np.mean(success_probabilities(benchmark, strength=0.03))
    result = IdealDevice(4).score(benchmark, noise=depolarizing(0.03, gate), seed=11)
    success = result.success_probability
    assert abs(success.value - exact) < 3 * success.uncertainty
    assert result.polarization.value == pytest.approx((success.value - 1 / 16) / (15 / 16))
    assert success.value < 0.9


def success_probabilities(benchmark: MirrorCircuits, strength: float) -> list[float]:
    device = RecordingDevice(4)
    data = benchmark.dispatch_handler(device)
    return [
        noisy_probabilities(circuit, strength)[int(expected, 2)]
        for circuit, expected in zip(device.circuits, data.expected_bitstrings, strict=True)
    ]


def test_the_error_bar_of_the_shots_covers_the_polarisation_of_these_circuits_two_times_in_three() -> None:
    benchmark, rng, covered = mirror(shots=500), np.random.default_rng(7), 0
    exact = np.array(success_probabilities(benchmark, strength=0.02))
    data = MirrorCircuitsData(expected_bitstrings=["0000"] * 10)
    for _ in range(200):
        counts = [{"0000": int(hits), "1111": 500 - int(hits)} for hits in rng.binomial(500, exact)]
        result = benchmark.poll_handler(data, [RunResult(counts)])
        truth = (exact.mean() - 1 / 16) / (15 / 16)
        covered += abs(result.polarization.value - truth) <= result.shot_uncertainty
    assert 0.58 <= covered / 200 <= 0.78


def test_pairs_are_neighbours_without_common_qubits_and_kept_with_the_given_probability() -> None:
    layers = random_layers(40, 300, 0.25, np.random.default_rng(1))[1:]
    for layer in layers:
        busy = [qubit for pair in layer.pairs for qubit in pair]
        assert all(b - a == 1 for a, b in layer.pairs)
        assert sorted([*busy, *layer.cliffords]) == list(range(40))
    # A random maximal matching covers 1 − e⁻² of a long line (Flory 1939).
    edges = 0.25 * (1 - np.exp(-2)) * 20
    assert np.mean([len(layer.pairs) for layer in layers]) == pytest.approx(edges, rel=0.1)


def test_without_dropping_any_edge_the_matching_is_maximal() -> None:
    for layer in random_layers(9, 50, 1.0, np.random.default_rng(2))[1:]:
        assert not any(b - a == 1 for a, b in pairwise(sorted(layer.cliffords)))


def test_no_two_qubit_gates_at_probability_zero() -> None:
    device = RecordingDevice(5)
    mirror(width=5, two_qubit_gate_prob=0).dispatch_handler(device)
    assert all(circuit.num_nonlocal_gates() == 0 for circuit in device.circuits)


def test_all_qubits_are_used_unless_a_width_is_given() -> None:
    device = RecordingDevice(6)
    mirror(width=None).dispatch_handler(device)
    assert {circuit.num_qubits for circuit in device.circuits} == {6}


@pytest.mark.parametrize(("width", "available"), [(5, 4), (None, 1)])
def test_a_device_too_small_is_refused(width: int | None, available: int) -> None:
    with pytest.raises(Unsupported, match="qubits and device 'recorder' has"):
        mirror(width=width).dispatch_handler(RecordingDevice(available))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        mirror().poll_handler(MirrorCircuitsData(expected_bitstrings=["00"]), [RunResult([{}])])
