"""``mgym plot …``: jobs, suites and metrics over time as pictures; what ``--plot`` of other commands draws as well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import filters, opening, options
from metriq_gym.cli.pictures import draw_job, draw_over_time, draw_suite
from metriq_gym.jobs import Job

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A .png or .svg file to write.", callback=options.drawable)]


def job(
    name: Annotated[str, typer.Argument(metavar="JOB_ID", help="The job's id, the beginning of it, or latest.")],
    file: _File,
    circuit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The counts of this circuit, the first being 1.", show_default=False),
    ] = None,
) -> None:
    """Draw what a job found, or its counts."""

    async def work() -> None:
        async with opening.store() as store:
            await draw_job(store, await opening.job_called(store, name), file, circuit)

    opening.run(work())


def suite(
    name: Annotated[str, typer.Argument(metavar="SUITE", help="The suite's id, the beginning of it, or latest.")],
    file: _File,
) -> None:
    """Draw the scores of a suite."""

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.jobs.suite(await opening.suite_called(store, name))

    draw_suite(opening.run(look()), file)


def history(
    file: _File,
    metric: Annotated[str, typer.Option(help="The metric that is drawn.")] = "score",
    benchmark: filters.Benchmark = None,
    provider: filters.OfProvider = None,
    device: filters.OfDevice = None,
    suite: filters.OfSuite = None,
    tag: filters.Tagged = None,
    since: filters.Since = None,
    until: filters.Until = None,
    limit: filters.Limit = 1000,
) -> None:
    """Draw a metric of many jobs over time."""
    wanted = filters.query(benchmark, provider, device, None, suite, tag, since, until)

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.catalogue.find(wanted, limit=limit)

    draw_over_time(opening.run(look()), metric, file)
