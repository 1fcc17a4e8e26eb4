"""``mgym suite list``."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import typer

from metriq_gym.cli import filters, opening
from metriq_gym.cli.csvs import as_csv
from metriq_gym.cli.options import AsCsv, AsJson
from metriq_gym.cli.output import console, emit, say
from metriq_gym.cli.suite.showing import described
from metriq_gym.errors import NotFound
from metriq_gym.jobs.suite_progress import SuiteRun
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

    async def look() -> list[SuiteRun]:
        async with opening.store() as store:
            ids = await store.catalogue.suite_ids(limit=limit, filters=wanted)
            return await store.catalogue.suite_runs(ids)

    async def look_closely() -> list[dict[str, Any]]:
        async with opening.store() as store:
            found = []
            for suite_id in await store.catalogue.suite_ids(limit=limit, filters=wanted):
                with suppress(NotFound):  # deleted meanwhile, or none of its jobs can be read
                    found.append(described(await store.jobs.suite(suite_id)))
            return found

    if json:
        emit(opening.run(look_closely()))
        return
    runs = opening.run(look())
    if csv:
        typer.echo(as_csv([_row(run) for run in runs], list(_COLUMNS)), nl=False)
        return
    rows = []
    for run in runs:
        ended = f"{run.progress.ended} of {run.progress.size}"
        name = report.short_id(run.id, console())
        rows.append([name, run.name or "", f"{run.provider}/{run.device}", ended, report.age(run.created_at)])
    if rows:
        report.show_table(console(), ("suite", "name", "device", "ended", "age"), rows)
    say(f"shipped suites: {', '.join(shipped())}")


_COLUMNS = ("suite_id", "suite_name", "provider", "device", "size", "ended", "done", "created_at", "tags")


def _row(run: SuiteRun) -> dict[str, object]:
    return {
        "suite_id": run.id,
        "suite_name": run.name,
        "provider": run.provider,
        "device": run.device,
        "size": run.progress.size,
        "ended": run.progress.ended,
        "done": run.progress.done,
        "created_at": run.created_at.isoformat(),
        "tags": ",".join(run.tags),
    }
