"""What a job gains by each change that a service makes to it. The store writes what is set, as it is."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from metriq_gym.jobs.documents import CheckedCircuit, Failure, Job, ShortCount
from metriq_gym.jobs.states import STAGES, JobState
from metriq_gym.messages import Compilation


class Change(BaseModel):
    """Fields of `Job`, which says what they mean, with their new values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fields(self) -> dict[str, Any]:
        """Return those that are set."""
        return self.model_dump(exclude_unset=True)


class Accepted(Change):
    """The request can be carried out."""

    benchmark_name: str = ""
    provider: str = ""
    device: str = ""
    target: str = ""
    prior: int | None = None
    remarks: str | None = None
    group: str | None = None
    tags: list[str] = []
    compilation: Compilation = "default"
    config: dict[str, Any] = {}
    warnings: list[dict[str, str]] = []
    dry: bool = False
    suite_id: str | None = None
    suite_name: str | None = None
    suite_size: int | None = None
    seed: int = 0
    lane: int = 0
    app_version: str = ""
    traceparent: str | None = None


class Rejected(Change):
    """The request cannot be carried out."""

    failure: Failure
    request: str = ""
    """The beginning of its body."""
    app_version: str = ""
    benchmark_name: str = ""
    """This and the next four are what was asked for, as far as the request says it."""
    provider: str = ""
    device: str = ""
    target: str = ""
    tags: list[str] = []
    suite_id: str | None = None
    suite_name: str | None = None
    suite_size: int | None = None


class Planned(Change):
    """The circuits are built and stored as tasks."""

    device_metadata: dict[str, Any] = {}
    data: dict[str, Any] = {}
    runs: list[int] = []
    task_count: int
    input_two_qubit_gate_counts: list[int] = []
    transpiled_two_qubit_gate_counts: list[int] = []
    compiled_with: dict[str, Any] = {}


class Move(Change):
    """The job goes from one state to another."""

    state: ClassVar[JobState]


class Dispatched(Move):
    """All tasks are with the provider; `plan` comes with it where it was not written before."""

    state = JobState.DISPATCHED
    plan: Planned | None = None

    def fields(self) -> dict[str, Any]:
        """Return the plan's, if there is one."""
        return {} if self.plan is None else self.plan.fields()


class Completed(Move):
    """All tasks have counts, some of them perhaps of fewer shots than were asked for."""

    state = JobState.COMPLETED
    short_counts: list[ShortCount] = []
    warnings: list[dict[str, str]] = []

    @classmethod
    def of(cls, job: Job, short: list[ShortCount]) -> Completed:
        """Return the change, with a warning where shots are missing."""
        if not short:
            return cls()
        asked, counted = sum(each.shots for each in short), sum(each.counted for each in short)
        told = (
            f"{asked - counted} of {asked} shots are missing from the counts of {len(short)} of {job.task_count} tasks"
        )
        return cls(short_counts=short, warnings=[*job.warnings, {"path": "$.config.shots", "message": told}])


class Checked(Move):
    """The provider has compiled all circuits of a dry run."""

    state = JobState.CHECKED
    checked: list[CheckedCircuit]


class Scored(Move):
    """The counts are scored."""

    state = JobState.SCORED
    result: dict[str, Any]
    runtime_seconds: float | None = None


class Failed(Move):
    """The job ends without a result."""

    state = JobState.FAILED
    failure: Failure

    @classmethod
    def of(cls, job: Job, reason: str) -> Failed:
        """Return the end of a job whose present stage failed."""
        return cls(failure=Failure(outcome="error", reason=reason, source=STAGES[job.state]))


class Cancelled(Move):
    """The job ends because that was asked for."""

    state = JobState.CANCELLED
