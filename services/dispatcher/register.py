"""Notes the devices that a dispatcher looks up, for those who must not ask a provider."""

from __future__ import annotations

import time
from collections.abc import Callable

from metriq_gym.providers.provider import Device
from metriq_gym.store.devices import Devices

SECONDS = 60.0
"""A device that is as it was noted so long ago is not noted again."""


class Register:
    """Remembers what it has noted, so that a burst of jobs for one device is one write."""

    def __init__(self, devices: Devices, now: Callable[[], float] = time.monotonic) -> None:
        self._devices = devices
        self._now = now
        self._noted: dict[tuple[str, str], tuple[Device, float]] = {}

    async def note(self, device: Device) -> None:
        """Write down how a device was found, unless that was just done."""
        key = (device.provider, device.id)
        before, at = self._noted.get(key, (None, 0.0))
        if before == device and self._now() - at < SECONDS:
            return
        await self._devices.see(
            device.provider,
            device.id,
            num_qubits=device.num_qubits,
            simulator=device.simulator,
            status=device.status,
            metadata=device.metadata,
        )
        self._noted[key] = (device, self._now())
