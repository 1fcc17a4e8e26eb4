"""A device's calibration: average coherence times and error probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Calibration:
    """Averages over a device as TyxonQ publishes them; None where it does not. Field names are those of the dataset."""

    t1_us: float | None = None
    """Relaxation time T1 in microseconds."""
    t2_us: float | None = None
    """Dephasing time T2 in microseconds."""
    single_qubit_gate_error: float | None = None
    """``Err.SQ``, a probability."""
    cz_gate_error: float | None = None
    """``Err.CZ``, a probability."""
    readout_error_0: float | None = None
    """``Err.Readout.F0``, taken as the probability of reading 1 when the qubit is in 0."""
    readout_error_1: float | None = None
    """``Err.Readout.F1``, taken as the probability of reading 0 when the qubit is in 1."""

    def metadata(self) -> dict[str, float]:
        """Return the known values by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Calibration:
        """Return the calibration that is part of a device's metadata."""
        return cls(**{field.name: metadata.get(field.name) for field in fields(cls)})
