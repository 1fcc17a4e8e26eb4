"""Exporting one job to one target once more, or to a target that it was not exported to before."""

from __future__ import annotations

from metriq_gym.bus.port import Bus
from metriq_gym.errors import NotFound, Permanent
from metriq_gym.exporters.suites import exported_together
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.jobs import JobState
from metriq_gym.jobs.lifecycle import message_for
from metriq_gym.store import Store

_RECORDED = {JobState.SCORED, JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED}


async def retry_export(store: Store, bus: Bus, job_id: str, target: str) -> None:
    """Ask the exporter to bring the job's record to `target`, once more where what was brought there may be lost.

    For a job of a suite, a target that takes whole suites gets all of it.

    Raises
    ------
    NotFound
        When there is no such job or target.
    Permanent
        When the job has no record, since it has not ended or was rejected; or when its suite has not ended.
    """
    if target not in TARGETS:
        raise NotFound(f"records cannot be exported to {target!r}; there are: {', '.join(TARGETS)}")
    job = await store.jobs.get(job_id)
    if job.dry:
        raise Permanent(f"job {job_id} is a dry run; only one whose circuits were run has a record")
    if job.state not in _RECORDED:
        raise Permanent(f"job {job_id} is {job.state}; only one that has ended, and was not rejected, has a record")
    if TARGETS[target].dataset and not job.in_dataset:
        raise Permanent(f"job {job_id} is a plain circuit, and {target} takes benchmarks only")
    await exported_together(store, job, target)
    await store.exports.again(job_id, target, if_done=not TARGETS[target].lasting)
    await bus.publish(message_for(job))
