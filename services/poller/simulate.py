"""One task's work in a worker process: circuits in, counts out, both packed."""

from __future__ import annotations

from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.provider import Simulation

Simulated = tuple[bytes, float, float | None]


def simulate(simulation: Simulation, device: str, circuits: bytes, shots: int, seed: int) -> Simulated:
    """Return the packed counts of packed circuits, the seconds of the run, and of these those of the shots alone."""
    execution = simulation(device, unpack_circuits(circuits), shots, seed)
    return pack_counts(execution.counts), execution.seconds, execution.sampling_seconds
