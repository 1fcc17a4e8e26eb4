"""``mgym job poll``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import UNFINISHED, Usage
from metriq_gym.cli.exports import elsewhere, tell_of_exports
from metriq_gym.cli.options import AsJsonOr, JobName, JsonFile, NoCache, Output, Plot, Wait
from metriq_gym.cli.output import console, emit, say
from metriq_gym.cli.pictures import draw_job
from metriq_gym.client.client import decision_about, failure_of
from metriq_gym.exporters.record import what_came_of
from metriq_gym.jobs import Job
from metriq_gym.run.files import beside, write_debug_export, write_record
from metriq_gym.store import Store
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import ProgressLine, follow


def poll(
    name: JobName = None,
    wait: Wait = True,
    json: AsJsonOr = False,
    output: Output = None,
    include_raw: Annotated[
        bool,
        typer.Option(
            "--include-raw",
            help="Write the counts and all that `job replay` needs to the FILE after it, or beside that of --json.",
        ),
    ] = False,
    plot: Plot = None,
    no_cache: NoCache = False,
    json_file: JsonFile = None,
    include_raw_file: Annotated[Path | None, typer.Option("--include-raw-file", metavar="FILE", hidden=True)] = None,
) -> None:
    """Wait for a job and print its result.

    With --no-wait the exit code is 5 until it has ended.
    """
    if output is not None and json_file is not None:
        raise Usage("--output FILE and --json FILE write the same: give one of them")
    record = output or json_file
    if include_raw and include_raw_file is None:
        if record is None:
            raise Usage("--include-raw needs the name of a file after it, or --json FILE to write beside")
        include_raw_file = beside(record)
    opening.run(_poll(name, wait=wait, as_json=json, output=record, raw=include_raw_file, plot=plot))


async def _poll(
    name: str | None, *, wait: bool, as_json: bool, output: Path | None, raw: Path | None, plot: Path | None
) -> None:
    """Show a job once it has ended. Raises what `failure_of` and `decision_about` say, and exits with `UNFINISHED`."""
    if wait:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            if not job.has_ended:
                title = f"{job.benchmark_name} on {job.provider}/{job.device}"
                with opening.way_back(f"mgym job poll {job.id}"), ProgressLine(title) as progress:
                    job = await follow(client, job.id, progress)
            if (undecided := decision_about(job)) is not None:
                raise undecided
            if not job.waits_elsewhere:
                await _write(client.store, job, output, raw, plot)
    else:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if job.has_ended and not job.waits_elsewhere:
                await _write(store, job, output, raw, plot)
    if job.waits_elsewhere or not (job.has_ended or (wait and job.waits_for_suite)):
        if as_json:
            emit(job.model_dump(mode="json"))
        else:
            report.show_job(console(), job, elsewhere=elsewhere())
        elsewhere_only = "imported without a result: only the tool that dispatched it can still fetch one"
        say(elsewhere_only if job.waits_elsewhere else "not finished yet")
        raise typer.Exit(UNFINISHED)
    if (error := failure_of(job)) is not None:
        raise error
    if as_json:
        emit(what_came_of(job))
    else:
        report.show_job(console(), job, elsewhere=elsewhere())
    if not job.has_ended:
        say(f"it will be exported with its suite, of which a job is held: mgym suite view {job.suite_id}")
    tell_of_exports(job)


async def _write(store: Store, job: Job, output: Path | None, raw: Path | None, plot: Path | None) -> None:
    if output is not None:
        say(f"wrote {write_record(job, output)}")
    if raw is not None and failure_of(job) is None:
        say(f"wrote {write_debug_export(job, await store.tasks.of_job(job.id), raw)}")
    if plot is not None and failure_of(job) is None:
        await draw_job(store, job, plot)
