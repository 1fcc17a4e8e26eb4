"""What all services do at a job's turns: end it without a result, and announce the state it has come to."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from metriq_gym.bus.port import Bus
from metriq_gym.errors import IllegalTransition, NotFound
from metriq_gym.jobs import Failure, Job, JobState
from metriq_gym.jobs.changes import Failed, Move
from metriq_gym.jobs.lifecycle import message_for
from metriq_gym.jobs.states import RESUMABLE
from metriq_gym.store import Store
from metriq_gym.telemetry import metrics, tracing


async def move(
    store: Store,
    job_id: str,
    change: Move,
    *,
    service: str,
    cause: str = "",
    token: int | None = None,
    resumed: int | None = None,
    seen: Job | None = None,
) -> Job:
    """Move a job by `Jobs.move`, which says what it raises, and measure how long it was in the state it left."""
    moved = await store.jobs.move(job_id, change, service=service, cause=cause, token=token, resumed=resumed, seen=seen)
    return measured(moved, change.state)


def measured(job: Job, state: JobState) -> Job:
    """Record how long a job that has just moved to `state` was in the state that it left, and return the job."""
    moves = pairwise(job.history)
    before, entered = [each for each in moves if each[1].state is state and each[0].state is not state][-1]
    # A state may have several lines: a job is parked, and let go.
    since = next(each.at for each in job.history if each.state is before.state)
    metrics.STAGE_SECONDS.labels(before.state, entered.state).observe((entered.at - since).total_seconds())
    return job


async def fail(
    store: Store, job_id: str, failure: Failure, *, service: str, token: int | None = None, resumed: int | None = None
) -> Job:
    """End a job without a result, and return it: as it was, where it has one or has ended already.

    So it is where it has been resumed more often than `resumed` times: what failed was of its time before that.
    Raises `LeaseLost` when `token` is no longer the dispatcher's lease's, and `NotFound`.
    """
    try:
        failed, cause = Failed(failure=failure), failure.reason
        return await move(store, job_id, failed, service=service, cause=cause, token=token, resumed=resumed)
    except IllegalTransition:
        return await store.jobs.get(job_id)


async def announce(store: Store, bus: Bus, job: Job) -> None:
    """Do and publish what a job's state calls for. Handlers find work that is done: once too often does no harm."""
    if job.state is JobState.DISPATCHED:
        await store.tasks.release(job.id)
    elif job.state is RESUMABLE:
        await _clear_until_resumed(store, job)
    elif job.state is JobState.CANCELLED:
        await clear(store, job.id)
    await bus.publish(message_for(job))
    if job.state is JobState.CHECKED:
        await store.upkeep.recorded(job.id)


async def announce_again(store: Store, bus: Bus, job: Job) -> None:
    """Announce the state of a job that stands still, inside the trace of its request."""
    with tracing.continued(job.traceparent), tracing.span("publish again", attributes={"metriq.job.id": job.id}):
        await announce(store, bus, job)


async def clear(store: Store, job_id: str) -> None:
    """Drop what only an unfinished job needs."""
    await store.tasks.cancel(job_id)
    await store.listings.forget(job_id)


async def _clear_until_resumed(store: Store, job: Job) -> None:
    """Drop what a failed job does not need to be resumed; nothing of one that was resumed since it was read."""
    # In this order: a dispatcher that sees to the tasks of a job that is resumed later has a higher token.
    token = await store.tasks.newest_token(job.id)
    holder = await store.listings.holder(job.id)
    with suppress(NotFound):
        now = await store.jobs.get(job.id)
        if (now.state, now.resumed) == (job.state, job.resumed):
            await store.tasks.cancel(job.id, for_good=False, token=token)
            await store.listings.forget_of_holder(job.id, holder)
