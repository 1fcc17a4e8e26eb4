"""The documents in the store: jobs, tasks and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from metriq_gym.constants import CIRCUIT
from metriq_gym.jobs.states import NOTICES, TERMINAL, ExportState, JobState, Stage, TaskState
from metriq_gym.messages import Compilation
from metriq_gym.wording import shorten


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Lease(_Document):
    """Who works on a document. `token` grows with every new holder; a write with an older one is refused."""

    owner: str
    token: int


"""State → what a job is waiting for in it, and what has failed if it ends there."""


class Failure(_Document):
    """Why a job ended without a result."""

    outcome: Literal["rejected", "error", "unsupported"]
    reason: Annotated[str, AfterValidator(partial(shorten, limit=10_000))]
    source: Stage
    problems: list[dict[str, str]] = []
    """For a rejected request: every error found, as ``{path, message}`` with a JSON path."""


def failure_noted(error: Mapping[str, Any]) -> Failure:
    """Return the failure that another tool noted as ``{source, message}``, in its own words.

    What comes from a record has ``outcome`` too.
    """
    return Failure(
        outcome="unsupported" if error.get("outcome") == "unsupported" else "error",
        reason=str(error.get("message") or "it failed, without a message"),
        source="dispatch" if error.get("source") == "dispatch" else "poll",
    )


class Attempts(_Document):
    """Attempts in a row to move a job on that failed for a passing reason, without anything gained in between."""

    count: int
    seconds: float
    """From the first to the last; of a longer break, as when the store was away, only as much as a pause takes."""
    at: datetime
    progress: int


EVENT = "event "
"""What the location of a notification begins with; its event's id follows."""


def is_file(location: str) -> bool:
    """Whether an export's location is a file, which is where the exporter runs, and neither an address nor an event."""
    return "://" not in location and not location.startswith(EVENT)


class Export(_Document):
    """The export of a job's record to one target."""

    state: ExportState
    attempts: int = 0
    location: str | None = None
    """Where the record is: a path, or a pull request's address; of a notification, its event."""
    error: str | None = None
    """Why the last attempt did not succeed."""
    at: datetime
    """When this was written."""
    not_before: datetime | None = None
    """When the next attempt may be made."""


class Transition(_Document):
    """One line of a job's history."""

    state: JobState
    at: datetime
    service: str
    cause: str = ""


class ShortCount(_Document):
    """Counts of one task that sum to less than the shots asked for."""

    run: int
    first: int
    """Position of the task's first circuit in that run."""
    shots: int
    counted: int


class CheckedCircuit(_Document):
    """What a provider says of a circuit that it has compiled and not run."""

    run: int
    first: int
    """Position of the circuit in that run."""
    said: dict[str, Any] = {}
    """Such as ``qubits`` and ``depth``, in the provider's own words."""


class Hold(_Document):
    """That a job has come to be held, which has to be told."""

    number: int
    """1 for the job's first."""
    at: datetime
    reason: str


class Job(_Document):
    """One benchmark on one device. What only later stages know is None until then."""

    id: str = Field(alias="_id")
    state: JobState
    benchmark_name: str = ""
    provider: str = ""
    device: str = ""
    """As the dataset names it."""
    target: str = ""
    """As the request named it, with whatever flags the provider knows."""
    prior: int | None = None
    remarks: str | None = None
    group: str | None = None
    tags: list[str] = []
    """Words to find it by."""
    compilation: Compilation = "default"
    """How its circuits are compiled."""
    config: dict[str, Any] = {}
    """The configuration with the schema's defaults applied."""
    warnings: list[dict[str, str]] = []
    suite_id: str | None = None
    suite_name: str | None = None
    suite_size: int | None = None
    """How many jobs were requested with the suite."""
    suite_closed: bool = False
    """Whether an operator has said that its suite is complete with those of its jobs of which this is said."""
    lane: int = 0
    """The lane its request waited in: the higher, the more of its publisher's requests came before it."""
    seed: int = 0
    traceparent: str | None = None
    """Trace context of its dispatch, in which its later stages go on."""
    app_version: str = ""
    created_at: datetime
    updated_at: datetime
    lease: Lease | None = None
    """The dispatcher at work on it, while `dispatching`."""
    deaths: int = 0
    """How many worker processes building it has killed."""
    planned: bool = False
    """Whether the tasks are stored and the fields below, up to the gate counts, are set."""
    deadline_at: datetime | None = None
    """When a job that has no result by then ends without one."""
    attempts: Attempts | None = None
    """Those that have failed since it moved."""
    given_up: int = 0
    """How many of its messages services have given up since it moved."""
    resumed: int = 0
    """How often it went on after it had failed."""
    dry: bool = False
    """Whether its provider is asked to compile the circuits, and to run none."""
    held: str | None = None
    """Why the job waits for an operator (`mgym job resolve`, `mgym dead replay`)."""
    holds: int = 0
    """How often it has come to be held."""
    to_notify: list[Hold] = []
    """Those of its holds of which the exporter has no notice yet."""

    dispatch_time: datetime | None = None
    device_metadata: dict[str, Any] = {}
    data: dict[str, Any] = {}
    """The benchmark's own `BenchmarkData`."""
    runs: list[int] = []
    """Circuits per `Device.run` call."""
    task_count: int = 0
    input_two_qubit_gate_counts: list[int] = []
    transpiled_two_qubit_gate_counts: list[int] = []
    compiled_with: dict[str, Any] = {}
    """Choice, level, seed and library, for the record."""

    short_counts: list[ShortCount] = []
    """The circuits whose counts sum to less than the shots asked for."""
    checked: list[CheckedCircuit] = []
    """Of a dry run: what came of each circuit."""
    result: dict[str, Any] | None = None
    runtime_seconds: float | None = None
    failure: Failure | None = None
    exports: dict[str, Export] = {}
    """Target → how its export is getting on."""
    imported: str | None = None
    """Of a job that no service ran: its record as JSON, as a client added or imported it."""
    history: list[Transition] = []

    @property
    def _records(self) -> list[Export]:
        """The exports of its record; who is told of the job besides does not decide about it."""
        return [export for name, export in self.exports.items() if name not in NOTICES]

    @property
    def is_exported(self) -> bool:
        """Whether every export of its record has ended, and at least one well: then a scored job is `exported`."""
        states = {export.state for export in self._records}
        return ExportState.DONE in states and ExportState.PENDING not in states

    @property
    def in_dataset(self) -> bool:
        """Whether it is a benchmark that was run, of which the dataset keeps a record."""
        return not self.dry and self.benchmark_name != CIRCUIT

    @property
    def is_stuck(self) -> bool:
        """Whether there is a result that could be exported nowhere: it stays `scored` until an export is retried."""
        states = {export.state for export in self._records}
        return self.state is JobState.SCORED and states == {ExportState.FAILED}

    @property
    def waits_for_suite(self) -> bool:
        """Whether it has a result, and all that is left to do is to export it with the rest of its suite."""
        pending = [export for export in self._records if export.state is ExportState.PENDING]
        in_suite = self.suite_id is not None and self.suite_size is not None
        return (
            self.state is JobState.SCORED and in_suite and bool(pending) and not any(each.attempts for each in pending)
        )

    @property
    def has_ended(self) -> bool:
        """Whether no service has anything left to do for it: its state is terminal, it is stuck, or none ran it."""
        return self.state in TERMINAL or self.is_stuck or self.imported is not None

    @property
    def waits_elsewhere(self) -> bool:
        """Whether it was imported while it waited at its provider, where only the tool that sent it can ask for it."""
        return self.imported is not None and self.state is JobState.DISPATCHED


def is_settled(job: Job) -> bool:
    """Whether a job stays as it is unless an operator decides: it has ended, or is held for an operator."""
    return job.has_ended or job.held is not None


class Task(_Document):
    """A share of a job's circuits: what one submission to the provider carries."""

    id: str = Field(alias="_id")
    job_id: str
    provider: str
    device: str
    state: TaskState
    run: int
    """Which `Device.run` call the circuits belong to."""
    first: int
    """Position of the task's first circuit in that call."""
    circuit_count: int
    shots: int
    seed: int
    dry: bool = False
    """Whether it is only compiled."""
    lane: int = 0
    """The job's: of tasks that are due, those of lower lanes are run first, but for some."""
    plan: int = 0
    """Fencing token of the dispatcher that stored it."""
    traceparent: str | None = None
    """The job's."""
    dispatcher: int | None = None
    """Fencing token of the dispatcher that last saw to its submission."""
    lease: Lease | None = None
    deaths: int = 0
    """How many worker processes running it has killed."""
    begun: int = 0
    """How many times a poller began to run it and was not heard of again, the run in hand included."""
    intended_at: datetime | None = None
    """When its submission was about to be sent."""
    sent_until: datetime | None = None
    """Until when it may have been sent, where that is not soon after `intended_at`: it comes from a backup."""
    provider_job_id: str | None = None
    queue_position: int | None = None
    """How many were before it at the provider when that was last asked, where the provider says."""
    starts_at: datetime | None = None
    """When the provider expected it to start."""
    cancelled_from: TaskState | None = None
    """The state in which its job's end found it."""
    cancellable: bool = False
    """Whether its provider can be asked to cancel it."""
    withdraw_at: datetime | None = None
    """From when on the provider is to be asked to cancel it, until that was done: its job was cancelled."""
    candidates: list[dict[str, str]] = []
    """While it is in doubt: what the provider says of those of its tasks that may be this one."""
    polls: int = 0
    """How often it was postponed, each time for longer."""
    unclear: int = 0
    """How often in a row the provider's answer was not understood."""
    circuits: bytes = b""
    """Compressed QPY; see `metriq_gym.packing`."""
    counts: bytes = b""
    """Compressed counts of each circuit; see `metriq_gym.packing`."""
    counted: int | None = None
    """How many outcomes came back, where that is not as many as shots were asked for."""
    execution_seconds: float | None = None
    sampling_seconds: float | None = None
    """Of these, those of gates and shots alone, where the provider tells them apart."""
    said: dict[str, Any] = {}
    """Of a task that was only compiled: what the provider says of it."""
    ended_at: datetime | None = None
    """When its counts were stored; earlier versions did not say."""
    error: str | None = None


class SeenDevice(_Document):
    """A device as a dispatcher last found it at its provider."""

    id: str = Field(alias="_id")
    """Provider and device, joined by a slash."""
    provider: str
    device: str
    num_qubits: int
    simulator: bool
    status: str
    metadata: dict[str, Any] = {}
    """Its calibration, and what else the record's ``device_metadata`` says."""
    seen_at: datetime


class CalibrationPoint(_Document):
    """What a device's metadata was from one time on."""

    at: datetime
    metadata: dict[str, Any] = {}


class DrawnCircuit(_Document):
    """A circuit as a person reads it."""

    name: str
    qasm: str
    """OpenQASM 3."""
    drawing: str
    """In characters; empty when it is too large to draw."""


class EstimateAnswer(_Document):
    """What a dispatcher found a configuration to ask of a device, or why it cannot be run there."""

    id: str = Field(alias="_id")
    estimate: dict[str, Any] | None = None
    """Circuits, shots, gates and depth, as `metriq_gym.jobs.estimate.Estimate` has them."""
    predicted: dict[str, Any] | None = None
    """The result that the device's twin gives; None where none was asked for, or none can be simulated."""
    predicted_by: str | None = None
    """The device that was simulated."""
    unpredicted: str | None = None
    """Why there is no prediction though one was asked for."""
    circuits: list[DrawnCircuit] = []
    """Compiled for the device, as many as were asked for and fit."""
    problems: list[dict[str, str]] = []
    """What keeps it from running: every error found, as ``{path, message}``."""


class DueTask(NamedTuple):
    """What is looked at of a task before it is claimed."""

    id: str
    provider_job_id: str | None
    polls: int
    next_poll_at: datetime
    lane: int = 0
