"""The reconciler: publishes again what a job needs to move on, so that emptying every queue loses nothing."""

from __future__ import annotations

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.messages import JobCompleted, JobDispatched, JobRequested, JobScored, Message
from metriq_gym.store import Job, JobState, Store

log = structlog.get_logger()


async def reconcile(store: Store, bus: Bus, unmoved_seconds: float) -> int:
    """Publish the message of every job that has not moved for so long; return how many there were.

    Handlers find work that is done already, so a message too many does no harm.
    """
    jobs = await store.jobs.unmoved(unmoved_seconds)
    for job in jobs:
        if job.state is JobState.DISPATCHED:
            await store.tasks.release(job.id)
        await bus.publish(_message(job))
        log.info("published again", job_id=job.id, state=job.state)
    return len(jobs)


def _message(job: Job) -> Message:
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
        case JobState.SCORED:
            return JobScored(job_id=job.id)
        case _:
            raise ValueError(f"a {job.state} job has nowhere to go")
