"""``mgym suite list``."""

from __future__ import annotations

from contextlib import suppress

import typer

from metriq_gym.cli import filters, opening
from metriq_gym.cli.csvs import as_csv
from metriq_gym.cli.options import AsCsv, AsJson
from metriq_gym.cli.output import console, emit, say
from metriq_gym.cli.suite.showing import described
from metriq_gym.errors import NotFound
from metriq_gym.jobs import Job
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.suite_parser import shipped
from metriq_gym.terminal import report


def list_(
    tag: filters.Tagged = None,
    since: filters.Since = None,
    until: filters.Until = None,
    limit: filters.Limit = 20,
    json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """List runs of suites, and the suites there are."""
    wanted = filters.query(tags=tag, since=since, until=until)

    async def look() -> list[list[Job]]:
        async with opening.store() as store:
            runs = []
            for suite_id in await store.catalogue.suite_ids(limit=limit, filters=wanted):
                with suppress(NotFound):  # deleted meanwhile, or none of its jobs can be read
                    runs.append(await store.jobs.suite(suite_id))
            return runs

    runs = opening.run(look())
    if json:
        emit([described(jobs) for jobs in runs])
        return
    if csv:
        typer.echo(as_csv([_row(jobs) for jobs in runs], list(_COLUMNS)), nl=False)
        return
    rows = []
    for jobs in runs:
        summary = summarise(jobs)
        device = f"{jobs[0].provider}/{jobs[0].device}"
        ended = f"{summary.ended} of {summary.size}"
        name = report.short_id(jobs[0].suite_id or "", console())
        rows.append([name, jobs[0].suite_name or "", device, ended, report.age(jobs[0].created_at)])
    if rows:
        report.show_table(console(), ("suite", "name", "device", "ended", "age"), rows)
    say(f"shipped suites: {', '.join(shipped())}")


_COLUMNS = ("suite_id", "suite_name", "provider", "device", "size", "ended", "done", "created_at", "tags")


def _row(jobs: list[Job]) -> dict[str, object]:
    first, summary = jobs[0], summarise(jobs)
    return {
        "suite_id": first.suite_id,
        "suite_name": first.suite_name,
        "provider": first.provider,
        "device": first.device,
        "size": summary.size,
        "ended": summary.ended,
        "done": summary.done,
        "created_at": first.created_at.isoformat(),
        "tags": ",".join(first.tags),
    }
