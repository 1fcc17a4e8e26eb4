"""``mgym job upload``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson, JobName, Output
from metriq_gym.cli.output import say
from metriq_gym.cli.uploads import show_plans, tell, uploaded
from metriq_gym.client.upload import rehearse
from metriq_gym.run import write_record
from metriq_gym.settings import Settings


def upload(
    name: JobName = None,
    to: Annotated[
        str, typer.Option(help="Where the record goes: github, or json for the folder of results.")
    ] = "github",
    output: Output = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Publish the record of a job that has ended.

    The exporter does it, once more if it failed before. Of a suite GitHub gets all records at once.
    """
    opening.run(_upload_job(name, to, output, dry_run=dry_run, as_json=json))


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
