"""Uploading a job, or all jobs of a suite."""

from __future__ import annotations

from pathlib import Path

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.output import say
from metriq_gym.client import Client
from metriq_gym.errors import Permanent
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.follow import Progress
from metriq_gym.run import write_record
from metriq_gym.settings import Settings
from metriq_gym.store import Export, Job, JobState
from metriq_gym.uploading import rehearse, upload


async def upload_job(name: str | None, target: str, output: Path | None, *, dry_run: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if output is not None or dry_run:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if output is not None:
                say(f"wrote {write_record(job, output)}")
            if dry_run:
                typer.echo(await rehearse(store, job, Settings()))
        return
    async with opening.client(f"mgym job upload {name or 'latest'} --to {target}") as client:
        await _upload(client, await opening.job_called(client.store, name), target)


async def upload_suite(name: str | None, target: str, *, dry_run: bool) -> None:
    """Upload the records of a suite's jobs, where suites go as a whole at once; exits with `FAILED` if one is not."""
    if dry_run:
        async with opening.store() as store:
            for job in _uploaded(await store.jobs.suite(await opening.suite_called(store, name)), "github"):
                typer.echo(await rehearse(store, job, Settings()))
        return
    async with opening.client(f"mgym suite upload {name or 'latest'} --to {target}") as client:
        failed = False
        for job in _uploaded(await client.store.jobs.suite(await opening.suite_called(client.store, name)), target):
            try:
                await _upload(client, job, target)
            except Permanent as error:
                failed = True
                say(f"error: {error}")
    if failed:
        raise typer.Exit(FAILED)


def _uploaded(jobs: list[Job], target: str) -> list[Job]:
    """Return the jobs of a suite that are uploaded; where suites go as a whole, any one of them stands for all."""
    recorded = []
    for job in jobs:
        if job.state is JobState.REJECTED:
            say(f"{job.id} was rejected: it has no record")
        else:
            recorded.append(job)
    if not recorded:
        raise Permanent("no job of the suite has a record")
    return recorded[:1] if target == "github" and is_in_suite(recorded[0]) else recorded


async def _upload(client: Client, job: Job, target: str) -> None:
    with Progress(f"{job.id} to {target}") as progress:

        def tell(export: Export) -> None:
            again = f"; next attempt at {export.not_before:%H:%M:%S} UTC" if export.not_before else ""
            progress.show(f"{export.error}{again}" if export.error else str(export.state))

        location = await upload(client, job, target, tell)
    say(f"{job.id}: {location}")
