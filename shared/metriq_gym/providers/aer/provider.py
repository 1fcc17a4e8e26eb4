"""The provider ``local``: Qiskit Aer, run by whichever poller claims the task.

Importing this module loads no part of Qiskit.
"""

from __future__ import annotations

from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.aer.simulation import AerSimulation
from metriq_gym.providers.aer.twin import Twins, is_twin
from metriq_gym.providers.provider import Device

GIB = 2**30


class AerProvider:
    """Exact simulation of ideal circuits, of noisy device profiles and of digital twins.

    Parameters
    ----------
    memory_bytes:
        Most that one simulation may take for its quantum state.
    threads:
        Most threads that one simulation may use.
    twins:
        Where the calibrations of digital twins come from; by default, those that ship.
    """

    name = devices.PROVIDER
    max_circuits_per_task = 100

    def __init__(self, memory_bytes: int = 2 * GIB, threads: int = 1, twins: Twins | None = None) -> None:
        self.compiler = AerCompiler(memory_bytes)
        self.simulation = AerSimulation(memory_bytes, threads)
        self._twins = twins or Twins()

    async def devices(self) -> list[Device]:
        """Return the ideal simulator, every noisy profile and the known digital twins."""
        return [*map(devices.describe, devices.names()), *self._twins.devices()]

    async def device(self, device_id: str) -> Device:
        """Return one device; raises `NotFound` naming the devices there are."""
        if is_twin(device_id):
            return await self._twins.device(device_id)
        return devices.describe(device_id)
