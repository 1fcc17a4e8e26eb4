"""The devices of the sandbox with their published calibration, and the device strings that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TARGET = re.compile(r"(?P<id>[^?&]+)(\?o=(?P<flags>[0-7])(?P<dry>&dry)?)?")


@dataclass(frozen=True, slots=True)
class Device:
    """A device as devices/list publishes it: times in microseconds, errors as probabilities."""

    id: str
    qubits: int
    t1: float
    t2: float
    single_qubit_error: float
    cz_error: float
    readout_f0: float
    readout_f1: float

    def row(self, state: str) -> dict[str, Any]:
        """The device's row in devices/list."""
        return {
            "id": self.id,
            "qubits": self.qubits,
            "T1": self.t1,
            "T2": self.t2,
            "Err": {
                "SQ": self.single_qubit_error,
                "CZ": self.cz_error,
                "Readout": {"F0": self.readout_f0, "F1": self.readout_f1},
            },
            "state": state,
        }


HOMEBREW_S2 = Device(
    id="homebrew_s2",
    qubits=13,
    t1=84.44615173339844,
    t2=45.41538619995117,
    single_qubit_error=0.0007843076923076923,
    cz_error=0.009009666666666666,
    readout_f0=0.016538461538461537,
    readout_f1=0.04118461538461538,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A device string taken apart: ``homebrew_s2``, ``homebrew_s2?o=3`` or ``homebrew_s2?o=3&dry``."""

    text: str
    device: Device
    flags: int
    """Sum of 1 (qubit mapping), 2 (gate decomposition) and 4 (initial mapping)."""
    dry: bool


def parse_target(text: str, devices: Mapping[str, Device]) -> Target:
    """Read a device string; ValueError says what is wrong with it."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a valid combination; write ID, ID?o=0 to ID?o=7, or ID?o=3&dry")
    if match["id"] not in devices:
        raise ValueError(f"there is no device {match['id']!r}; there are: {', '.join(devices)}")
    return Target(text, devices[match["id"]], int(match["flags"] or 0), match["dry"] is not None)
