"""Beginning anew what ended badly, many at once: jobs that failed, and exports that did, as after an outage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metriq_gym.bus.port import Bus
from metriq_gym.exporters.retry import retry_export
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.jobs import ExportState, Job, JobState
from metriq_gym.messages import JobResumeRequested
from metriq_gym.operations.suites import DROPPED
from metriq_gym.store import Store


@dataclass(frozen=True, slots=True)
class Again:
    """A job that is to go on where it failed, or to be exported once more to a target where that failed."""

    job: Job
    target: str | None
    """Where its record goes; None for the job itself."""
    reason: str
    """Why it ended as it did."""

    async def begin(self, store: Store, bus: Bus) -> None:
        """Ask the services for it.

        Raises `Permanent` for an export that has to wait for its suite, and `NotFound` for a job that is gone.
        """
        if self.target is None:
            await bus.publish(JobResumeRequested(job_id=self.job.id, resumed=self.job.resumed))
        else:
            await retry_export(store, bus, self.job.id, self.target)

    def has_begun(self, job: Job) -> bool:
        """Whether the job shows that a service has taken it up: resumed, or with an attempt that has had its end."""
        if self.target is None:
            return job.resumed > self.job.resumed or job.state is not JobState.FAILED
        export = job.exports.get(self.target)
        return export is None or export.state is not ExportState.PENDING or export.error is not None


async def failed_exports(
    store: Store, which: Mapping[str, Any], target: str | None = None, reason: str | None = None
) -> list[Again]:
    """Return the exports that failed of those jobs, newest first; to one target, or for a reason with these words.

    What an operator dropped stays dropped.
    """
    targets = [target] if target else list(TARGETS)
    query: dict[str, Any] = {"$or": [{f"exports.{each}.state": ExportState.FAILED} for each in targets]}
    found = [
        Again(job, name, export.error or "")
        for job in await store.catalogue.find({**which, **query})
        for name, export in sorted(job.exports.items())
        if name in targets and export.state is ExportState.FAILED and export.error != DROPPED
    ]
    return _for_reason(found, reason)


async def failed_jobs(store: Store, which: Mapping[str, Any], reason: str | None = None) -> list[Again]:
    """Return those jobs that failed, newest first; or only where the reason has these words."""
    jobs = await store.catalogue.find({**which, "state": JobState.FAILED})
    return _for_reason([Again(job, None, job.failure.reason if job.failure else "") for job in jobs], reason)


def _for_reason(found: Sequence[Again], reason: str | None) -> list[Again]:
    return [each for each in found if reason is None or reason.casefold() in each.reason.casefold()]
