"""Runs compiled circuits on Aer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metriq_gym.providers.aer import devices
from metriq_gym.providers.provider import Execution

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class AerSimulation:
    """Runs circuits within `memory_bytes` on `threads` threads."""

    memory_bytes: int
    threads: int

    def __call__(
        self, device_id: str, circuits: Sequence[QuantumCircuit], shots: int, seed: int
    ) -> Execution:
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel

        noise = None if device_id == devices.IDEAL else NoiseModel.from_backend(devices.backend(device_id))
        simulator = AerSimulator(noise_model=noise, max_parallel_threads=self.threads)
        result = simulator.run(list(circuits), shots=shots, seed_simulator=seed).result()
        counts = [
            {key.replace(" ", ""): n for key, n in result.get_counts(i).items()} for i in range(len(circuits))
        ]
        return Execution(counts, sum(experiment.time_taken for experiment in result.results))
