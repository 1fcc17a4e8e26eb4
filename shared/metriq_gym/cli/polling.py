"""Waiting for a job's end and showing what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from metriq_gym import report
from metriq_gym.cli import opening
from metriq_gym.cli.errors import UNFINISHED
from metriq_gym.cli.output import console, emit, say
from metriq_gym.client import failure_of
from metriq_gym.exporters.record import make_record
from metriq_gym.follow import Progress, ended, follow
from metriq_gym.replay import make_debug_export
from metriq_gym.run import write_record, write_text
from metriq_gym.store import Job, Store


async def poll(
    name: str | None, *, wait: bool, as_json: bool, output: Path | None, raw: Path | None, plot: Path | None
) -> None:
    """Show a job once it has ended. Raises what `failure_of` says, and exits with `UNFINISHED`."""
    if wait:
        back = f"mgym job poll {name or 'latest'}"
        async with opening.client(back) as client:
            job = await opening.job_called(client.store, name)
            if not ended(job):
                with Progress(f"{job.benchmark_name} on {job.provider}/{job.device}") as progress:
                    job = await follow(client, job.id, progress)
            await _write(client.store, job, output, raw, plot)
    else:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if ended(job):
                await _write(store, job, output, raw, plot)
    if not ended(job):
        if as_json:
            emit(job.model_dump(mode="json"))
        else:
            report.show_job(console(), job)
        say("not finished yet")
        raise typer.Exit(UNFINISHED)
    if (error := failure_of(job)) is not None:
        raise error
    if as_json:
        emit(make_record(job))
    else:
        report.show_job(console(), job)


async def draw(store: Store, job: Job, path: Path) -> None:
    """Draw a job to a file, from its counts if its result has nothing better to show."""
    from metriq_gym import plots

    plots.save(plots.of_job(job, await store.tasks.of_job(job.id)), path)


async def _write(store: Store, job: Job, output: Path | None, raw: Path | None, plot: Path | None) -> None:
    if output is not None:
        say(f"wrote {write_record(job, output)}")
    if raw is not None and failure_of(job) is None:
        export = make_debug_export(job, await store.tasks.of_job(job.id))
        write_text(raw, json.dumps(export) + "\n")
        say(f"wrote {raw}")
    if plot is not None and failure_of(job) is None:
        await draw(store, job, plot)
        say(f"wrote {plot}")
