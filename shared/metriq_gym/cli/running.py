"""``mgym run`` and ``mgym watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import AsJson, Config, Device, JobName, Plot, Provider

if TYPE_CHECKING:
    from metriq_gym.jobs import Job


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(watch)


def run(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Run a benchmark and print its result.

    On a terminal that is a table, else its record as JSON.
    """
    from uuid import uuid4

    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.cli.polling import draw, tell_of_exports
    from metriq_gym.client.client import decision_about, failure_of
    from metriq_gym.client.configurations import read_configuration
    from metriq_gym.exporters.record import make_record
    from metriq_gym.schema_validator import validate
    from metriq_gym.terminal import report
    from metriq_gym.terminal.follow import Progress, follow

    chosen = read_configuration(config)
    _, warnings = validate(chosen, "$.config")
    job_id = uuid4().hex

    async def work() -> Job:
        async with opening.client() as client:
            back = f"mgym job poll {job_id}  (or look: mgym job view {job_id})"
            with opening.way_back(back), Progress(f"{chosen['benchmark_name']} on {provider}/{device}") as progress:
                for warning in warnings:
                    progress.note(f"warning: {warning}")
                progress.show("requested")
                await client.dispatch(chosen, provider, device, job_id=job_id)
                job = await follow(client, job_id, progress)
            if plot is not None and failure_of(job) is None:
                await draw(client.store, job, plot)
                say(f"wrote {plot}")
            return job

    ended = opening.run(work())
    if (undecided := decision_about(ended)) is not None:
        raise undecided
    if (error := failure_of(ended)) is not None:
        say(f"job {ended.id} is {ended.state}: mgym job view {ended.id}")
        raise error
    out = console()
    if json or not out.is_terminal:
        emit(make_record(ended))
    else:
        report.show_job(out, ended)
    for export in ended.exports.values():
        if export.location:
            say(f"saved to {export.location}")
    tell_of_exports(ended)


def watch(name: JobName = None, json: AsJson = False) -> None:
    """Print what happens to jobs as it happens.

    To one job until it has ended, or to all until Ctrl-C.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import emit_line
    from metriq_gym.client.client import decision_about, failure_of

    def show(job: Job) -> None:
        last = job.history[-1]
        if json:
            emit_line(_event(job))
        else:
            state = "held" if job.held else last.state
            cause = job.held or last.cause
            at = last.at.isoformat(sep=" ", timespec="seconds")
            typer.echo("  ".join([at, job.id, f"{state:11}", last.service, cause]).rstrip())

    async def work() -> Job | None:
        async with opening.client() as client:
            if name is None:
                seen: dict[str, tuple[int, str | None]] = {}
                async for job in client.changes():
                    # A lease that is renewed is a change too, but not one that anybody wants to read of.
                    now = len(job.history), job.held
                    if job.history and seen.get(job.id) != now:
                        show(job)
                    seen[job.id] = now
                return None
            job = await opening.job_called(client.store, name)
            known = 0
            async for progress in client.progress(job.id):
                job = progress.job
                if len(job.history) > known or job.held:
                    show(job)
                known = len(job.history)
            return job

    job = opening.run(work())
    if job is not None and (error := failure_of(job) or decision_about(job)) is not None:
        raise error


def _event(job: Job) -> dict[str, Any]:
    last = job.history[-1]
    return {"job_id": job.id, **last.model_dump(mode="json"), "held": job.held}
