"""The devices of the Aer provider: the ideal simulator and noisy profiles of real devices (``fake_manila``, …)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import NotFound
from metriq_gym.providers.aer import profiles
from metriq_gym.providers.provider import Device
from metriq_gym.wording import alternatives

if TYPE_CHECKING:
    from qiskit.transpiler import Target

PROVIDER = "local"
IDEAL = "aer_simulator"
IDEAL_QUBITS = 30
"""Size of the ideal simulator as a graph; wider circuits run too when an exact method fits in memory."""


def names() -> list[str]:
    """Ids of all devices, the ideal simulator first."""
    return [IDEAL, *profiles.names()]


@cache
def describe(device_id: str) -> Device:
    """Return a device; raises `NotFound` with the close matches, or with every name there is."""
    if device_id == IDEAL:
        return Device(PROVIDER, IDEAL, IDEAL_QUBITS, simulator=True, metadata={"noise": "none"})
    if device_id not in profiles.names():
        instead = alternatives(device_id, names(), f"mgym devices --provider {PROVIDER}")
        raise NotFound(f"unknown device {device_id!r} of provider {PROVIDER!r}{instead}")
    profile = profiles.load(device_id)
    return Device(
        PROVIDER,
        device_id,
        profile["qubits"],
        simulator=True,
        edges=tuple((a, b) for a, b in profile["edges"]),
        metadata={
            "noise": "device snapshot",
            "snapshot_of": profile["snapshot_of"],
            "snapshot_version": profile["version"],
            "basis_gates": profile["basis_gates"],
        },
    )


@cache
def target(device_id: str) -> Target:
    """What circuits for a noisy profile are compiled for."""
    describe(device_id)
    return profiles.target(device_id)


def operations(device_id: str) -> frozenset[str]:
    """Names of the operations that a noisy profile has."""
    return frozenset(target(device_id).operation_names)


@cache
def noise_model(device_id: str) -> Any:
    """Aer's noise model of a profile: gate errors, thermal relaxation and readout errors as calibrated."""
    from qiskit_aer.noise import NoiseModel

    from metriq_gym.providers.aer.snapshot import Snapshot

    return NoiseModel.from_backend(Snapshot(device_id, target(device_id)))
