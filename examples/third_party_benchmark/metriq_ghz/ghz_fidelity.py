"""GHZ Fidelity: how well a device entangles n qubits at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    Counts,
    RunResult,
)
from metriq_gym.errors import Unsupported


@dataclass(frozen=True, slots=True)
class GHZParams:
    """The configuration: one field per property of the schema."""

    num_qubits: int
    shots: int


@dataclass(frozen=True, slots=True)
class GHZResult(BenchmarkResult):
    """`fidelity` is ⟨GHZ|ρ|GHZ⟩: 1 without noise, 2⁻ⁿ when only noise is left."""

    fidelity: BenchmarkScore

    def compute_score(self) -> BenchmarkScore:
        """Return `fidelity`."""
        return self.fidelity


class GHZFidelity(Benchmark[GHZParams, BenchmarkData]):
    """|GHZ⟩⟨GHZ| is half the projector on 0…0 and 1…1, plus Σ_k (−1)ᵏ M_kⁿ ÷ 2n with k = 1…n.

    M_k = cos(kπ/n) X + sin(kπ/n) Y is measured on every qubit at once, so n + 1 circuits give the fidelity.
    Source: Gühne, Lu, Gao and Pan, PRA 76, 030305 (2007).
    """

    params_type = GHZParams

    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        """Run the circuit of the populations and those of M_1 … M_n."""
        n = self.params.num_qubits
        if n > device.num_qubits:
            raise Unsupported(f"a GHZ state of {n} qubits does not fit {device.id} with {device.num_qubits}")
        angles = [None, *(k * pi / n for k in range(1, n + 1))]
        device.run([ghz_circuit(n, angle) for angle in angles], self.params.shots)
        return BenchmarkData()

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> GHZResult:
        """Add up the frequencies, with binomial errors."""
        n = self.params.num_qubits
        first, *others = result_data[0].counts
        population, variance = frequency(first, {"0" * n, "1" * n})
        fidelity, variance = population / 2, variance / 4
        for k, counts in enumerate(others, start=1):
            even, even_variance = frequency(counts, {key for key in counts if key.count("1") % 2 == 0})
            fidelity += (-1) ** k * (2 * even - 1) / (2 * n)
            variance += even_variance / n**2
        return GHZResult(BenchmarkScore(fidelity, sqrt(variance)))


def ghz_circuit(num_qubits: int, angle: float | None) -> QuantumCircuit:
    """Prepare a GHZ state and measure every qubit, in the basis cos(angle) X + sin(angle) Y if there is one."""
    circuit = QuantumCircuit(num_qubits, num_qubits)
    circuit.h(0)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    if angle is not None:
        circuit.rz(-angle, range(num_qubits))
        circuit.h(range(num_qubits))
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def frequency(counts: Counts, outcomes: set[str]) -> tuple[float, float]:
    """Return how often one of `outcomes` came, and the variance of that."""
    shots = sum(counts.values())
    found = sum(counts.get(outcome, 0) for outcome in outcomes) / shots
    return found, found * (1 - found) / shots
