"""The port every provider implements: its devices, and how circuits are compiled for them.

A provider is either *local* (tasks are run by the poller that claims them, in a process pool) or remote.
What is CPU-bound is a picklable callable, so that it can be sent to a worker process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its provider describes it: plain data that can travel to a worker process."""

    provider: str
    id: str
    num_qubits: int
    simulator: bool
    status: str = "online"
    edges: tuple[tuple[int, int], ...] | None = None
    """Qubit pairs that share a two-qubit gate, or None where every pair does."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the dataset's ``device_metadata`` should say besides ``num_qubits`` and ``simulator``."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Counts of each circuit in the order given, and the seconds the device spent on them."""

    counts: Sequence[Mapping[str, int]]
    seconds: float


class Compiler(Protocol):
    """Turns circuits into what the device runs. Picklable; a pure function of its arguments."""

    def __call__(self, device: Device, circuits: Sequence[QuantumCircuit], seed: int) -> list[QuantumCircuit]:
        """Compile `circuits`, one for one.

        Raises `Unsupported`, naming the operation, the qubit count and the device, when one cannot run there.
        """


class Provider(Protocol):
    """Where circuits run."""

    @property
    def name(self) -> str:
        """What requests call it."""

    @property
    def max_circuits_per_task(self) -> int:
        """How many circuits one task may carry."""

    @property
    def compiler(self) -> Compiler:
        """Makes circuits ready for its devices."""

    async def devices(self) -> list[Device]:
        """All devices the provider offers."""

    async def device(self, device_id: str) -> Device:
        """Return one device; raises `NotFound` naming the devices there are."""


class Simulation(Protocol):
    """Runs compiled circuits here and now. Picklable; the same arguments always give the same counts."""

    def __call__(
        self, device_id: str, circuits: Sequence[QuantumCircuit], shots: int, seed: int
    ) -> Execution:
        """Run each circuit `shots` times; counts are in Qiskit's bit order."""


@runtime_checkable
class LocalProvider(Provider, Protocol):
    """A provider whose tasks are run by whichever poller claims them."""

    @property
    def simulation(self) -> Simulation:
        """Runs compiled circuits."""
