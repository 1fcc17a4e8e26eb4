"""``mgym suite list``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit, say
from metriq_gym.cli.suite.showing import described
from metriq_gym.jobs import Job
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.suite_parser import shipped
from metriq_gym.terminal import report


def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    json: AsJson = False,
) -> None:
    """List runs of suites, and the suites there are."""

    async def look() -> list[list[Job]]:
        async with opening.store() as store:
            return [await store.jobs.suite(each) for each in await store.catalogue.suite_ids(limit=limit)]

    runs = opening.run(look())
    if json:
        emit([described(jobs) for jobs in runs])
        return
    rows = []
    for jobs in runs:
        summary = summarise(jobs)
        device = f"{jobs[0].provider}/{jobs[0].device}"
        ended = f"{summary.ended} of {summary.size}"
        rows.append([jobs[0].suite_id, jobs[0].suite_name or "", device, ended, report.age(jobs[0].created_at)])
    if rows:
        report.show_table(console(), ("suite", "name", "device", "ended", "age"), rows)
    say(f"shipped suites: {', '.join(shipped())}")
