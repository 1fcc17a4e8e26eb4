"""Jobs: request, list, look at, cancel, upload, decide about, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from metriq_gym.errors import InvalidRequest, NotFound, Permanent, Problem
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.retry import retry_export
from metriq_gym.jobs import Job, Task
from metriq_gym.jobs.documents import DrawnCircuit
from metriq_gym.jobs.states import RESUMABLE
from metriq_gym.messages import EstimateRequested, JobRequested, Name
from metriq_gym.operations.resolve import Adopt, Decision, Fail, Resubmit, resolve
from metriq_gym.packing import unpack_counts
from metriq_gym.schema_validator import validate

from .access import Operator, Submitter, Viewer
from .catalogue import answer_of
from .desk import Desk, desk
from .live import LastEventId, event_stream
from .parameters import Cursor, IdempotencyKey, JobPath, Limit, Sort, Which, decode_cursor, encode_cursor, id_of_key
from .problems import RESPONSES

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=RESPONSES)
At = Annotated[Desk, Depends(desk)]
MOST_CIRCUITS = 200
_OF_SUITE = ("suite_id", "suite_name", "suite_size")


class JobAccepted(BaseModel):
    """A request that the queue has safely taken."""

    job_id: str
    warnings: list[str] = Field(default=[], description="What in the configuration means nothing.")


class JobPage(BaseModel):
    """A page of a list of jobs, without what is bulky."""

    jobs: list[Job]
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class JobWithTasks(Job):
    """A job with its tasks, in the order of their circuits."""

    tasks: list[Task]


class CircuitCounts(BaseModel):
    """The counts of one circuit."""

    run: int = Field(description="Which of the benchmark's calls of the device it belongs to.")
    circuit: int = Field(description="Its position in that call.")
    shots: int
    counts: dict[str, int]


Target = Literal["github", "json", "notify", "notify:suite", "webhook", "webhook:suite"]


class Upload(BaseModel):
    """Where a record is to go."""

    target: Target = "github"


class Resolution(BaseModel):
    """What an operator decides about a held job."""

    decision: Literal["adopt", "resubmit", "fail"] = Field(
        description="`adopt`: the submission was accepted, as `provider_job_id`; `resubmit`: not; `fail`: give up."
    )
    provider_job_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    task_id: Name | None = Field(default=None, description="Which task, where several are in doubt.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)] = "given up by the operator"


_WITHOUT_BYTES = {"tasks": {"__all__": {"circuits", "counts"}}}


@router.post("", status_code=202)
async def request_job(
    wanted: JobRequested,
    response: Response,
    at: At,
    _: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> JobAccepted:
    """Request a job. The same `job_id`, or the same `Idempotency-Key`, again is the same job."""
    warnings = validate(wanted.config, "$.config")[1]
    job_id = wanted.job_id or id_of_key(idempotency_key)
    if of_suite := [name for name in _OF_SUITE if getattr(wanted, name) is not None]:
        raise InvalidRequest(
            [Problem(f"$.{name}", "a job of a suite is requested with its suite") for name in of_suite]
        )
    asked = wanted.model_dump(exclude={"schema_version", "job_id", *_OF_SUITE})
    given = await at.client.dispatch(**asked, job_id=job_id)
    response.headers["Location"] = f"/api/v1/jobs/{given}"
    return JobAccepted(job_id=given, warnings=[str(each) for each in warnings])


@router.get("", response_model_by_alias=False)
async def list_jobs(
    which: Which, at: At, _: Viewer, limit: Limit = 50, sort: Sort = "newest", after: Cursor = None
) -> JobPage:
    """List jobs, a page at a time."""
    place = decode_cursor(after)
    jobs = await at.store.catalogue.page(which, after=place, ascending=sort == "oldest", limit=limit + 1)
    shown = jobs[:limit]
    return JobPage(jobs=shown, next=encode_cursor(shown[-1]) if len(jobs) > limit else None)


@router.get("/{job_id}", response_model_by_alias=False, response_model_exclude=_WITHOUT_BYTES)
async def get_job(job_id: JobPath, at: At, _: Viewer) -> JobWithTasks:
    """Return a job with its history, its result and its tasks. One that was just requested may not be there yet."""
    job = await at.store.jobs.get(job_id)
    return JobWithTasks(**dict(job), tasks=await at.store.catalogue.outline(job_id))


@router.get("/{job_id}/record")
async def get_record(job_id: JobPath, at: At, _: Viewer) -> dict[str, Any]:
    """Return the record of a job that has ended, as the Metriq dataset has it."""
    return make_record(await at.store.jobs.get(job_id))


@router.get("/{job_id}/counts")
async def get_counts(
    job_id: JobPath,
    at: At,
    _: Viewer,
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most so many circuits.")] = 1000,
) -> list[CircuitCounts]:
    """Return the counts that are in, circuit by circuit."""
    await at.store.jobs.get(job_id)
    found = [
        CircuitCounts(run=task.run, circuit=position, shots=task.shots, counts=counts)
        for task in await at.store.catalogue.counts(job_id)
        if task.counts
        for position, counts in enumerate(unpack_counts(task.counts), start=task.first)
    ]
    return found[:limit]


@router.get("/{job_id}/circuits")
async def get_circuits(
    job_id: JobPath,
    at: At,
    _: Viewer,
    limit: Annotated[int, Query(ge=1, le=MOST_CIRCUITS, description="At most so many.")] = MOST_CIRCUITS,
) -> list[DrawnCircuit]:
    """Return the job's compiled circuits, built anew by a dispatcher from its configuration and seed."""
    return await circuits_of(at, await at.store.jobs.get(job_id), limit)


@router.get("/{job_id}/events", response_class=StreamingResponse)
async def job_events(job_id: JobPath, at: At, _: Viewer, last_event_id: LastEventId = None) -> StreamingResponse:
    """Send what happens to a job as server-sent events, also to one that there is not yet."""
    return await event_stream(at, job_id=job_id, last=last_event_id)


@router.post("/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: JobPath, at: At, _: Submitter) -> JobAccepted:
    """Ask for a job to be cancelled."""
    await cancel(at, job_id)
    return JobAccepted(job_id=job_id)


@router.post("/{job_id}/resume", status_code=202)
async def resume_job(job_id: JobPath, at: At, _: Submitter) -> JobAccepted:
    """Ask for a job that failed to go on where it stopped: what its provider has accepted is not submitted again."""
    await resume(at, job_id)
    return JobAccepted(job_id=job_id)


@router.post("/{job_id}/upload", status_code=202)
async def upload_job(job_id: JobPath, at: At, _: Operator, upload: Upload | None = None) -> JobAccepted:
    """Have the exporter bring the job's record to a target, once more where what was brought there may be lost."""
    await retry_export(at.store, at.bus, job_id, (upload or Upload()).target)
    return JobAccepted(job_id=job_id)


@router.post("/{job_id}/resolve", response_model_by_alias=False)
async def resolve_job(job_id: JobPath, resolution: Resolution, at: At, _: Operator) -> Job:
    """Decide about a job that is held."""
    return await resolve(at.store, at.bus, job_id, decision_of(resolution), resolution.task_id)


@router.delete("/{job_id}", status_code=204)
async def delete_job(job_id: JobPath, at: At, _: Operator) -> None:
    """Delete a job that has ended; its id stays taken."""
    await at.store.records.delete(job_id)


async def cancel(at: Desk, job_id: str) -> None:
    """Ask for a job to be cancelled; raises `Permanent` for one that has ended."""
    job = await at.store.jobs.get(job_id)
    if job.has_ended:
        raise Permanent(f"job {job_id} has ended: it is {job.state}")
    await at.client.cancel(job_id)


async def resume(at: Desk, job_id: str) -> None:
    """Ask for a job to go on; raises `Permanent` for one that has not failed."""
    job = await at.store.jobs.get(job_id)
    if job.state is not RESUMABLE:
        raise Permanent(f"job {job_id} is {job.state}: only one that failed can be resumed")
    await at.client.resume(job)


async def circuits_of(at: Desk, job: Job, limit: int) -> list[DrawnCircuit]:
    """Return the first circuits of a job; raises `Permanent` for a request that was rejected."""
    if not job.config:
        raise Permanent(f"job {job.id} is {job.state}: it has no circuits")
    request = EstimateRequested(
        estimate_id=uuid4().hex,
        provider=job.provider,
        device=job.target or job.device,
        config=job.config,
        circuits=limit,
        compilation=job.compilation,
        seed=job.seed,
    )
    return (await answer_of(at, request)).circuits


def decision_of(resolution: Resolution) -> Decision:
    """Return what a resolution means; raises `Permanent` when it says too little."""
    match resolution.decision:
        case "adopt" if resolution.provider_job_id:
            return Adopt(resolution.provider_job_id)
        case "adopt":
            raise Permanent("to adopt a submission takes its provider_job_id")
        case "resubmit":
            return Resubmit()
        case "fail":
            return Fail(resolution.reason)
    raise NotFound(resolution.decision)
