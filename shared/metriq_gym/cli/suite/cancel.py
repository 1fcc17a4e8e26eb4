"""``mgym suite cancel``."""

from __future__ import annotations

import asyncio

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import SuiteName, Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.client.client import Client
from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs import Job, JobState
from metriq_gym.terminal.follow import ProgressLine, describe


def cancel(name: SuiteName = None, yes: Yes = False) -> None:
    """Cancel the jobs of a suite that have not ended.

    The exit code is 1 when it was too late for all of them.
    """

    async def stop() -> tuple[str, list[Job]]:
        async with opening.client() as client:
            suite_id = await opening.suite_called(client.store, name)
            jobs = await client.store.jobs.suite(suite_id)
            unseen = await _unseen(client, suite_id)
            going = {*(job.id for job in jobs if not _is_decided(job)), *unseen}
            if going and not yes:
                confirm(f"cancel {len(going)} jobs of suite {suite_id}?")
            with opening.way_back(f"mgym suite cancel {suite_id}"), ProgressLine(f"cancelling {suite_id}") as progress:
                await asyncio.gather(*map(client.cancel, going))
                return suite_id, await _decided(client, suite_id, going, unseen, progress)

    suite_id, jobs = opening.run(stop())
    cancelled = [job for job in jobs if job.state is JobState.CANCELLED]
    for job in jobs:
        if job.state is not JobState.CANCELLED:
            say(f"too late: job {job.id} is {job.state}")
    if not cancelled:
        say(f"error: too late: no job of suite {suite_id} could be cancelled")
        raise typer.Exit(FAILED)
    say(f"cancelled {len(cancelled)} jobs of suite {suite_id}")


async def _unseen(client: Client, suite_id: str) -> set[str]:
    """Return the jobs that no dispatcher has come to yet: they are in the suite's plan alone."""
    try:
        plan = await client.store.suites.plan(suite_id)
    except UnreadableDocument as error:
        say(f"jobs that no dispatcher has come to yet are not cancelled: {error}")
        return set()
    requested = [] if plan is None else [str(request.job_id) for request in plan.requests]
    return set(await client.store.jobs.unseen(requested))


async def _decided(
    client: Client, suite_id: str, going: set[str], unseen: set[str], progress: ProgressLine
) -> list[Job]:
    """Return these jobs of a suite, once each is cancelled, too late for that, or deleted since."""
    last: dict[str, Job] = {}
    missing = set(unseen)

    def all_are(jobs: list[Job]) -> bool:
        there = {job.id: job for job in jobs if job.id in going}
        last.update(there)
        missing.difference_update(there)
        return not missing and all(map(_is_decided, there.values()))

    if going:
        async for summary, _ in client.suite_progress(suite_id, until=all_are):
            progress.show(describe(summary))
    return [last[job_id] for job_id in sorted(last)]


def _is_decided(job: Job) -> bool:
    """Whether it is cancelled, or too late for that."""
    return job.has_ended or job.state is JobState.SCORED
