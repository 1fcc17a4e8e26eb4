"""Bringing records to where they are published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metriq_gym.cli import opening
from metriq_gym.cli.output import say
from metriq_gym.client import Client
from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.run import write_record
from metriq_gym.settings import Settings
from metriq_gym.store import Job


async def upload_job(name: str | None, target: str, output: Path | None, *, dry_run: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if output is not None or dry_run:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
        if output is not None:
            say(f"wrote {write_record(job, output)}")
        if dry_run:
            _rehearse([job], job.id, None)
        return
    async with opening.client() as client:
        job = await opening.job_called(client.store, name)
        await _export(client, job, target)


async def upload_suite(name: str | None, target: str, *, dry_run: bool) -> None:
    """Upload the records of a suite's jobs; where suites go as a whole, at once."""
    if dry_run:
        async with opening.store() as store:
            suite_id = await opening.suite_called(store, name)
            jobs = await store.jobs.suite(suite_id)
        _rehearse(jobs, suite_id, jobs[0].suite_name or suite_id)
        return
    async with opening.client() as client:
        jobs = await client.store.jobs.suite(await opening.suite_called(client.store, name))
        together = target == "github" and is_in_suite(jobs[0])
        for job in jobs[:1] if together else jobs:
            await _export(client, job, target)


async def _export(client: Client, job: Job, target: str) -> None:
    from metriq_gym.exporters.retry import export_ended, retry_export

    await retry_export(client.store, client.bus, job.id, target)
    export = await export_ended(client.store, job.id, target)
    if export.location is None:
        raise Permanent(f"job {job.id} was not exported to {target}: {export.error}")
    say(f"{job.id}: {export.location}")


def _rehearse(jobs: Sequence[Job], name: str, suite: str | None) -> None:
    """Print the pull request that would be opened."""
    import typer

    from metriq_gym.exporters.pull_request import compose

    settings = Settings()
    records = [make_record(job) for job in sorted(jobs, key=lambda job: job.id)]
    repo = settings.github_repos[0] if settings.github_repos else "owner/name"
    wanted = compose(
        records,
        name,
        repo=repo,
        base_branch=settings.github_base_branch,
        directory=settings.github_directory,
        suite=suite,
    )
    typer.echo(str(wanted))
