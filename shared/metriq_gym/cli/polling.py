"""Waiting for a job's end and showing what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED, UNFINISHED
from metriq_gym.cli.output import console, emit, say
from metriq_gym.client.client import decision_about, failure_of
from metriq_gym.exporters.record import make_record
from metriq_gym.jobs import Job
from metriq_gym.jobs.replay import make_debug_export
from metriq_gym.run import write_record, write_text
from metriq_gym.store import Store
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import Progress, follow


async def poll(
    name: str | None, *, wait: bool, as_json: bool, output: Path | None, raw: Path | None, plot: Path | None
) -> None:
    """Show a job once it has ended. Raises what `failure_of` and `decision_about` say, and exits with `UNFINISHED`."""
    if wait:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            if not job.has_ended:
                title = f"{job.benchmark_name} on {job.provider}/{job.device}"
                with opening.way_back(f"mgym job poll {job.id}"), Progress(title) as progress:
                    job = await follow(client, job.id, progress)
            if (undecided := decision_about(job)) is not None:
                raise undecided
            await _write(client.store, job, output, raw, plot)
    else:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if job.has_ended:
                await _write(store, job, output, raw, plot)
    if not (job.has_ended or (wait and job.waits_for_suite)):
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
    if not job.has_ended:
        say(f"it will be exported with its suite, of which a job is held: mgym suite view {job.suite_id}")
    tell_of_exports(job)


def tell_of_exports(job: Job) -> None:
    """Say what is not exported, and how to try again; exits with `FAILED` if that is all there is."""
    for target, export in job.exports.items():
        if export.error is not None:
            say(f"not exported to {target}: {export.error}\nonce more: mgym job upload {job.id} --to {target}")
    if job.is_stuck:
        raise typer.Exit(FAILED)


async def draw(store: Store, job: Job, path: Path) -> None:
    """Draw a job to a file, from its counts if its result has nothing better to show."""
    from metriq_gym.terminal import plots

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
