"""``mgym suite cancel``."""

from __future__ import annotations

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import SuiteName, Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.jobs import Job, JobState
from metriq_gym.terminal.follow import ProgressLine, follow


def cancel(name: SuiteName = None, yes: Yes = False) -> None:
    """Cancel the jobs of a suite that have not ended.

    The exit code is 1 when it was too late for all of them.
    """

    async def stop() -> tuple[str, list[Job]]:
        async with opening.client() as client:
            suite_id = await opening.suite_called(client.store, name)
            jobs = await client.store.jobs.suite(suite_id)
            seen = {job.id for job in jobs}
            # Jobs that no dispatcher has come to yet are in the suite's plan alone.
            plans = [plan for plan in await client.store.suites.unfinished() if plan.id == suite_id]
            unseen = {str(request.job_id) for plan in plans for request in plan.requests} - seen
            going = [*(job.id for job in jobs if not _is_decided(job)), *sorted(unseen)]
            if going and not yes:
                confirm(f"cancel {len(going)} jobs of suite {suite_id}?")
            with opening.way_back(f"mgym suite cancel {suite_id}"), ProgressLine(f"cancelling {suite_id}") as progress:
                for job_id in going:
                    await client.cancel(job_id)
                return suite_id, [await follow(client, job_id, progress, _is_decided) for job_id in going]

    suite_id, jobs = opening.run(stop())
    cancelled = [job for job in jobs if job.state is JobState.CANCELLED]
    for job in jobs:
        if job.state is not JobState.CANCELLED:
            say(f"too late: job {job.id} is {job.state}")
    if not cancelled:
        say(f"error: too late: no job of suite {suite_id} could be cancelled")
        raise typer.Exit(FAILED)
    say(f"cancelled {len(cancelled)} jobs of suite {suite_id}")


def _is_decided(job: Job) -> bool:
    """Whether it is cancelled, or too late for that."""
    return job.has_ended or job.state is JobState.SCORED
