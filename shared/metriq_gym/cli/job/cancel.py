"""``mgym job cancel``."""

from __future__ import annotations

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import JobName
from metriq_gym.cli.output import say
from metriq_gym.jobs import Job, JobState
from metriq_gym.terminal.follow import ProgressLine, follow


def cancel(name: JobName = None) -> None:
    """Cancel a job. What runs at a provider may run on; its result is not fetched."""

    def decided(job: Job) -> bool:
        """Whether it is cancelled, or too late for that."""
        return job.has_ended or job.state is JobState.SCORED

    async def stop() -> Job:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            if decided(job):
                return job
            with opening.way_back(f"mgym job view {job.id}"), ProgressLine(f"cancelling {job.id}") as progress:
                await client.cancel(job.id)
                return await follow(client, job.id, progress, decided)

    job = opening.run(stop())
    if job.state is not JobState.CANCELLED:
        say(f"error: too late: job {job.id} is {job.state}")
        raise typer.Exit(FAILED)
    say(f"cancelled {job.id}")
