"""Uploading a job, or all jobs of a suite."""

from __future__ import annotations

from pathlib import Path

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.output import emit, say
from metriq_gym.client.client import Client
from metriq_gym.client.upload import rehearse, upload
from metriq_gym.errors import Permanent
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.jobs import Export, ExportState, Job, JobState
from metriq_gym.run import write_record
from metriq_gym.settings import Settings
from metriq_gym.terminal.follow import Progress


async def upload_job(name: str | None, target: str, output: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if output is not None or dry_run:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if output is not None:
                say(f"wrote {write_record(job, output)}")
            if dry_run:
                _show([await rehearse(store, job, Settings())], as_json)
        return
    async with opening.client() as client:
        job = await opening.job_called(client.store, name)
        with opening.way_back(f"mgym job upload {job.id} --to {target}"):
            location = await _upload(client, job, target)
    _tell({job.id: location}, as_json)


async def upload_suite(name: str | None, target: str, *, dry_run: bool, as_json: bool) -> None:
    """Upload the records of a suite's jobs, where suites go as a whole at once; exits with `FAILED` if one is not."""
    if dry_run:
        async with opening.store() as store:
            jobs = _uploaded(await store.jobs.suite(await opening.suite_called(store, name)), "github")
            _show([await rehearse(store, job, Settings()) for job in jobs], as_json)
        return
    done: dict[str, str] = {}
    async with opening.client() as client:
        suite_id = await opening.suite_called(client.store, name)
        jobs = _uploaded(await client.store.jobs.suite(suite_id), target)
        with opening.way_back(f"mgym suite upload {suite_id} --to {target}"):
            for job in jobs:
                try:
                    done[job.id] = await _upload(client, job, target)
                except Permanent as error:
                    say(f"error: {error}")
    _tell(done, as_json)
    if len(done) < len(jobs):
        raise typer.Exit(FAILED)


def _uploaded(jobs: list[Job], target: str) -> list[Job]:
    """Return the jobs of a suite that are uploaded; where suites go as a whole, any one of them stands for all."""
    recorded = [job for job in jobs if job.state is not JobState.REJECTED]
    if not recorded:
        raise Permanent("no job of the suite has a record: all were rejected")
    return recorded[:1] if target == "github" and is_in_suite(recorded[0]) else recorded


async def _upload(client: Client, job: Job, target: str) -> str:
    with Progress(f"{job.id} to {target}") as progress:

        def tell(export: Export) -> None:
            again = f"; next attempt at {export.not_before:%H:%M:%S} UTC" if export.not_before else ""
            if export.state is ExportState.PENDING:
                progress.show(f"{export.error}{again}" if export.error else "waiting for the exporter")

        return await upload(client, job, target, tell)


def _show(plans: list[PullRequest], as_json: bool) -> None:
    if as_json:
        emit([plan.to_dict() for plan in plans])
        return
    for plan in plans:
        typer.echo(str(plan))


def _tell(locations: dict[str, str], as_json: bool) -> None:
    if as_json:
        emit([{"job_id": job_id, "location": location} for job_id, location in locations.items()])
        return
    for job_id, location in locations.items():
        typer.echo(f"{job_id}: {location}")
