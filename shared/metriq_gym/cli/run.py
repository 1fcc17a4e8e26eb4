"""``mgym run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from metriq_gym.cli import opening, options
from metriq_gym.cli.exports import elsewhere, tell_of_exports, tell_of_location
from metriq_gym.cli.options import (
    AsJson,
    Compilation,
    Config,
    Device,
    Force,
    Group,
    Plot,
    Prior,
    Provider,
    Remarks,
    Tags,
)
from metriq_gym.cli.output import console, emit, say
from metriq_gym.cli.pictures import draw_job
from metriq_gym.client.client import decision_about, failure_of
from metriq_gym.client.configurations import read_configuration
from metriq_gym.exporters.record import what_came_of
from metriq_gym.jobs import Job
from metriq_gym.messages import CompilationName
from metriq_gym.schema_validator import validate
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import ProgressLine, follow


def run(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    prior: Prior = None,
    remarks: Remarks = None,
    group: Group = None,
    force: Force = False,
    compilation: Compilation = None,
    tag: Tags = None,
    json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Run a benchmark and print its result.

    On a terminal that is a table, else its record as JSON.
    """
    run_configuration(
        read_configuration(config),
        provider,
        device,
        prior=prior,
        remarks=remarks,
        group=group,
        force=force,
        compilation=compilation,
        tag=tag,
        json=json,
        plot=plot,
    )


def run_configuration(
    chosen: dict[str, Any],
    provider: str,
    device: str,
    *,
    prior: int | None,
    remarks: str | None,
    group: str | None,
    force: bool,
    compilation: CompilationName | None,
    tag: list[str] | None,
    json: bool,
    plot: Path | None,
) -> None:
    """Run what a configuration asks for and print what came of it; raises why it has no result."""
    _, warnings = validate(chosen, "$.config")
    job_id = uuid4().hex

    async def work() -> Job:
        async with opening.client() as client:
            back = f"mgym job poll {job_id}  (or look: mgym job view {job_id})"
            with opening.way_back(back), ProgressLine(f"{chosen['benchmark_name']} on {provider}/{device}") as progress:
                for warning in warnings:
                    progress.note(f"warning: {warning}")
                progress.show("requested")
                await client.dispatch(
                    chosen,
                    provider,
                    device,
                    job_id=job_id,
                    prior=prior,
                    remarks=remarks,
                    group=group,
                    force=force,
                    compilation=compilation,
                    tags=tag or [],
                )
                job = await follow(client, job_id, progress)
            if plot is not None and failure_of(job) is None:
                await draw_job(client.store, job, plot)
            return job

    ended = opening.run(work())
    if (undecided := decision_about(ended)) is not None:
        raise undecided
    if (error := failure_of(ended)) is not None:
        say(f"job {ended.id} is {ended.state}: mgym job view {ended.id}")
        raise error
    out = console()
    if json or not out.is_terminal:
        emit(what_came_of(ended))
    else:
        report.show_job(out, ended, elsewhere=elsewhere())
    for export in ended.exports.values():
        if export.location:
            tell_of_location(ended.id, export.location)
    tell_of_exports(ended)
