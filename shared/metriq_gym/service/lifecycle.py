"""From a job's state to the message that moves it on, or has its end recorded, for whoever finds it standing still."""

from __future__ import annotations

from metriq_gym.bus.port import Bus
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.lifecycle import message_for
from metriq_gym.store import Store
from metriq_gym.telemetry import tracing


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
