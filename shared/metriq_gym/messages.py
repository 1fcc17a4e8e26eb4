"""The contracts: everything the services say to each other, one frozen model per routing key.

Messages carry identifiers and small facts; circuits, counts and results stay in the store. Readers ignore
fields they do not know; a new required field is a new `schema_version`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, StringConstraints
from pydantic_core import PydanticSerializationError

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.wording import printable

JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
"""Letters, digits and ``._:-``, at most 128 characters, so that an id is safe in a file name or a URL."""

SuiteId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
"""As a job's, but at most 100 characters: the ids of the suite's jobs begin with it."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""Any text of one line: without control characters, at most 200 characters."""

ScheduleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$")]
"""Letters, digits and ``._-``, at most 50 characters, so that a tag can carry it."""


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


CompilationName = Literal["default", "0", "1", "2", "3", "best"]
Compilation = Annotated[CompilationName, BeforeValidator(_as_text)]
"""How circuits are compiled for a device: as the dataset's tool does (``default``), at one of Qiskit's optimisation
levels, or as well as several attempts at the highest can (``best``). A level may be given as a number."""
_NAMES = ("job_id", "suite_id", "estimate_id", "request_id", "drift_id")


Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f,]+$")]
"""A short text of one line, without commas."""


class Message(BaseModel):
    """What every message has in common."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    routing_key: ClassVar[str]
    has_consumer: ClassVar[bool] = True
    """Whether one of our services must receive it: if so, an unroutable publish is an error."""

    schema_version: Literal[1] = 1

    @property
    def correlation_id(self) -> str | None:
        """The job, suite, estimate or shift the message is about."""
        return next((named for key in _NAMES if (named := getattr(self, key, None))), None)

    @property
    def message_id(self) -> str:
        """The same for every publication of the same fact, so that observers can tell repetitions."""
        return f"{self.correlation_id}/{self.routing_key}" if self.correlation_id else str(uuid4())

    def encoded(self) -> bytes:
        """Return the message as it is sent.

        Raises
        ------
        InvalidRequest
            When what a stranger's part of it holds is nothing that JSON can: half a character, for one.
        """
        try:
            return self.model_dump_json().encode()
        except PydanticSerializationError as error:
            raise InvalidRequest([Problem("$", f"cannot be sent as JSON: {printable(str(error)[:200])}")]) from None


class _Request(Message):
    provider: Name = Field(description="Provider of the device, e.g. local.")
    device: Name = Field(description="Device at that provider, e.g. aer_simulator or homebrew_s2?o=3.")
    prior: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Priority, 1 first: among the requests of one group, and at the provider.",
    )
    remarks: Name | None = Field(default=None, description="A note for the provider's own records.")
    group: Name | None = Field(
        default=None, description="Whose it is: groups share the services fairly. Also for the provider's own records."
    )
    force: bool = Field(default=False, description="Also where the provider says that the device is out of use.")
    compilation: Compilation | None = Field(
        default=None,
        description="How circuits are compiled: default (as the dataset's tool does), Qiskit's optimisation level 0 to "
        "3, or best. Without it, the setting METRIQ_COMPILATION decides.",
    )
    tags: list[Tag] = Field(default=[], max_length=20, description="Words to find the job by, kept in its record.")


class JobRequested(_Request):
    """Run one benchmark on one device. Published by anyone, handled by the dispatcher."""

    routing_key = "job.requested"

    job_id: JobId | None = Field(
        default=None,
        description="Names the job; publishing the same id again runs nothing twice. "
        "Without it the AMQP message_id names the job, and without either a digest of the body.",
    )
    suite_id: JobId | None = Field(default=None, description="The suite this job belongs to.")
    suite_name: Name | None = Field(default=None, description="That suite's name.")
    suite_size: int | None = Field(default=None, ge=1, description="How many jobs were requested with that suite.")
    config: dict[str, Any] = Field(description="The benchmark's configuration, with benchmark_name.")


class AboutJob(Message):
    """A message that names a job, and perhaps says little more."""

    job_id: JobId


class JobDispatched(AboutJob):
    """All tasks of the job are with the provider. A wake-up for pollers; the work list is in the store."""

    routing_key = "job.dispatched"


class JobCompleted(AboutJob):
    """Every task of the job has counts. Handled by the scorer."""

    routing_key = "job.completed"


class JobScored(AboutJob):
    """The job has a result. Handled by the exporter."""

    routing_key = "job.scored"


class JobExported(AboutJob):
    """The result is where it was asked to go. For observers."""

    routing_key = "job.exported"
    has_consumer = False


class JobChecked(AboutJob):
    """The provider has compiled all circuits of a dry run, and run none: the job has ended. For observers."""

    routing_key = "job.checked"
    has_consumer = False


class JobFailed(AboutJob):
    """The job ended without a result. Handled by the exporter, which writes an outcome record."""

    routing_key = "job.failed"

    outcome: Literal["rejected", "error", "unsupported"]
    reason: str = Field(description="What went wrong, for a human.")


class JobCancelled(AboutJob):
    """The job was cancelled before it had a result. Handled by the exporter."""

    routing_key = "job.cancelled"


class JobCancelRequested(AboutJob):
    """Please cancel the job. Published by anyone, handled by the dispatcher."""

    routing_key = "job.cancel_requested"


class JobResumeRequested(AboutJob):
    """Please go on with a job that failed. Published by anyone, handled by the dispatcher."""

    routing_key = "job.resume_requested"

    resumed: int | None = Field(
        default=None,
        ge=0,
        description="How often the job had been resumed before, as its document says: then a message that comes again "
        "after the job has failed once more does nothing. Without it a failed job is resumed each time.",
    )


class SuiteRequested(_Request):
    """Run every benchmark of a suite. Published by anyone; the dispatcher fans it out into jobs."""

    routing_key = "suite.requested"

    suite_id: SuiteId | None = Field(
        default=None,
        description="Names the suite; the same rules as for job_id. The ids of its jobs are derived from it.",
    )
    suite: dict[str, Any] = Field(description="The suite's document: name and benchmarks.")
    components: list[Name] = Field(default=[], max_length=200, description="Run only these components; all when empty.")
    all: bool = Field(default=False, description="Confirms a full dispatch of a suite that warns about it.")


class EstimateWanted(Message):
    """What an estimate is wanted of."""

    provider: Name = Field(description="Provider of the device, e.g. local.")
    device: Name = Field(description="Device at that provider.")
    config: dict[str, Any] = Field(description="The benchmark's configuration, with benchmark_name.")
    predict: bool = Field(default=False, description="Whether to predict the result by simulating the device's twin.")
    circuits: int = Field(default=0, ge=0, le=200, description="How many of the compiled circuits to answer with.")
    seed: int | None = Field(default=None, description="A job's seed: then its very circuits are built.")
    compilation: Compilation | None = Field(
        default=None, description="How circuits are compiled, as in a job's request."
    )


class EstimateRequested(EstimateWanted):
    """Say what a job would ask of its device, without running it. Answered by a dispatcher, in the store."""

    routing_key = "estimate.requested"

    estimate_id: JobId = Field(description="Names the answer.")


DailyBound = Annotated[int, Field(ge=1, le=2**53)]
"""How much a schedule may spend in a day."""


class ScheduleRequested(_Request):
    """Run a benchmark or a suite again and again. Published by anyone, kept by the dispatcher.

    A request that cannot be accepted shows as a rejected job under the request's id.
    """

    routing_key = "schedule.requested"

    request_id: JobId | None = Field(
        default=None, description="Names the request; the same rules as for a job's id. A tick has an id of its own."
    )
    name: ScheduleName = Field(description="Names the schedule.")
    replace: bool = Field(default=False, description="Also where there is another schedule of that name.")
    cron: str = Field(max_length=200, description="When: minute, hour, day of month, month, day of week.")
    timezone: str = Field(default="UTC", max_length=100, description="Where the clock hangs, e.g. Europe/Berlin.")
    missed: Literal["once", "skip"] = Field(
        default="once", description="Whether ticks that came while no dispatcher ran are run once, or not."
    )
    overlap: Literal["skip", "run"] = Field(
        default="skip", description="What becomes of a tick that comes while the job before still runs."
    )
    daily_shots: DailyBound | None = Field(default=None, description="A tick that would exceed it in a day is held.")
    daily_circuits: DailyBound | None = Field(default=None, description="A tick that would exceed it in a day is held.")
    tags: list[Tag] = Field(default=[], max_length=19, description="As a job's; one more names the schedule.")
    config: dict[str, Any] | None = Field(default=None, description="The benchmark's configuration, or")
    suite: dict[str, Any] | None = Field(default=None, description="the suite's document.")
    components: list[Name] = Field(default=[], max_length=200, description="Run only these components of the suite.")
    all: bool = Field(default=False, description="Confirms a full dispatch of a suite that warns about it.")


ScheduleAction = Literal["pause", "resume", "run", "delete"]


class ScheduleChangeRequested(Message):
    """Please pause, resume, run once or delete a schedule. Published by anyone, handled by the dispatcher."""

    routing_key = "schedule.change_requested"

    request_id: JobId = Field(description="Names the request, so that one that comes again changes nothing.")
    name: ScheduleName = Field(description="Names the schedule.")
    action: ScheduleAction = Field(description="What to do.")


def _now() -> datetime:
    """Return the time as the store keeps it, in milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class DeviceDrifted(Message):
    """A metric of a device, or a number of its calibration, has left its baseline. For observers.

    The same shift always has the same drift_id, which is the message's id too.
    """

    routing_key = "device.drifted"
    has_consumer = False

    drift_id: JobId = Field(description="Names the shift, of one metric of one series.")
    provider: Name = Field(description="Provider of the device.")
    device: Name = Field(description="Device at that provider.")
    benchmark_name: str | None = Field(description="Whose metric it is; null for a number of the calibration.")
    parameters: dict[str, Any] = Field(default={}, description="What tells the series from others of that benchmark.")
    metric: str = Field(description="What has drifted, e.g. score or T1.")
    found: Literal["step", "cusum"] = Field(description="By which test: see docs/trends.md.")
    since: datetime = Field(description="Time of the first value that spoke for it.")
    at: datetime = Field(description="Time of the value with which it was found.")
    value: FiniteFloat = Field(description="That value.")
    uncertainty: FiniteFloat | None = Field(default=None, description="That value's quoted uncertainty.")
    baseline: FiniteFloat = Field(description="Median of the baseline's values.")
    scatter: FiniteFloat = Field(description="Their scatter as a standard deviation: 1.4826 times the MAD.")
    deviation: FiniteFloat = Field(description="Median distance from the baseline since then, in standard deviations.")
    statistic: FiniteFloat = Field(description="What went beyond the threshold.")
    threshold: FiniteFloat = Field(description="Of that test, in standard deviations.")
    values: int = Field(ge=1, description="How many values were looked at, the baseline's among them.")
    values_since: int = Field(ge=1, description="How many of them speak for it.")
    found_by: JobId = Field(description="The job whose result or calibration showed it.")
    found_at: datetime = Field(default_factory=_now, description="When it was found.")


MESSAGES: tuple[type[Message], ...] = (
    JobRequested,
    JobDispatched,
    JobCompleted,
    JobScored,
    JobExported,
    JobChecked,
    JobFailed,
    JobCancelled,
    JobCancelRequested,
    JobResumeRequested,
    SuiteRequested,
    EstimateRequested,
    ScheduleRequested,
    ScheduleChangeRequested,
    DeviceDrifted,
)
