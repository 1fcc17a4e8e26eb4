"""Deciding about a suite that cannot complete: its results go where they are wanted as they are, or nowhere."""

from __future__ import annotations

from metriq_gym.bus.port import Bus
from metriq_gym.errors import Permanent
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.jobs import ExportState, Job, JobState
from metriq_gym.service.lifecycle import announce
from metriq_gym.store import Store

DROPPED = "dropped by an operator: the suite did not complete"


async def close_suite(store: Store, bus: Bus, suite_id: str, *, drop: bool) -> list[Job]:
    """Let a suite consist of the jobs that have a record by now, and return those whose results waited for the rest.

    They are exported together, or with `drop` not at all where suites go as a whole. Raises `NotFound`, and `Permanent`
    when none waits.
    """
    whole = [name for name, each in TARGETS.items() if each.whole_suites]
    waiting = [job for job in await store.jobs.suite(suite_id) if any(_is_pending(job, target) for target in whole)]
    if not waiting:
        raise Permanent(f"no result of suite {suite_id} waits for others")
    await store.jobs.close_suite(suite_id)
    if drop:
        for target in whole:
            ids = [job.id for job in waiting if _is_pending(job, target)]
            await store.exports.settle(ids, target, ExportState.FAILED, error=DROPPED)
    for job in waiting:
        await announce(store, bus, await store.jobs.get(job.id))
    return waiting


def _is_pending(job: Job, target: str) -> bool:
    return job.state is JobState.SCORED and target in job.exports and job.exports[target].state is ExportState.PENDING
