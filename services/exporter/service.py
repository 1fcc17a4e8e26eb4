"""The exporter's handler.

Consumes ``job.scored``, ``job.failed`` and ``job.cancelled``; brings the job's record to every target it is wanted at,
each with its own state and attempts; publishes ``job.exported`` for a result. A rejected request never was a job, so
it has no record; but a suite may have waited for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from metriq_gym.bus.identity import read_about
from metriq_gym.bus.port import EXPORTER, Delivery
from metriq_gym.bus.retry import EXPORT
from metriq_gym.errors import NotFound, NotYet, Permanent, Transient
from metriq_gym.exporters.suites import whole_suite
from metriq_gym.exporters.targets import Target, is_in_suite, open_target
from metriq_gym.jobs import ExportState, Job, JobState
from metriq_gym.messages import AboutJob, JobCancelled, JobExported, JobFailed, JobScored
from metriq_gym.service.lifecycle import measured
from metriq_gym.service.service import Context, Service
from metriq_gym.telemetry import metrics, tracing

log = structlog.get_logger()

_ABOUT: dict[str, type[AboutJob]] = {message.routing_key: message for message in (JobScored, JobFailed, JobCancelled)}
_RECORDED = (JobState.SCORED, JobState.EXPORTED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class _Open:
    target: Target
    slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", asyncio.Semaphore(self.target.concurrency))


class Exporter(Service):
    """From a result to where it is wanted."""

    name = "exporter"
    queue = EXPORTER
    default_port = 8084
    uses_workers = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._opened: dict[str, _Open] = {}

    async def start(self) -> None:
        """Begin to consume, unless a target cannot work as it is configured: better to say so than to fail each job."""
        for name in self.settings.export_targets:
            self._open(name)
        await super().start()

    async def handle(self, delivery: Delivery) -> None:
        """Export one job's record, or a suite's if this was the last of its jobs to end."""
        job_id = read_about(_ABOUT[delivery.routing_key], delivery)
        try:
            job: Job | None = await self.store.jobs.get(job_id)
        except NotFound:
            log.info("job was deleted", job_id=job_id)
            return
        if job is not None and job.state is JobState.REJECTED:
            job = next(iter(await whole_suite(self.store, job)), None)
        if job is not None and job.state in _RECORDED:
            await self._export(job)

    async def _export(self, job: Job) -> None:
        alone = [name for name, each in self._opened.items() if not (each.target.whole_suites and is_in_suite(job))]
        job, begun = await self.store.exports.take_up(job.id, self.settings.export_targets, alone)
        postponed = dict[str, Transient]()
        for name in sorted(job.exports):
            if job.exports[name].state is ExportState.PENDING:
                try:
                    await self._export_to(name, job, begun=name in begun)
                except Transient as error:
                    # Other targets do not wait for this one; the delivery comes again for what is pending.
                    postponed[name] = error
        await self._finish(job)
        if postponed:  # each target has bounds of its own
            reasons = "; ".join(f"{name}: {error}" for name, error in postponed.items())
            raise NotYet(reasons, retry_after=min(each.retry_after or 0.0 for each in postponed.values()))

    async def _export_to(self, name: str, job: Job, *, begun: bool) -> None:
        """Make one attempt if one is due, or `begun`; raises `Transient` if there is to be another."""
        try:
            opened = self._open(name)
        except (NotFound, Permanent) as error:
            await self._settle([job], name, ExportState.FAILED, error=str(error))
            return
        jobs = [job]
        if opened.target.whole_suites and is_in_suite(job):
            jobs = await whole_suite(self.store, job)
            if not jobs:
                return  # the last of them to end exports them all
        async with opened.slots:
            wait = 0.0 if begun else await self.store.exports.begin(job.id, name)
            if wait is None:
                return  # it has ended
            if wait:
                raise NotYet(f"waits for its next attempt: {job.exports[name].error}", retry_after=wait)
            await self._attempt(opened.target, name, job, jobs)

    async def _attempt(self, target: Target, name: str, job: Job, jobs: Sequence[Job]) -> None:
        # This delivery's own job comes last: until it is settled, another delivery goes over all of them again.
        jobs = [*(each for each in jobs if each.id != job.id), job]
        try:
            with tracing.span(f"export {name}", "client", {"metriq.job.id": job.id}):
                location = await asyncio.to_thread(target.export, jobs)
        except Permanent as error:
            log.error("export failed", job_id=job.id, target=name, reason=str(error))
            metrics.EXPORTS.labels(name, "failed").inc()
            await self._settle(jobs, name, ExportState.FAILED, error=str(error))
        except Transient as error:
            attempts = (await self.store.jobs.get(job.id)).exports[name].attempts
            if EXPORT.is_exhausted(attempts):
                log.error("export given up", job_id=job.id, target=name, reason=str(error))
                metrics.EXPORTS.labels(name, "failed").inc()
                reason = f"given up after {attempts} attempts: {error}"
                await self._settle(jobs, name, ExportState.FAILED, error=reason)
                return
            metrics.EXPORTS.labels(name, "postponed").inc()
            if error.retry_after:
                metrics.RATE_LIMIT_WAIT.labels(name, "theirs").observe(error.retry_after)
            pause = max(error.retry_after or 0.0, EXPORT.pause(attempts))
            await self.store.exports.settle([job.id], name, ExportState.PENDING, error=str(error), retry_after=pause)
            raise NotYet(str(error), retry_after=pause) from error
        else:
            metrics.EXPORTS.labels(name, "done").inc()
            await self._settle(jobs, name, ExportState.DONE, location=location)

    async def _settle(
        self,
        jobs: Sequence[Job],
        name: str,
        state: ExportState,
        *,
        location: str | None = None,
        error: str | None = None,
    ) -> None:
        """Write down how the export of all these jobs ended; the last one's after the others have moved on."""
        *others, own = jobs
        for job in others:
            # One whose own message is still to come must not pass for exported everywhere.
            with suppress(NotFound):  # deleted meanwhile
                await self.store.exports.want(job.id, self.settings.export_targets)
        await self.store.exports.settle([job.id for job in others], name, state, location=location, error=error)
        for job in others:
            await self._finish(job)
        await self.store.exports.settle([own.id], name, state, location=location, error=error)

    async def _finish(self, before: Job) -> None:
        """Say that a job is exported, if it is now; said twice it does no harm."""
        with suppress(NotFound):  # deleted meanwhile
            job = await self.store.jobs.get(before.id)
            if job.state is JobState.EXPORTED:
                if before.state is not JobState.EXPORTED:
                    measured(job)
                await self.bus.publish(JobExported(job_id=job.id))

    def _open(self, name: str) -> _Open:
        if name not in self._opened:
            self._opened[name] = _Open(open_target(name, self.settings))
        return self._opened[name]
