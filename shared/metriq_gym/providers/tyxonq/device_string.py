"""A device as requests name it: its id and the optimisation flags that the service is to apply."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.providers.provider import Device

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
_DEVICE = re.compile(rf"(?P<id>{_ID})(?:\?(?P<flags>.*))?", re.DOTALL)
_FLAGS = re.compile(r"o=(?P<options>[0-7])(?P<dry>&dry)?")

FLAGS = "flags"
"""Key of `Device.metadata` under which a device keeps the flags it was asked for with."""


@dataclass(frozen=True, slots=True)
class DeviceString:
    """``homebrew_s2?o=3&dry``, taken apart.

    Parameters
    ----------
    id:
        The device alone, as the dataset names it.
    options:
        Sum of 1 (qubit mapping), 2 (gate decomposition) and 4 (initial mapping); 0 for no optimisation.
    dry:
        Compile, but do not execute.
    """

    id: str
    options: int = 0
    dry: bool = False

    @classmethod
    def parse(cls, text: str) -> DeviceString:
        """Read a device string; a bare id means no optimisation. Raises `InvalidRequest` for anything else."""
        device = _DEVICE.fullmatch(text)
        if device is None:
            raise _invalid(f"{text!r} is not a device id (letters, digits and ._-, at most 128)")
        if device["flags"] is None:
            return cls(device["id"])
        flags = _FLAGS.fullmatch(device["flags"])
        if flags is None:
            raise _invalid(
                f"{text!r} has unknown flags; write {device['id']}?o=N with N from 0 to 7, the sum of 1 (qubit "
                "mapping), 2 (gate decomposition) and 4 (initial mapping), and &dry after it to compile only"
            )
        return cls(device["id"], int(flags["options"]), flags["dry"] is not None)

    @classmethod
    def of(cls, device: Device) -> DeviceString:
        """Return what `device`, as `TyxonQProvider.device` gave it, was asked for with."""
        return cls.parse(f"{device.id}?{device.metadata[FLAGS]}")

    @property
    def flags(self) -> str:
        """The flags alone, always explicit: ``o=0``, ``o=3&dry``."""
        return f"o={self.options}{'&dry' if self.dry else ''}"

    def __str__(self) -> str:
        """The device as a submission names it."""
        return f"{self.id}?{self.flags}"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest([Problem("$.device", message)])
