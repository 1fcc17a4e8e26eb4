"""``mgym job resume``."""

from __future__ import annotations

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import JobName
from metriq_gym.cli.output import say
from metriq_gym.client.client import failure_of
from metriq_gym.jobs import Job, JobState
from metriq_gym.terminal.follow import ProgressLine, follow, handed_over


def resume(name: JobName = None) -> None:
    """Let a job that failed go on where it stopped.

    What its provider has accepted is asked about again, and never submitted again; what is missing is submitted.
    """

    async def go_on() -> Job:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            if job.state is not JobState.FAILED:
                say(f"error: job {job.id} is {job.state}: only one that failed can be resumed")
                raise typer.Exit(FAILED)
            before = job.resumed

            def gone_on(job: Job) -> bool:
                return job.resumed > before and (handed_over(job) or job.has_ended)

            with opening.way_back(f"mgym job poll {job.id}"), ProgressLine(f"resuming {job.id}") as progress:
                await client.resume(job)
                return await follow(client, job.id, progress, gone_on)

    job = opening.run(go_on())
    if job.held is None and (failure := failure_of(job)) is not None:
        raise failure
    say(f"resumed {job.id}; `mgym job poll {job.id}` waits for its result")
