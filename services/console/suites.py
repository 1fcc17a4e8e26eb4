"""Suites: request, look at."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from metriq_gym.jobs import Job
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.messages import SuiteRequested
from metriq_gym.suite_parser import parse_suite, select

from .access import Submitter, Viewer
from .desk import Desk, desk
from .parameters import SuitePath
from .problems import RESPONSES

router = APIRouter(prefix="/suites", tags=["suites"], responses=RESPONSES)
At = Annotated[Desk, Depends(desk)]


class SuiteAccepted(BaseModel):
    """A request that the queue has safely taken."""

    suite_id: str
    jobs: int = Field(description="How many jobs it has.")
    warnings: list[str] = Field(default=[], description="What in the suite means nothing.")


class SuiteState(BaseModel):
    """A suite's jobs, and how far they are."""

    suite_id: str
    suite_name: str | None
    size: int = Field(description="How many jobs were requested.")
    ended: int
    held: int = Field(description="How many wait for an operator.")
    jobs: list[Job]


@router.post("", status_code=202)
async def request_suite(wanted: SuiteRequested, response: Response, at: At, _: Submitter) -> SuiteAccepted:
    """Request the jobs of a suite. The same `suite_id` again is the same suite."""
    suite, warnings = parse_suite(wanted.suite, "$.suite")
    chosen = select(suite, wanted.components, wanted.all)
    given = await at.client.dispatch_suite(**wanted.model_dump(exclude={"schema_version"}))
    response.headers["Location"] = f"/api/v1/suites/{given}"
    return SuiteAccepted(suite_id=given, jobs=len(chosen), warnings=[str(each) for each in warnings])


@router.get("/{suite_id}", response_model_by_alias=False)
async def get_suite(suite_id: SuitePath, at: At, _: Viewer) -> SuiteState:
    """Return a suite's jobs so far."""
    return state_of(suite_id, await at.store.jobs.suite(suite_id))


def state_of(suite_id: str, jobs: list[Job]) -> SuiteState:
    """Return how far a suite is."""
    progress = summarise(jobs)
    bulky: dict[str, Any] = {"data": {}, "runs": []}
    return SuiteState(
        suite_id=suite_id,
        suite_name=jobs[0].suite_name,
        size=progress.size,
        ended=progress.ended,
        held=progress.held,
        jobs=[job.model_copy(update=bulky) for job in jobs],
    )
