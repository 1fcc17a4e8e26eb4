"""What `mgym job upload` and `mgym suite upload` share."""

from __future__ import annotations

import typer

from metriq_gym.cli.exports import elsewhere, tell_of_location
from metriq_gym.cli.output import emit
from metriq_gym.client.client import Client
from metriq_gym.client.upload import upload
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.jobs import Export, ExportState, Job
from metriq_gym.terminal.follow import ProgressLine


async def uploaded(client: Client, job: Job, target: str) -> str:
    """Have a record uploaded while a line says how it is getting on; return where it is then."""
    with ProgressLine(f"{job.id} to {target}") as progress:

        def note(export: Export) -> None:
            again = f"; next attempt at {export.not_before:%H:%M:%S} UTC" if export.not_before else ""
            if export.state is ExportState.PENDING:
                progress.show(f"{export.error}{again}" if export.error else "waiting for the exporter")

        return await upload(client, job, target, note)


def show_plans(plans: list[PullRequest], as_json: bool) -> None:
    """Print pull requests that would be opened."""
    if as_json:
        emit([plan.to_dict() for plan in plans])
        return
    for plan in plans:
        typer.echo(str(plan))


def tell(locations: dict[str, str], as_json: bool) -> None:
    """Print where the records of jobs are."""
    if as_json:
        emit([{"job_id": job_id, "location": location} for job_id, location in locations.items()])
        return
    for job_id, location in locations.items():
        typer.echo(f"{job_id}: {location}")
        if "://" not in location and elsewhere():
            tell_of_location(job_id, location)
