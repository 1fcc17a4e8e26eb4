"""A task's packed circuit as the text that is sent, and the counts that come back under its own classical bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.tyxonq.counts import CountsOrder, measurement_map, to_qiskit_counts
from metriq_gym.providers.tyxonq.qasm import to_qasm2


def encode(packed: bytes) -> str:
    """Return the OpenQASM 2.0 text of a task's only circuit."""
    (circuit,) = unpack_circuits(packed)
    return to_qasm2(circuit)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Turns the device's counts into packed counts in Qiskit's order."""

    order: CountsOrder

    def __call__(self, packed: bytes, counts: Mapping[str, int]) -> bytes:
        """Return the packed counts of a task's only circuit."""
        (circuit,) = unpack_circuits(packed)
        return pack_counts([to_qiskit_counts(measurement_map(circuit), counts, self.order)])
