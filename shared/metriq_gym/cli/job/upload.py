"""``mgym job upload``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import bulk, filters, opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, JobName, Output, Yes
from metriq_gym.cli.output import say
from metriq_gym.cli.uploads import show_plans, tell, uploaded
from metriq_gym.client.upload import rehearse
from metriq_gym.errors import NotFound
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.operations.again import failed_exports
from metriq_gym.run import write_record
from metriq_gym.settings import Settings


def upload(
    name: JobName = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Where the record goes: github unless given, or json for the folder of results. Of many: each target.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every record whose export failed.")] = False,
    reason: bulk.Reason = None,
    since: filters.Since = None,
    until: filters.Until = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Publish the record of a job that has ended.

    The exporter does it, once more if it failed before. Of a suite GitHub gets all records at once. With --all,
    --reason or --since, every record whose export failed, for that reason, or of jobs since then.
    """
    which = filters.query(since=since, until=until)
    if not (all_ or reason or which):
        opening.run(_upload_job(name, to or "github", output, dry_run=dry_run, as_json=json))
        return
    if name is not None or output is not None:
        raise Usage("--all, --reason, --since and --until choose the jobs: give no JOB and no --output")
    if to is not None and to not in TARGETS:
        raise NotFound(f"records cannot be exported to {to!r}; there are: {', '.join(TARGETS)}")
    bulk.begin_anew(lambda store: failed_exports(store, which, to, reason), dry_run=dry_run, yes=yes, as_json=json)


async def _upload_job(name: str | None, target: str, output: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Upload one job's record; raises `Permanent` with the target's own words when it is refused there."""
    if output is not None or dry_run:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if output is not None:
                say(f"wrote {write_record(job, output)}")
            if dry_run:
                show_plans([await rehearse(store, job, Settings())], as_json)
        return
    async with opening.client() as client:
        job = await opening.job_called(client.store, name)
        with opening.way_back(f"mgym job upload {job.id} --to {target}"):
            location = await uploaded(client, job, target)
    tell({job.id: location}, as_json)
