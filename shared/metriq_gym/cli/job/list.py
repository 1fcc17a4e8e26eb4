"""``mgym job list``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from metriq_gym.cli import opening, options
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, Plot
from metriq_gym.cli.output import console, emit
from metriq_gym.cli.pictures import draw_over_time
from metriq_gym.jobs import Job, JobState
from metriq_gym.terminal import report


def list_(
    benchmark: Annotated[str | None, typer.Option(help="Only this benchmark.")] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Only this provider.", autocompletion=options.providers)
    ] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only this device.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    suite: Annotated[str | None, typer.Option(help="Only jobs of the suite with this id.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    json: AsJson = False,
    plot: Plot = None,
    metric: Annotated[str, typer.Option(help="With --plot: the metric that is drawn over time.")] = "score",
) -> None:
    """List jobs, newest first."""
    if state is not None and state not in set(JobState):
        raise Usage(f"no state is called {state!r}; there are: {', '.join(JobState)} (`mgym status` shows held jobs)")

    wanted = {"benchmark_name": benchmark, "provider": provider, "device": device, "state": state, "suite_id": suite}

    async def look() -> list[Job]:
        async with opening.store() as store:
            filters = {key: value for key, value in wanted.items() if value is not None}
            return await store.catalogue.find(filters, limit=limit)

    jobs = opening.run(look())
    if plot is not None:
        draw_over_time(jobs, metric, plot)
    if json:
        emit([_listed(job) for job in jobs])
    else:
        report.show_jobs(console(), jobs)


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
