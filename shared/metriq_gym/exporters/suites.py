"""Which jobs are exported together: a suite's records may wait for each other, and the last one takes all along."""

from __future__ import annotations

from metriq_gym.errors import NotFound, Permanent
from metriq_gym.exporters.targets import TARGETS, is_in_suite
from metriq_gym.jobs import TERMINAL, Job, JobState
from metriq_gym.store import Store

_ENDED = TERMINAL | {JobState.SCORED}


async def whole_suite(store: Store, job: Job) -> list[Job]:
    """Return all jobs with a record of the suite that `job` is in, or none while one of the suite has not ended."""
    if job.suite_id is None:
        return []
    if not job.suite_closed and not await store.jobs.suite_may_have_ended(job.suite_id, job.suite_size):
        return []  # as it is for all but the last of its jobs
    try:
        known = await store.jobs.suite(job.suite_id)
    except NotFound:
        return []
    if closed := [each for each in known if each.suite_closed]:
        return closed
    # A suite's request that was rejected is kept under the suite's own id, and is none of its jobs; what a plan has not
    # asked for has no size.
    members = [each for each in known if each.id != job.suite_id and _is_member(each)]
    requested = max((each.suite_size or 0 for each in members), default=0)
    if len(members) < requested or any(each.state not in _ENDED for each in members):
        return []
    return [each for each in members if each.state is not JobState.REJECTED and is_in_suite(each) and each.in_dataset]


def _is_member(job: Job) -> bool:
    # Earlier versions kept rejected jobs of a suite without its size.
    return is_in_suite(job) or job.state is JobState.REJECTED


async def exported_together(store: Store, job: Job, target: str) -> list[Job]:
    """Return the jobs whose records go to a target with that of `job`, itself among them.

    Raises `Permanent` when these are a suite's that has not ended.
    """
    if not (TARGETS[target].whole_suites and is_in_suite(job)):
        return [job]
    jobs = await whole_suite(store, job)
    if not jobs:
        raise Permanent(
            f"suite {job.suite_id} has not ended, and goes to {target} as a whole: mgym suite poll {job.suite_id}"
        )
    return jobs
