"""The provider ``local``: Qiskit Aer, run by whichever poller claims the task.

Importing this module loads no part of Qiskit.
"""

from __future__ import annotations

from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.aer.simulation import AerSimulation
from metriq_gym.providers.provider import Device

GIB = 2**30


class AerProvider:
    """Exact simulation of ideal circuits and of noisy device profiles.

    Parameters
    ----------
    memory_bytes:
        Most that one simulation may take for its quantum state.
    threads:
        Most threads that one simulation may use.
    """

    name = devices.PROVIDER
    max_circuits_per_task = 100

    def __init__(self, memory_bytes: int = 2 * GIB, threads: int = 1) -> None:
        self.compiler = AerCompiler(memory_bytes)
        self.simulation = AerSimulation(memory_bytes, threads)

    async def devices(self) -> list[Device]:
        """Return the ideal simulator and every noisy profile."""
        return [devices.describe(name) for name in devices.names()]

    async def device(self, device_id: str) -> Device:
        """Return one device; raises `NotFound` naming the devices there are."""
        return devices.describe(device_id)
