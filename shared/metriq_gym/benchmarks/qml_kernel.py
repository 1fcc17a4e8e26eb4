"""QML Kernel: a quantum kernel's value for two equal data points, which is 1 on a perfect device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    RunResult,
)
from metriq_gym.benchmarks.limits import require_qubits
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import binomial

DEFAULT_SEED = 0


@dataclass(frozen=True, slots=True)
class QMLKernelParams:
    """Configuration of `QMLKernel`."""

    num_qubits: int
    shots: int
    seed: int | None = None
    """Seed of the data point x; `DEFAULT_SEED`, which published results share, when absent."""


@dataclass(frozen=True, slots=True)
class QMLKernelResult(BenchmarkResult):
    """`accuracy_score` is the fraction of all-zeros outcomes."""

    accuracy_score: BenchmarkScore

    def compute_score(self) -> BenchmarkScore:
        """Return `accuracy_score`."""
        return self.accuracy_score


class QMLKernel(Benchmark[QMLKernelParams, BenchmarkData]):
    """The kernel |⟨0|U†(x)U(x)|0⟩|² = 1 of a ZZ feature map.

    References
    ----------
    The feature map is in the flavour of https://arxiv.org/abs/2405.09724
    """

    params_type = QMLKernelParams

    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        """Run the one circuit."""
        require_qubits(device, self.params.num_qubits)
        seed = DEFAULT_SEED if self.params.seed is None else self.params.seed
        device.run(kernel_circuit(data_point(self.params.num_qubits, seed)), self.params.shots)
        return BenchmarkData()

    def ideal_counts(self, job_data: BenchmarkData, position: int) -> dict[str, float]:
        """Return certainty of all zeros."""
        return {"0" * self.params.num_qubits: 1.0}

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> QMLKernelResult:
        """Return the fraction of all-zeros."""
        (counts,) = counts_of(result_data, 1)
        zeros = counts.get("0" * self.params.num_qubits, 0)
        return QMLKernelResult(accuracy_score=binomial(zeros, sum(counts.values())))


def data_point(num_qubits: int, seed: int) -> list[float]:
    """Return x, one angle in [0, 2π) per qubit.

    Parameters
    ----------
    num_qubits
        How many angles.
    seed
        Of NumPy's ``RandomState``.
    """
    # Of NumPy's generators only this one promises the same numbers in every version to come.
    angles: list[float] = (2 * pi * np.random.RandomState(seed).random_sample(num_qubits)).tolist()
    return angles


def kernel_circuit(x: Sequence[float]) -> QuantumCircuit:
    """Return U(x), a barrier that keeps compilers from cancelling the halves, U†(x), and a measurement.

    Parameters
    ----------
    x
        Angles in radians, one for each qubit.
    """
    feature_map = zz_feature_map(x)
    circuit = QuantumCircuit(len(x), len(x))
    circuit.compose(feature_map, inplace=True)
    circuit.barrier()
    circuit.compose(feature_map.inverse(), inplace=True)
    circuit.measure(range(len(x)), range(len(x)))
    return circuit


def zz_feature_map(x: Sequence[float]) -> QuantumCircuit:
    """Return U(x): Hadamards, Rz(x_k) on qubit k, then exp(−iZZ(π−x_k)(π−x_{k+1})/2) on neighbours of a line.

    Parameters
    ----------
    x
        Angles in radians, one for each qubit.
    """
    circuit = QuantumCircuit(len(x))
    circuit.h(range(len(x)))
    for qubit, angle in enumerate(x):
        circuit.rz(angle, qubit)
    for first in (0, 1):
        for qubit in range(first, len(x) - 1, 2):
            circuit.cx(qubit, qubit + 1)
            circuit.rz((pi - x[qubit]) * (pi - x[qubit + 1]), qubit + 1)
            circuit.cx(qubit, qubit + 1)
    return circuit
