"""Refusals that a benchmark can pronounce before it builds a single circuit."""

from __future__ import annotations

from metriq_gym.benchmarks.benchmark import Device
from metriq_gym.errors import Unsupported


def require_qubits(device: Device, needed: int) -> None:
    """Raise `Unsupported` when `device` has fewer than `needed` qubits."""
    if needed > device.num_qubits:
        raise Unsupported(
            f"the benchmark needs {needed} qubits and device {device.id!r} has {device.num_qubits}"
        )
