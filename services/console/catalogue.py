"""What there is: benchmarks, devices, estimates, and how the work stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from metriq_gym.benchmarks import names, schema
from metriq_gym.bus.port import QueueState
from metriq_gym.client.configurations import examples, read_configuration
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs import Job
from metriq_gym.jobs.documents import CalibrationPoint, EstimateAnswer, SeenDevice
from metriq_gym.messages import EstimateRequested, EstimateWanted, Name
from metriq_gym.operations.status import look
from metriq_gym.schema_validator import validate
from metriq_gym.store.catalogue import DueTasks, StateCount, WaitingSuite
from metriq_gym.store.parked import ParkedCredential

from .access import Submitter, Viewer
from .desk import Desk, desk
from .problems import RESPONSES

router = APIRouter(responses=RESPONSES)
At = Annotated[Desk, Depends(desk)]
ESTIMATE_SECONDS = 130.0
"""How long a dispatcher may take to answer: twice as long as it gives building and simulating, and a little."""


class ListedBenchmark(BaseModel):
    """A benchmark, with a configuration that runs on a laptop."""

    benchmark_name: str
    parameters: list[str]
    example: dict[str, Any] | None


class HeldJob(BaseModel):
    """A job that waits for an operator."""

    job_id: str
    reason: str | None


class StatusSummary(BaseModel):
    """How the work stands."""

    jobs: Sequence[StateCount] = Field(description="Jobs in each state, and for how long.")
    due_tasks: Sequence[DueTasks] = Field(description="Tasks that a poller should look at now, by provider.")
    queues: Sequence[QueueState] | None = Field(description="Null without a broker, or when it does not answer.")
    queue_error: str | None
    held: list[HeldJob] = Field(description="Jobs that wait for an operator.")
    parked: Sequence[ParkedCredential] = Field(description="Providers that do not accept the credential.")
    away: Sequence[ParkedCredential] = Field(description="Providers that cannot be asked, whose breaker is open.")
    overdue_suites: Sequence[WaitingSuite] = Field(description="Suites whose results wait for jobs that are late.")
    stuck: list[str] = Field(description="Jobs whose result could be exported nowhere.")
    standing_still: list[str] = Field(description="Jobs that have not moved for long though they wait for nothing.")
    dead_letters: int


@router.get("/benchmarks", tags=["catalogue"])
async def list_benchmarks(_: Viewer) -> list[ListedBenchmark]:
    """List benchmarks."""
    shipped = {each["benchmark_name"]: each for each in map(read_configuration, examples())}
    return [
        ListedBenchmark(
            benchmark_name=name,
            parameters=[each for each in schema(name)["properties"] if each != "benchmark_name"],
            example=shipped.get(name),
        )
        for name in names()
    ]


@router.get("/benchmarks/{name}/schema", tags=["catalogue"])
async def get_schema(name: Annotated[Name, Path()], _: Viewer) -> dict[str, Any]:
    """Return the JSON Schema of a benchmark's configuration."""
    return schema(name)


@router.get("/devices", tags=["catalogue"], response_model_by_alias=False)
async def list_devices(at: At, _: Viewer) -> list[SeenDevice]:
    """List devices as dispatchers last found them at their providers. No provider is asked."""
    return await at.store.devices.all()


@router.get("/devices/{provider}/{device}/calibrations", tags=["catalogue"])
async def list_calibrations(
    provider: Annotated[Name, Path()], device: Annotated[Name, Path()], at: At, _: Viewer
) -> list[CalibrationPoint]:
    """List a device's calibrations, the oldest first."""
    return list(await at.store.devices.calibrations(provider, device))


@router.post("/estimates", tags=["catalogue"], response_model_by_alias=False)
async def estimate(wanted: EstimateWanted, at: At, _: Submitter) -> EstimateAnswer:
    """Say what a job would ask of a device, without running it: a dispatcher builds its circuits."""
    return await estimated(at, wanted)


@router.get("/status", tags=["operation"])
async def status(at: At, _: Viewer) -> StatusSummary:
    """Say how the work stands."""
    found = await look(at.store, at.settings, everywhere=False)
    letters = found.dead_letters
    return StatusSummary(
        jobs=found.states,
        due_tasks=found.due,
        queues=found.queues,
        queue_error=found.queue_error,
        held=[HeldJob(job_id=job.id, reason=job.held) for job in found.held],
        parked=found.parked,
        away=found.away,
        overdue_suites=found.suites,
        stuck=_ids(found.stuck),
        standing_still=_ids(found.still),
        dead_letters=len(await at.letters.list()) if letters is None and found.queue_error is None else letters or 0,
    )


async def estimated(at: Desk, wanted: EstimateWanted) -> EstimateAnswer:
    """Return a dispatcher's estimate; raises `InvalidRequest` with what keeps the configuration from running."""
    validate(wanted.config, "$.config")
    return await answer_of(at, EstimateRequested(estimate_id=uuid4().hex, **dict(wanted)))


async def answer_of(at: Desk, request: EstimateRequested) -> EstimateAnswer:
    """Return a dispatcher's answer; raises `InvalidRequest` with what is wrong, and answers 503 when none comes."""
    answer = await at.hub.answer(request.estimate_id, lambda: at.bus.publish(request), ESTIMATE_SECONDS)
    if answer is None:
        raise HTTPException(503, "no dispatcher has answered; is one running?", {"Retry-After": "10"})
    if answer.problems:
        raise InvalidRequest([Problem(each["path"], each["message"]) for each in answer.problems])
    return answer


def _ids(jobs: Any) -> list[str]:
    found: list[Job] = list(jobs)
    return [job.id for job in found]
