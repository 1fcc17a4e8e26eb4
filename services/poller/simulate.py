"""One task's work in a worker process: circuits in, counts out, both packed."""

from __future__ import annotations

import time

from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.provider import Simulation

Simulated = tuple[bytes, float, float | None]
"""Packed counts, the seconds of the run, and of these those of the shots alone."""


def simulate(simulation: Simulation, device: str, circuits: bytes, shots: int, seed: int) -> tuple[Simulated, float]:
    """Return what comes of packed circuits, and the seconds that all of it took."""
    began = time.perf_counter()
    execution = simulation(device, unpack_circuits(circuits), shots, seed)
    simulated = pack_counts(execution.counts), execution.seconds, execution.sampling_seconds
    return simulated, time.perf_counter() - began
