"""Bringing a job's record to a target by way of the exporter service, and rehearsing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.retry import export_ended, retry_export
from metriq_gym.settings import Settings
from metriq_gym.store import Job

if TYPE_CHECKING:
    from metriq_gym.client import Client


async def upload(client: Client, job: Job, target: str) -> str:
    """Have the exporter bring a job's record to a target, and return where it is then.

    What is there already stays as it is. Raises `NotFound` for a target that there is not, and `Permanent` when the job
    has no record or the target refuses it.
    """
    await retry_export(client.store, client.bus, job.id, target)
    export = await export_ended(client.store, job.id, target)
    if export.location is None:
        raise Permanent(f"job {job.id} was not exported to {target}: {export.error}")
    return export.location


def rehearse(jobs: Sequence[Job], name: str, suite: str | None, settings: Settings) -> str:
    """Return the pull request that would be opened for jobs that have ended; nothing is sent.

    `name` is the job's id, or the suite's; `suite` what a suite is called.
    """
    from metriq_gym.exporters.pull_request import compose

    records = [make_record(job) for job in sorted(jobs, key=lambda job: job.id)]
    wanted = compose(
        records,
        name,
        repo=settings.github_repos[0] if settings.github_repos else "owner/name",
        base_branch=settings.github_base_branch,
        directory=settings.github_directory,
        suite=suite,
    )
    return str(wanted)
