"""WIT: the circuit is the paper's, and its score is P(1) with an honest error."""

from __future__ import annotations

import itertools
from math import pi
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Operator, Statevector, SuperOp
from qiskit_aer.noise import depolarizing_error

from metriq_gym.benchmarks.benchmark import BenchmarkData, RunResult
from metriq_gym.benchmarks.wit import WIT, WITParams, wit_circuit
from metriq_gym.errors import Permanent, Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest

IDEAL = 0.996299


def wit(num_qubits: int = 7, shots: int = 8192) -> WIT:
    return WIT(WITParams(num_qubits=num_qubits, shots=shots))


def kicked_ising(qubits: list[int], sign: int, num_qubits: int) -> Any:
    """exp(∓i…) written with dense matrices: first the transverse kick, then the longitudinal part."""
    x, z, one = np.array([[0, 1], [1, 0]]), np.diag([1.0, -1.0]), np.eye(2)

    def on(pauli: np.ndarray, *targets: int) -> Any:
        out = np.eye(1)
        for qubit in range(num_qubits):
            out = np.kron(pauli if qubit in targets else one, out)
        return out

    def rotation(angle: float, generator: np.ndarray) -> Any:
        return np.cos(angle / 2) * np.eye(2**num_qubits) - 1j * np.sin(angle / 2) * generator

    step = np.eye(2**num_qubits)
    for qubit in qubits:
        step = rotation(sign * pi / 2, on(x, qubit)) @ step
    for qubit, field in zip(qubits, (0.0566794, 0.01039906, 0.0632158), strict=True):
        step = rotation(sign * field, on(z, qubit)) @ step
    for pair in itertools.pairwise(qubits):
        step = rotation(sign * pi / 2, on(z, *pair)) @ step
    return np.linalg.matrix_power(step, 3)


def reference_unitary() -> Any:
    """Figure 4 as a product of matrices, independent of how the circuit is put together."""
    opening, insertion, coupling = QuantumCircuit(7), QuantumCircuit(7), QuantumCircuit(7)
    for left in range(3):
        opening.h(left)
        opening.cx(left, 5 - left)
    insertion.swap(0, 6)
    coupling.rzz(pi / 2, 1, 4)
    coupling.rzz(pi / 2, 2, 3)
    past = kicked_ising([0, 1, 2], -1, 7)
    right = kicked_ising([5, 4, 3], +1, 7)
    parts = [
        right,
        Operator(coupling).data,
        past.conj().T,
        Operator(insertion).data,
        past,
        Operator(opening).data,
    ]
    return np.linalg.multi_dot(parts)


def test_the_7_qubit_circuit_is_the_papers_unitary() -> None:
    unitary = Operator(wit_circuit(7).remove_final_measurements(inplace=False)).data
    np.testing.assert_allclose(unitary, reference_unitary(), atol=1e-12)


def test_exact_probability_of_one_is_the_published_value() -> None:
    state = Statevector(wit_circuit(7).remove_final_measurements(inplace=False))
    assert state.probabilities([5])[1] == pytest.approx(0.996, abs=0.001)
    assert state.probabilities([5])[1] == pytest.approx(IDEAL, abs=1e-5)


def test_resetting_a_qubit_is_the_same_as_swapping_in_a_fresh_one() -> None:
    circuit = wit_circuit(6)
    circuit.remove_final_measurements()
    assert DensityMatrix(circuit).probabilities([5])[1] == pytest.approx(IDEAL, abs=1e-5)


@pytest.mark.parametrize("num_qubits", [6, 7])
def test_noiseless_score(num_qubits: int) -> None:
    score = IdealDevice(7).score(wit(num_qubits)).compute_score()
    assert score.value == pytest.approx(IDEAL, abs=0.003)
    assert score.uncertainty == pytest.approx((IDEAL * (1 - IDEAL) / 8192) ** 0.5, rel=0.5)


def test_known_depolarising_noise_gives_the_density_matrix_value() -> None:
    error, state = SuperOp(depolarizing_error(0.02, 2)), DensityMatrix.from_label("0" * 7)
    circuit = wit_circuit(7)
    for instruction in circuit.data[:-1]:
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        state = state.evolve(instruction.operation, qubits)
        if len(qubits) == 2:
            state = state.evolve(error, qubits)
    score = IdealDevice(7).score(wit(), noise=depolarizing(0.02, "cx", "rzz", "swap"), seed=5)
    measured = score.expectation_value
    assert abs(measured.value - state.probabilities([5])[1]) < 3 * measured.uncertainty
    assert measured.value < 0.95


def test_uniform_counts_score_one_half() -> None:
    score = RecordingDevice(7).score_uniform(wit()).compute_score()
    assert score.value == pytest.approx(0.5, abs=0.02)


def test_the_error_bar_covers_the_exact_value_two_times_in_three() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for ones in rng.binomial(8192, IDEAL, size=200):
        result = wit().poll_handler(BenchmarkData(), [RunResult([{"1": int(ones), "0": 8192 - int(ones)}])])
        score = result.compute_score()
        covered += abs(score.value - IDEAL) <= (score.uncertainty or 0)
    assert 0.58 <= covered / 200 <= 0.78


def test_the_circuit_is_the_same_as_ever() -> None:
    assert digest([wit_circuit(6), wit_circuit(7)]) == "bc9ed945844fd80f"


def test_a_device_too_small_is_refused_with_both_numbers() -> None:
    with pytest.raises(Unsupported, match=r"needs 7 qubits and device 'recorder' has 5"):
        wit().dispatch_handler(RecordingDevice(5))


def test_no_shots_at_all_is_an_error_and_not_a_score() -> None:
    with pytest.raises(Permanent, match="no shots"):
        wit().poll_handler(BenchmarkData(), [RunResult([{}])])


def test_the_published_circuit_has_24_two_qubit_gates() -> None:
    assert wit_circuit(7).num_nonlocal_gates() == 24
