"""The exporter's handler.

Consumes ``job.scored``, ``job.failed`` and ``job.cancelled``; writes the job's record as a JSON file below the
configured root; publishes ``job.exported`` for a result. A rejected request never was a job, so it has no record.
"""

from __future__ import annotations

import asyncio

from metriq_gym.bus.port import EXPORTER, Delivery
from metriq_gym.errors import IllegalTransition
from metriq_gym.exporters.json_exporter import write_record
from metriq_gym.exporters.record import make_record
from metriq_gym.messages import JobCancelled, JobExported, JobFailed, JobScored
from metriq_gym.service import Service
from metriq_gym.store import Job, JobState

_ABOUT = {message.routing_key: message for message in (JobScored, JobFailed, JobCancelled)}


class Exporter(Service):
    """From a result to a file."""

    name = "exporter"
    queue = EXPORTER
    default_port = 8084
    uses_workers = False

    async def handle(self, delivery: Delivery) -> None:
        """Export one job's record."""
        message = _ABOUT[delivery.routing_key].model_validate_json(delivery.body)
        job = await self.store.jobs.get(message.job_id)
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            await self.store.jobs.set_export(job.id, "json", await self._write(job))
        elif job.state is JobState.SCORED:
            job = await self._exported(job, await self._write(job))
        if job.state is JobState.EXPORTED:
            await self.bus.publish(JobExported(job_id=job.id))

    async def _write(self, job: Job) -> str:
        return str(await asyncio.to_thread(write_record, self.settings.export_root, job.id, make_record(job)))

    async def _exported(self, job: Job, location: str) -> Job:
        try:
            return await self.store.jobs.move(
                job.id, JobState.EXPORTED, service=self.name, fields={"exports": {"json": location}}
            )
        except IllegalTransition:
            return await self.store.jobs.get(job.id)  # another exporter wrote the same file
