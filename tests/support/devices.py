"""Devices for tests: one that records what a benchmark asks of it, and one that answers by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from metriq_gym.benchmarks.benchmark import Benchmark, Counts
from metriq_gym.testing import device as testing

STATE_VECTOR_LIMIT = 14
"""Wider circuits are simulated as matrix product states."""

NATIVE = {*AerSimulator().operation_names, "barrier", "measure", "reset", "if_else"}


class RecordingDevice(testing.RecordingDevice):
    """Remembers every `run`, and can answer at random."""

    def score_uniform(self, benchmark: Benchmark, seed: int = 0) -> Any:
        """The result when every outcome is equally likely."""
        rng = np.random.default_rng(seed)
        return self.score_with(
            benchmark, lambda circuits, shots: [uniform_counts(c.num_clbits, shots, rng) for c in circuits]
        )


class IdealDevice(RecordingDevice):
    """Answers by simulation, without noise unless a noise model is given."""

    def score(self, benchmark: Benchmark, noise: NoiseModel | None = None, seed: int = 0) -> Any:
        """Dispatch `benchmark`, simulate its circuits and return the result."""
        return self.score_with(benchmark, lambda circuits, shots: simulate(circuits, shots, noise, seed))


def simulate(
    circuits: Sequence[QuantumCircuit], shots: int, noise: NoiseModel | None = None, seed: int = 0
) -> list[Counts]:
    """Counts of each circuit; gates that carry noise must be in the circuits under the model's names."""
    wide = max(circuit.num_qubits for circuit in circuits) > STATE_VECTOR_LIMIT
    simulator = AerSimulator(method="matrix_product_state" if wide else "automatic", seed_simulator=seed)
    simulator.set_options(max_parallel_threads=1)
    ready = list(circuits)
    # The first transpilation of a process costs five seconds of imports, and few circuits need it.
    if not {name for circuit in ready for name in circuit.count_ops()} <= NATIVE:
        ready = transpile(ready, simulator, optimization_level=0)
    result = simulator.run(ready, shots=shots, noise_model=noise).result()
    return [result.get_counts(index) for index in range(len(ready))]


def depolarizing(strength: float, *gates: str, num_qubits: int = 2) -> NoiseModel:
    """A noise model with a depolarising error of this strength after each of the named gates."""
    model = NoiseModel(basis_gates=["id", "rz", "sx", "x", "h", *gates])
    model.add_all_qubit_quantum_error(depolarizing_error(strength, num_qubits), list(gates))
    return model


def uniform_counts(num_bits: int, shots: int, rng: np.random.Generator) -> dict[str, int]:
    """Counts of `shots` uniformly random bitstrings."""
    bits = rng.integers(0, 2, size=(shots, num_bits), dtype=np.uint8) + ord("0")
    keys, occurrences = np.unique(bits.view(f"S{num_bits}").ravel(), return_counts=True)
    return {key.decode(): int(count) for key, count in zip(keys, occurrences, strict=True)}
