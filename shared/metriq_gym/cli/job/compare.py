"""``mgym job compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit, say
from metriq_gym.jobs import Job
from metriq_gym.jobs.comparison import Difference, incomparable, other_parameters
from metriq_gym.jobs.comparison import compare as compare_jobs
from metriq_gym.terminal import report
from metriq_gym.terminal.tables import show_table

_Name = Annotated[str, typer.Argument(metavar="JOB_ID", help="A job's id, the beginning of it, or latest.")]


def compare(first: _Name, second: _Name, json: AsJson = False) -> None:
    """Compare the results of two jobs of one benchmark.

    Each difference, the second less the first, is given in units of its error, too, if the two are alike in all
    parameters that the benchmark's score depends on.
    """

    async def look() -> tuple[Job, Job]:
        async with opening.store() as store:
            return await opening.job_called(store, first), await opening.job_called(store, second)

    one, other = opening.run(look())
    differences = compare_jobs(one, other)
    parameters, others = other_parameters(one, other), incomparable(one, other)
    if json:
        emit(
            {
                "jobs": [one.id, other.id],
                "benchmark_name": one.benchmark_name,
                "devices": [f"{job.provider}/{job.device}" for job in (one, other)],
                "comparable": not others,
                "parameters": {name: list(values) for name, values in parameters.items()},
                "metrics": {each.metric: _described(each) for each in differences},
            }
        )
        return
    out = console()
    facts = [
        ["device", *(f"{job.provider}/{job.device}" for job in (one, other))],
        ["requested", *(f"{job.created_at:%Y-%m-%d %H:%M}" for job in (one, other))],
        *([name, *map(report.number, values)] for name, values in parameters.items()),
    ]
    show_table(out, (one.benchmark_name, *(report.short_id(job.id, out) for job in (one, other))), facts)
    show_table(out, ("metric", "first", "second", "difference", "in errors"), map(_row, differences))
    if others:
        say(f"these scores are not to be compared: they depend on {', '.join(others)}, which differ")


def _row(each: Difference) -> list[object]:
    return [
        each.metric,
        report.number({"value": each.first, "uncertainty": each.first_error}),
        report.number({"value": each.second, "uncertainty": each.second_error}),
        report.number({"value": each.value, "uncertainty": each.error}),
        "" if each.in_errors is None else f"{each.in_errors:+.1f} σ",
    ]


def _described(each: Difference) -> dict[str, object]:
    return {
        "values": [each.first, each.second],
        "uncertainties": [each.first_error, each.second_error],
        "difference": each.value,
        "uncertainty": each.error,
        "in_errors": each.in_errors,
    }
