"""Turns circuits into what an Aer device runs, and refuses those that it cannot run exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metriq_gym.errors import Unsupported
from metriq_gym.providers.aer import devices
from metriq_gym.providers.provider import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class AerCompiler:
    """Compiles for the ideal simulator or for a noisy profile."""

    memory_bytes: int

    def __call__(self, device: Device, circuits: Sequence[QuantumCircuit], seed: int) -> list[QuantumCircuit]:
        from qiskit import transpile
        from qiskit_aer import AerSimulator

        for circuit in circuits:
            if not circuit.num_clbits:
                raise Unsupported(f"{device.id} needs measurements; circuit {circuit.name!r} has none")
        if device.id == devices.IDEAL:
            return list(transpile(list(circuits), AerSimulator(), optimization_level=0, seed_transpiler=seed))
        return list(
            transpile(
                list(circuits),
                target=devices.backend(device.id).target,
                optimization_level=1,
                seed_transpiler=seed,
            )
        )
