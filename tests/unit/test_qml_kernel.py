"""QML Kernel: the two halves undo each other, and the score is the fraction of all-zeros."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from scipy.linalg import expm

from metriq_gym.benchmarks.benchmark import BenchmarkData, RunResult
from metriq_gym.benchmarks.qml_kernel import (
    QMLKernel,
    QMLKernelParams,
    data_point,
    kernel_circuit,
    zz_feature_map,
)
from metriq_gym.errors import Unsupported
from tests.support.devices import IdealDevice, RecordingDevice, depolarizing
from tests.support.digest import digest


def kernel(num_qubits: int, shots: int = 1000, seed: int | None = None) -> QMLKernel:
    return QMLKernel(QMLKernelParams(num_qubits=num_qubits, shots=shots, seed=seed))


@pytest.mark.parametrize("num_qubits", [2, 5, 10, 50])
def test_a_noiseless_device_scores_exactly_one(num_qubits: int) -> None:
    score = IdealDevice(num_qubits).score(kernel(num_qubits)).compute_score()
    assert score.value == 1
    assert 0 < score.uncertainty < 0.01


def test_the_feature_map_is_the_exponential_of_its_pauli_sum() -> None:
    x = data_point(4, seed=3)
    fields = [("Z", [k], x[k] / 2) for k in range(4)]
    couplings = [("ZZ", [k, k + 1], (np.pi - x[k]) * (np.pi - x[k + 1]) / 2) for k in range(3)]
    hamiltonian = SparsePauliOp.from_sparse_list(fields + couplings, num_qubits=4).to_matrix()
    hadamards = np.array([[1.0]])
    for _ in range(4):
        hadamards = np.kron(hadamards, np.array([[1, 1], [1, -1]]) / np.sqrt(2))
    assert Operator(zz_feature_map(x)).equiv(Operator(expm(-1j * hamiltonian) @ hadamards))


def test_the_feature_map_leaves_the_all_zeros_state() -> None:
    """So that a score of 1 cannot come from doing nothing."""
    assert Statevector(zz_feature_map(data_point(6, seed=0))).probabilities()[0] < 0.2


def test_uniform_counts_score_about_two_to_the_minus_n() -> None:
    score = RecordingDevice(6).score_uniform(kernel(6, shots=20000)).compute_score()
    assert score.value == pytest.approx(2**-6, abs=4 * score.uncertainty)


def test_depolarising_noise_lowers_the_score() -> None:
    score = IdealDevice(4).score(kernel(4, shots=4000), noise=depolarizing(0.05, "cx")).compute_score()
    # Without any error the outcome is right; a Pauli error leaves it right now and then.
    assert (1 - 0.05 * 15 / 16) ** 12 - 3 * score.uncertainty < score.value < 0.9


def test_the_error_bar_covers_the_exact_value_two_times_in_three() -> None:
    rng, exact, shots = np.random.default_rng(4), 0.8, 1000
    covered = 0
    for zeros in rng.binomial(shots, exact, size=200):
        counts = {"000": int(zeros), "010": shots - int(zeros)}
        score = kernel(3).poll_handler(BenchmarkData(), [RunResult([counts])]).compute_score()
        covered += abs(score.value - exact) <= (score.uncertainty or 0)
    assert 0.58 <= covered / 200 <= 0.78


def test_circuits_are_the_same_as_ever() -> None:
    assert digest([kernel_circuit(data_point(n, seed=0)) for n in (2, 5, 10)]) == "591915ada6ef2265"


def test_the_job_seed_makes_no_difference_but_the_configurations_does() -> None:
    def built(benchmark: QMLKernel) -> str:
        device = RecordingDevice(3)
        benchmark.dispatch_handler(device)
        return digest(device.circuits)

    config = {"num_qubits": 3, "shots": 10}
    same = built(QMLKernel.from_config(config, seed=1))  # type: ignore[arg-type]
    assert same == built(kernel(3)) == built(kernel(3, seed=0))
    assert same != built(kernel(3, seed=1))


def test_a_device_too_small_is_refused() -> None:
    with pytest.raises(Unsupported, match="needs 9 qubits and device 'recorder' has 8"):
        kernel(9).dispatch_handler(RecordingDevice(8))
