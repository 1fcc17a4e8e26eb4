"""``mgym suite upload``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import AsJson, SuiteName
from metriq_gym.cli.output import say
from metriq_gym.cli.uploads import show_plans, tell, uploaded
from metriq_gym.client.upload import rehearse
from metriq_gym.errors import Permanent
from metriq_gym.exporters.targets import is_in_suite
from metriq_gym.jobs import Job, JobState
from metriq_gym.settings import Settings


def upload(
    name: SuiteName = None,
    to: Annotated[
        str, typer.Option(help="Where the records go: github, or json for the folder of results.")
    ] = "github",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Publish the records of a suite.

    On GitHub one pull request has all of them.
    """
    opening.run(_upload_suite(name, to, dry_run=dry_run, as_json=json))


async def _upload_suite(name: str | None, target: str, *, dry_run: bool, as_json: bool) -> None:
    """Upload the records of a suite's jobs, where suites go as a whole at once; exits with `FAILED` if one is not."""
    if dry_run:
        async with opening.store() as store:
            jobs = _records(await store.jobs.suite(await opening.suite_called(store, name)), "github")
            show_plans([await rehearse(store, job, Settings()) for job in jobs], as_json)
        return
    done: dict[str, str] = {}
    async with opening.client() as client:
        suite_id = await opening.suite_called(client.store, name)
        jobs = _records(await client.store.jobs.suite(suite_id), target)
        with opening.way_back(f"mgym suite upload {suite_id} --to {target}"):
            for job in jobs:
                try:
                    done[job.id] = await uploaded(client, job, target)
                except Permanent as error:
                    say(f"error: {error}")
    tell(done, as_json)
    if len(done) < len(jobs):
        raise typer.Exit(FAILED)


def _records(jobs: list[Job], target: str) -> list[Job]:
    """Return the jobs of a suite that are uploaded; where suites go as a whole, any one of them stands for all."""
    recorded = [job for job in jobs if job.state is not JobState.REJECTED]
    if not recorded:
        raise Permanent("no job of the suite has a record: all were rejected")
    return recorded[:1] if target == "github" and is_in_suite(recorded[0]) else recorded
