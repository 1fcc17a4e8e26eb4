"""A provider that answers as it is told, and remembers what it was sent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import MetriqGymError, NotFound, Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.plugin import ProviderPlugin, installed
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    Device,
    Finished,
    LostSubmission,
    NotAccepted,
    Overview,
    Progress,
    Submission,
    Waiting,
)

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Answer = Progress | MetriqGymError
"""What is said of a task: how it is doing, or the error that refuses its submission."""


@dataclass(frozen=True)
class Listed:
    """The tasks that the provider lists at one moment."""

    ids: frozenset[str]


@dataclass
class ToldProvider:
    """A remote provider in memory: tasks of one circuit each, whose fate `answer` decides.

    `answer` is given each submission and returns a `Progress`, such as ``Finished({"00": 10}, 0.1)`` with the counts in
    Qiskit's order, or an error to be raised in place of an id. What was said of a task can be changed in `said`.
    """

    devices_there: Sequence[Device]
    answer: Callable[[Submission], Answer] = lambda _: Waiting()
    name: str = "told"
    submissions: dict[str, Submission] = field(default_factory=dict)
    """What was accepted, by the provider's id, in order."""
    said: dict[str, Progress] = field(default_factory=dict)
    """How each task is doing, by the provider's id."""
    asked: int = 0
    """How often the provider was asked how tasks are doing."""
    max_circuits_per_task: int = 1

    @property
    def compiler(self) -> Callable[..., list[QuantumCircuit]]:
        """Leaves circuits as they are; those that are too wide for the device cannot run there."""
        return unchanged

    @property
    def encoder(self) -> Callable[[bytes], str]:
        """Writes circuits so that `circuits_of` reads them."""
        return encoded

    @property
    def decoder(self) -> Callable[[bytes, Mapping[str, int]], bytes]:
        """Takes counts for what they are."""
        return counted

    async def devices(self) -> list[Device]:
        return list(self.devices_there)

    async def device(self, device_id: str) -> Device:
        for device in self.devices_there:
            if device.id == device_id:
                return device
        there = ", ".join(device.id for device in self.devices_there)
        raise NotFound(f"{self.name} has no device {device_id!r} (there are: {there})")

    async def submit(self, submission: Submission) -> str:
        answer = self.answer(submission)
        if isinstance(answer, MetriqGymError):
            raise answer
        task_id = f"{self.name}-{len(self.submissions)}"
        self.submissions[task_id] = submission
        self.said[task_id] = answer
        return task_id

    @property
    def trouble(self) -> None:
        """Nothing: there is no credential."""

    async def listing(self) -> Listed:
        return Listed(frozenset(self.submissions))

    async def match(
        self, listing: Any, known_ids: Collection[str], lost: LostSubmission, others: Sequence[LostSubmission]
    ) -> Adopted | NotAccepted | Ambiguous:
        """Find a lost submission by its tag, which is never wrong.

        Parameters
        ----------
        listing
            What `listing` returned.
        known_ids
            Ids that belong to other submissions.
        lost
            The submission in question.
        others
            Those whose answers were lost too.
        """
        found = [task_id for task_id, each in self.submissions.items() if each.tag == lost.submission.tag]
        new = [task_id for task_id in found if task_id in listing.ids and task_id not in known_ids]
        return Adopted(new[-1]) if new else NotAccepted()

    async def overview(self) -> Overview:
        waiting = frozenset(task_id for task_id, said in self.said.items() if isinstance(said, Waiting))
        return Overview(waiting, frozenset(self.said) - waiting)

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        self.asked += 1
        return {task_id: self.said[task_id] for task_id in shots if task_id in self.said}

    async def aclose(self) -> None:
        """There is nothing to close."""


def unchanged(
    device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
) -> list[QuantumCircuit]:
    """Return the circuits themselves.

    Parameters
    ----------
    device
        What they are to run on.
    circuits
        What a benchmark made.
    seed
        Not used.
    compilation
        Not used.

    Raises
    ------
    Unsupported
        For a circuit that is wider than the device.
    """
    for circuit in circuits:
        if circuit.num_qubits > device.num_qubits:
            raise Unsupported(f"{device.id} has {device.num_qubits} qubits, a circuit needs {circuit.num_qubits}")
    return list(circuits)


def encoded(packed: bytes) -> str:
    """Write packed circuits as text.

    Parameters
    ----------
    packed
        As `metriq_gym.packing.pack_circuits` returns them.
    """
    return base64.b64encode(packed).decode()


def circuits_of(submission: Submission) -> list[QuantumCircuit]:
    """Return the circuits that a `ToldProvider` was sent.

    Parameters
    ----------
    submission
        One that the provider was sent.
    """
    return unpack_circuits(base64.b64decode(submission.source))


def counted(packed: bytes, counts: Mapping[str, int]) -> bytes:
    """Pack the counts of one circuit.

    Parameters
    ----------
    packed
        The packed circuit; not used.
    counts
        Bitstring → occurrences, in Qiskit's order.
    """
    return pack_counts([counts])


def always(counts: Mapping[str, int], seconds: float = 0.1) -> Callable[[Submission], Answer]:
    """Return the `answer` of a provider whose every task has ended with these counts.

    Parameters
    ----------
    counts
        Bitstring → occurrences, in Qiskit's order.
    seconds
        Time on the device for each task.
    """
    return lambda _: Finished(counts, seconds)


@contextmanager
def offered(provider: ToldProvider) -> Iterator[None]:
    """Let requests to this process name the provider while inside.

    Parameters
    ----------
    provider
        The provider, by its `name`.
    """
    plugins = installed().plugins
    before = dict(plugins)
    plugins[provider.name] = ProviderPlugin(lambda _: provider)
    try:
        yield
    finally:
        plugins.clear()
        plugins.update(before)
