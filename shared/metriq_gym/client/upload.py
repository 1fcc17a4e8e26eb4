"""Bringing a job's record to a target by way of the exporter service, and rehearsing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from metriq_gym.errors import Permanent
from metriq_gym.exporters.pull_request import PullRequest
from metriq_gym.exporters.retry import retry_export
from metriq_gym.exporters.suites import exported_together
from metriq_gym.exporters.targets import plan_pull_request
from metriq_gym.jobs import Export, ExportState, Job
from metriq_gym.settings import Settings
from metriq_gym.store import Store

if TYPE_CHECKING:
    from metriq_gym.client.client import Client


async def upload(client: Client, job: Job, target: str, tell: Callable[[Export], None] = lambda _: None) -> str:
    """Have the exporter bring a job's record to a target, and return where it is then.

    What is on GitHub already stays as it is; a file is written again. `tell` is called with how the export is getting
    on, whenever that may have changed. Raises `NotFound` for a target that there is not, and `Permanent` when the job
    has no record or the target refuses it.
    """

    def ended(job: Job) -> bool:
        return job.exports[target].state is not ExportState.PENDING

    await retry_export(client.store, client.bus, job.id, target)
    async for progress in client.progress(job.id, until=ended):
        export = progress.job.exports[target]
        tell(export)
    if export.location is None:
        raise Permanent(f"job {job.id} was not exported to {target}: {export.error}")
    return export.location


async def rehearse(store: Store, job: Job, settings: Settings) -> PullRequest:
    """Return the pull request that an upload of the job to GitHub would open; nothing is sent.

    Raises `Permanent` when the job has no record, or is in a suite that has not ended.
    """
    return plan_pull_request(await exported_together(store, job, "github"), settings)
