"""From a job's state to the message that moves it on, or has its end recorded, for whoever finds it standing still."""

from __future__ import annotations

from metriq_gym import tracing
from metriq_gym.bus.port import Bus
from metriq_gym.messages import (
    JobCancelled,
    JobCompleted,
    JobDispatched,
    JobFailed,
    JobRequested,
    JobScored,
    Message,
)
from metriq_gym.store import Job, JobState, Store


async def republish(store: Store, bus: Bus, job: Job) -> None:
    """Do and publish again what a job needs; handlers find work that is done, so once too often does no harm."""
    with tracing.continued(job.traceparent), tracing.span("publish again", attributes={"metriq.job.id": job.id}):
        await _republish(store, bus, job)


async def _republish(store: Store, bus: Bus, job: Job) -> None:
    if job.state is JobState.DISPATCHED:
        await store.tasks.release(job.id)
    elif job.state in (JobState.FAILED, JobState.CANCELLED):
        await clear(store, job.id)
    await bus.publish(message_for(job))


async def clear(store: Store, job_id: str) -> None:
    """Drop what only an unfinished job needs."""
    await store.tasks.cancel(job_id)
    await store.listings.forget(job_id)


def message_for(job: Job) -> Message:
    """Return the message that a job waits for; raises `ValueError` for a rejected one: it waits for nothing."""
    match job.state:
        case JobState.DISPATCHING:
            return JobRequested(
                job_id=job.id,
                suite_id=job.suite_id,
                suite_name=job.suite_name,
                suite_size=job.suite_size,
                provider=job.provider,
                device=job.target,
                prior=job.prior,
                remarks=job.remarks,
                group=job.group,
                config=job.config,
            )
        case JobState.DISPATCHED:
            return JobDispatched(job_id=job.id)
        case JobState.COMPLETED:
            return JobCompleted(job_id=job.id)
        case JobState.SCORED | JobState.EXPORTED:
            return JobScored(job_id=job.id)
        case JobState.FAILED if job.failure is not None:
            return JobFailed(job_id=job.id, outcome=job.failure.outcome, reason=job.failure.reason)
        case JobState.CANCELLED:
            return JobCancelled(job_id=job.id)
        case _:
            raise ValueError(f"a {job.state} job has nowhere to go")
