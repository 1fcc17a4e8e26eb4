"""The port every provider implements: its devices, and how circuits are compiled for them.

A provider is either *local* (tasks are run by the poller that claims them, in a process pool) or remote.
What is CPU-bound is a picklable callable, so that it can be sent to a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from metriq_gym.errors import NotYet, Transient
from metriq_gym.messages import Compilation

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class TryLater(Transient):
    """The provider asks for patience: the same request may succeed later."""


class CredentialTrouble(NotYet):
    """The provider does not accept the credential: all work with it is parked until it does."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a provider's credential is parked."""

    reason: str
    since: datetime


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
    dry: bool = False
    """Whether it was asked for in a way that has circuits compiled, and none run."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Counts of each circuit in the order given, and the seconds that running them took."""

    counts: Sequence[Mapping[str, int]]
    seconds: float
    sampling_seconds: float | None = None
    """Of these, what the device spent on nothing but the circuits' gates and shots."""


class Compiler(Protocol):
    """Turns circuits into what the device runs. Picklable; a pure function of its arguments."""

    def __call__(
        self, device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
    ) -> list[QuantumCircuit]:
        """Compile `circuits`, one for one, as `compilation` says; a circuit that is run as it is comes back itself.

        Parameters
        ----------
        device
            What they are to run on.
        circuits
            What a benchmark made, in its order.
        seed
            Source of all that is random.
        compilation
            One of the choices of a request.

        Raises
        ------
        Unsupported
            When one cannot run there; it names the operation, the qubit count and the device.
        """


@runtime_checkable
class BoundedCompiler(Compiler, Protocol):
    """A compiler that also refuses what does not fit in the memory of the simulator it compiles for."""

    def unbounded(self) -> Compiler:
        """Return one that compiles alike, and leaves the memory out of account."""

    def misfit(self, device: Device, compiled: Sequence[QuantumCircuit]) -> str | None:
        """Return why one of the compiled circuits does not fit; None where all do.

        Parameters
        ----------
        device
            What they are to run on.
        compiled
            As the compiler returned them.
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
        """Return one device.

        Parameters
        ----------
        device_id
            As requests name it, with whatever flags the provider knows.

        Raises
        ------
        NotFound
            When there is no such device; it names those there are.
        """


class Simulation(Protocol):
    """Runs compiled circuits here and now. Picklable; the same arguments always give the same counts."""

    def __call__(self, device_id: str, circuits: Sequence[QuantumCircuit], shots: int, seed: int) -> Execution:
        """Run each circuit `shots` times; counts are in Qiskit's bit order.

        Parameters
        ----------
        device_id
            As requests name it.
        circuits
            As the provider's compiler returned them.
        shots
            How often each is run.
        seed
            Source of all that is random.
        """


@runtime_checkable
class LocalProvider(Provider, Protocol):
    """A provider whose tasks are run by whichever poller claims them."""

    @property
    def simulation(self) -> Simulation:
        """Runs compiled circuits."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a remote provider is sent for one task."""

    device: str
    """As the request names it, with whatever flags the provider knows."""
    source: str
    """The circuits in the provider's language, as its `encoder` wrote them."""
    shots: int
    tag: str
    """Stands in no other submission: goes where the provider lets it be found again."""
    prior: int | None = None
    remarks: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LostSubmission:
    """A submission that may or may not have been accepted; its ``source`` may be missing."""

    submission: Submission
    sent_between: tuple[datetime, datetime]
    """Times, with time zone, just before it was sent and just after it was given up."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A lost submission was accepted; this is its id."""

    provider_job_id: str


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """A lost submission was not accepted: it may be sent again."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """It cannot be told; an operator has to say which of the candidates it is, if any."""

    reason: str
    candidates: tuple[str, ...] = ()
    described: tuple[Mapping[str, str], ...] = ()
    """What the provider says of each candidate, in words: ``id``, ``device``, ``shots``, ``state`` and the like."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task is not finished."""

    position: int | None = None
    """How many are before it in the device's queue, if the provider says."""
    starts_at: datetime | None = None
    """When the provider expects it to start, if it says."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A task has counts, in the provider's own form."""

    counts: Mapping[str, int]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A task has ended and has no counts, as one that is only compiled."""

    said: Mapping[str, Any]
    """What the provider says of it, such as ``qubits`` and ``depth``."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task ended without counts."""

    error: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """What the provider says of a task is not understood: neither success nor failure."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The provider cannot be asked at the moment."""

    reason: str
    retry_after: float | None = None
    """Seconds, if the provider says."""


Progress = Waiting | Finished | Compiled | Ended | Unclear | NotNow


@dataclass(frozen=True, slots=True)
class Overview:
    """The ids of tasks that wait, and of those that have ended, as one answer tells; perhaps not of all there are."""

    waiting: frozenset[str]
    ended: frozenset[str]


class Listing(Protocol):
    """The tasks that a provider lists at one moment."""

    @property
    def ids(self) -> frozenset[str]:
        """Their ids."""


@runtime_checkable
class CompilingProvider(Protocol):
    """A provider that can be asked to compile circuits without running them."""

    def dry_run_on(self, device_id: str) -> str:
        """Return how to name a device, given as in a request, so that circuits are compiled for it and not run.

        Parameters
        ----------
        device_id
            As requests name it.
        """


@runtime_checkable
class CancellingProvider(Protocol):
    """A provider that can be asked not to run a task that it has."""

    async def cancel(self, task_id: str) -> None:
        """Have a task not be run, or not to its end. Said again it does no harm.

        Parameters
        ----------
        task_id
            The provider's id.

        Raises
        ------
        MetriqGymError
            When it could not be said, which is tried again if its class is one of those that are; any other means that
            there is nothing more to cancel.
        """


@runtime_checkable
class RemoteProvider(Provider, Protocol):
    """A provider that takes submissions and is asked for results."""

    @property
    def encoder(self) -> Callable[[bytes], str]:
        """Writes packed circuits in the provider's language. Picklable."""

    @property
    def decoder(self) -> Callable[[bytes, Mapping[str, int]], bytes]:
        """Turns the provider's counts for packed circuits into packed counts in Qiskit's order. Picklable."""

    async def submit(self, submission: Submission) -> str:
        """Submit once and return the provider's id.

        Parameters
        ----------
        submission
            One task.

        Raises
        ------
        SubmissionAmbiguous
            When it may or may not have been accepted.
        MetriqGymError
            Any other means that it was not accepted.
        """

    @property
    def trouble(self) -> Trouble | None:
        """Why all work with the credential is parked, if it is; found out by whatever was asked last."""

    async def listing(self) -> Listing:
        """Return what the provider lists now.

        Raises
        ------
        MetriqGymError
            When the provider does not say.
        """

    async def match(
        self,
        listing: Listing,
        known_ids: Collection[str],
        lost: LostSubmission,
        others: Sequence[LostSubmission],
    ) -> Adopted | NotAccepted | Ambiguous:
        """Decide what became of a submission whose answer was lost, as those of `others` may have been.

        Parameters
        ----------
        listing
            What the provider listed after `lost` was given up.
        known_ids
            Ids that belong to other submissions of ours.
        lost
            The submission in question.
        others
            Those whose answers were lost too.

        Raises
        ------
        MetriqGymError
            When the provider does not say what is needed for that.
        """

    async def overview(self) -> Overview:
        """Return what one answer tells of all tasks.

        Raises
        ------
        MetriqGymError
            When the provider does not say.
        """

    async def progress(self, shots: Mapping[str, int], seconds: float) -> Mapping[str, Progress]:
        """Return how each task is doing, given the shots of each by the provider's id, within `seconds`.

        A task of 0 shots is one that is only compiled.

        What there was no time for, or what a provider in trouble was spared, is missing.

        Parameters
        ----------
        shots
            Shots of each task, by the provider's id.
        seconds
            For how long to ask at most.
        """

    async def aclose(self) -> None:
        """Close the connections."""
