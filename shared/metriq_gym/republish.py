"""From a job's state to the message that moves it on, for whoever finds it standing still."""

from __future__ import annotations

from metriq_gym.bus.port import Bus
from metriq_gym.messages import JobCompleted, JobDispatched, JobRequested, JobScored, Message
from metriq_gym.store import Job, JobState, Store


async def republish(store: Store, bus: Bus, job: Job) -> None:
    """Publish again what an unfinished job needs; handlers find work that is done, so once too often does no harm."""
    if job.state is JobState.DISPATCHED:
        await store.tasks.release(job.id)
    await bus.publish(message_for(job))


def message_for(job: Job) -> Message:
    """Return the message that an unfinished job waits for; raises `ValueError` for one that has ended."""
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
