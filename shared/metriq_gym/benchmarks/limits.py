"""Refusals that a benchmark can pronounce before it builds a single circuit."""

from __future__ import annotations

from metriq_gym.benchmarks.benchmark import BenchmarkDevice
from metriq_gym.errors import Unsupported

MAX_OPERATIONS = 5_000_000
"""Above this, building takes minutes and gigabytes; the largest published job has 4.3 million."""


def require_qubits(device: BenchmarkDevice, needed: int) -> None:
    """Raise `Unsupported` when `device` has fewer than `needed` qubits."""
    if needed > device.num_qubits:
        raise Unsupported(f"the benchmark needs {needed} qubits and device {device.id!r} has {device.num_qubits}")


def require_operations(needed: int) -> None:
    """Raise `Unsupported` when circuits of `needed` operations in all are more than a job may hold."""
    if needed > MAX_OPERATIONS:
        raise Unsupported(
            f"the circuits would have about {needed:.2g} operations in all, and a job may have "
            f"{MAX_OPERATIONS:.2g}: ask for fewer or smaller circuits"
        )
