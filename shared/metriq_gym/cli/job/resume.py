"""``mgym job resume``."""

from __future__ import annotations

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import JobName
from metriq_gym.cli.output import say
from metriq_gym.client.client import failure_of
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.lifecycle import refusal
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
            before, known = job.resumed, len(job.history)

            def gone_on(job: Job) -> bool:
                if job.resumed == before:
                    return refusal(job, after=known) is not None
                return handed_over(job) or job.has_ended

            with opening.way_back(f"mgym job poll {job.id}"), ProgressLine(f"resuming {job.id}") as progress:
                await client.resume(job)
                job = await follow(client, job.id, progress, gone_on)
            if job.resumed == before:
                say(f"error: job {job.id}: {refusal(job, after=known)}")
                raise typer.Exit(FAILED)
            return job

    job = opening.run(go_on())
    if job.held is None and (failure := failure_of(job)) is not None:
        raise failure
    say(f"resumed {job.id}; `mgym job poll {job.id}` waits for its result")
