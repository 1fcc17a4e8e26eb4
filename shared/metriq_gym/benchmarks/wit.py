"""WIT: wormhole-inspired teleportation, a state swapped into one of two entangled, scrambled systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

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

LEFT, RIGHT = (0, 1, 2), (5, 4, 3)
"""The two entangled systems; equal positions are partners."""
MESSAGE = 6
"""The qubit whose |0⟩ is swapped in on 7 qubits."""
FIELDS = (0.0566794, 0.01039906, 0.0632158)
"""Rz angle per position, radians."""
STEPS = 3
COUPLING = pi / 2
"""The interaction g between the systems."""
IDEAL = 0.9962994
"""P(1) without noise, of either circuit."""


@dataclass(frozen=True, slots=True)
class WITParams:
    """Configuration of `WIT`."""

    num_qubits: int
    shots: int


@dataclass(frozen=True, slots=True)
class WITResult(BenchmarkResult):
    """`expectation_value` is the fraction of outcome 1, P(1); in terms of the paper ⟨Z⟩ = 1 − 2·P(1)."""

    expectation_value: BenchmarkScore

    def compute_score(self) -> BenchmarkScore:
        """Return `expectation_value`."""
        return self.expectation_value


class WIT(Benchmark[WITParams, BenchmarkData]):
    """Teleportation between two systems coupled by g = π/2.

    Without noise P(1) = 0.9963.

    References
    ----------
    Shapoval et al., "Towards quantum gravity in the lab on quantum processors", Quantum 7, 1138 (2023),
    https://arxiv.org/abs/2205.14081, figure 4.
    """

    params_type = WITParams

    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        """Run the one circuit."""
        require_qubits(device, self.params.num_qubits)
        device.run(wit_circuit(self.params.num_qubits), self.params.shots)
        return BenchmarkData()

    def ideal_counts(self, job_data: BenchmarkData, position: int) -> dict[str, float]:
        """Return P(1) and P(0) without noise."""
        return {"0": 1 - IDEAL, "1": IDEAL}

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> WITResult:
        """Return the fraction of ones."""
        (counts,) = counts_of(result_data, 1)
        return WITResult(expectation_value=binomial(counts.get("1", 0), sum(counts.values())))


def wit_circuit(num_qubits: int) -> QuantumCircuit:
    """Return the circuit on 7 qubits, or on 6, where a mid-circuit reset stands in for the message qubit.

    Parameters
    ----------
    num_qubits
        6 or 7.
    """
    circuit = QuantumCircuit(num_qubits, 1)
    for left, right in zip(LEFT, RIGHT, strict=True):
        circuit.h(left)
        circuit.cx(left, right)
    past = _evolution(-1)
    circuit.compose(past, LEFT, inplace=True)
    if num_qubits > MESSAGE:
        circuit.swap(LEFT[0], MESSAGE)
    else:
        circuit.reset(LEFT[0])
    circuit.compose(past.inverse(), LEFT, inplace=True)
    for left, right in zip(LEFT[1:], RIGHT[1:], strict=True):
        circuit.rzz(COUPLING, left, right)
    circuit.compose(_evolution(+1), RIGHT, inplace=True)
    circuit.measure(RIGHT[0], 0)
    return circuit


def _evolution(direction: int) -> QuantumCircuit:
    """Three steps of the kicked Ising chain on one system, every angle multiplied by `direction` (±1)."""
    chain = QuantumCircuit(3)
    for _ in range(STEPS):
        chain.rx(direction * pi / 2, range(3))
        for position, field in enumerate(FIELDS):
            chain.rz(direction * field, position)
        chain.rzz(direction * pi / 2, 0, 1)
        chain.rzz(direction * pi / 2, 1, 2)
    return chain
