"""Uploading a job, or all jobs of a suite."""

from __future__ import annotations

from pathlib import Path

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.output import say
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.run import write_record
from metriq_gym.settings import Settings
from metriq_gym.uploading import rehearse, upload


async def upload_job(name: str | None, target: str, output: Path | None, *, dry_run: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if output is not None or dry_run:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
        if output is not None:
            say(f"wrote {write_record(job, output)}")
        if dry_run:
            typer.echo(rehearse([job], job.id, None, Settings()))
        return
    async with opening.client() as client:
        job = await opening.job_called(client.store, name)
        say(f"{job.id}: {await upload(client, job, target)}")


async def upload_suite(name: str | None, target: str, *, dry_run: bool) -> None:
    """Upload the records of a suite's jobs; where suites go as a whole, at once."""
    if dry_run:
        async with opening.store() as store:
            suite_id = await opening.suite_called(store, name)
            jobs = await store.jobs.suite(suite_id)
        typer.echo(rehearse(jobs, suite_id, jobs[0].suite_name or suite_id, Settings()))
        return
    async with opening.client() as client:
        jobs = await client.store.jobs.suite(await opening.suite_called(client.store, name))
        together = target == "github" and is_in_suite(jobs[0])
        for job in jobs[:1] if together else jobs:
            say(f"{job.id}: {await upload(client, job, target)}")
