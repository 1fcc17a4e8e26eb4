"""``mgym job list``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.live import Live

from metriq_gym.cli import filters, opening
from metriq_gym.cli.csvs import jobs_as_csv
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsCsv, AsJson, Plot
from metriq_gym.cli.output import console, emit
from metriq_gym.cli.pictures import draw_over_time
from metriq_gym.errors import Transient
from metriq_gym.jobs import Job
from metriq_gym.store import Store
from metriq_gym.terminal import report

_REFRESH_SECONDS = 5.0
"""A list that is watched is drawn anew by then, as ages change also where nothing happens."""
_REST_SECONDS = 0.5
"""Between two drawings, however much happens."""


def list_(
    benchmark: filters.Benchmark = None,
    provider: filters.OfProvider = None,
    device: filters.OfDevice = None,
    state: filters.State = None,
    suite: filters.OfSuite = None,
    tag: filters.Tagged = None,
    since: filters.Since = None,
    until: filters.Until = None,
    limit: filters.Limit = 20,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep it up to date until Ctrl-C.")] = False,
    json: AsJson = False,
    csv: AsCsv = False,
    plot: Plot = None,
    metric: Annotated[str, typer.Option(help="With --plot: the metric that is drawn over time.")] = "score",
) -> None:
    """List jobs, newest first."""
    wanted = filters.query(benchmark, provider, device, state, suite, tag, since, until)

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.catalogue.find(wanted, limit=limit)

    async def keep_looking() -> None:
        async with opening.store() as store:
            await _watch(store, lambda: store.catalogue.find(wanted, limit=limit))

    if watch:
        if json or csv or plot is not None or not console().is_terminal:
            raise Usage("--watch is for a terminal, and without --json, --csv and --plot (`mgym watch` prints changes)")
        opening.run(keep_looking())
        return
    jobs = opening.run(look())
    if plot is not None:
        draw_over_time(jobs, metric, plot)
    if json:
        emit([_listed(job) for job in jobs])
    elif csv:
        typer.echo(jobs_as_csv(jobs), nl=False)
    else:
        report.show_jobs(console(), jobs)


async def _watch(store: Store, find: Callable[[], Awaitable[list[Job]]]) -> None:
    """Show what `find` returns, again whenever a job changes."""
    changed = asyncio.Event()
    out = console()
    with Live(console=out, auto_refresh=False) as live:
        async with asyncio.TaskGroup() as group:
            group.create_task(_note_changes(store, changed))
            while True:
                with suppress(Transient):
                    live.update(report.jobs_table(out, await find()), refresh=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_REFRESH_SECONDS):
                        await changed.wait()
                changed.clear()
                await asyncio.sleep(_REST_SECONDS)


async def _note_changes(store: Store, changed: asyncio.Event) -> None:
    while True:
        with suppress(Transient):
            async for _ in store.changes.all():
                changed.set()
        await asyncio.sleep(_REFRESH_SECONDS)


def _listed(job: Job) -> dict[str, Any]:
    left_out = {
        "data",
        "runs",
        "history",
        "input_two_qubit_gate_counts",
        "transpiled_two_qubit_gate_counts",
        "imported",
    }
    return job.model_dump(mode="json", exclude=left_out)
