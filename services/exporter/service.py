"""The exporter's handler.

Consumes ``job.scored``, ``job.failed`` and ``job.cancelled``; brings the job's record to every target it is wanted at,
each with its own state and attempts; publishes ``job.exported`` for a result, and ``device.drifted`` where results
have left their baseline. A rejected request never was a job, so it has no record; but a suite may have waited for it.
Beside that it tells of jobs that are held, of drift and of dead letters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from metriq_gym.bus.identity import read_about
from metriq_gym.bus.port import EXPORTER, Delivery
from metriq_gym.bus.retry import EXPORT
from metriq_gym.errors import NotFound, NotYet, Permanent, Transient
from metriq_gym.exporters.senders import opened, senders
from metriq_gym.exporters.suites import whole_suite
from metriq_gym.exporters.targets import Target, is_in_suite, open_target
from metriq_gym.jobs import Export, ExportState, Job, JobState
from metriq_gym.jobs.notices import JOB_ENDED, SUITE_ENDED
from metriq_gym.messages import AboutJob, JobCancelled, JobExported, JobFailed, JobScored
from metriq_gym.service.lifecycle import measured
from metriq_gym.service.loop import Loop
from metriq_gym.service.service import Context, Service
from metriq_gym.telemetry import metrics, tracing

from .drift import DriftWatch
from .telling import PATIENCE, Telling
from .verdict import judged

log = structlog.get_logger()

_ABOUT: dict[str, type[AboutJob]] = {message.routing_key: message for message in (JobScored, JobFailed, JobCancelled)}
_FILES = "json"
_WITH_RESULT = (JobState.SCORED, JobState.EXPORTED)
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
        self._drift = DriftWatch(self.store, self.bus, most=(self.settings.prefetch + 1) // 2)
        self._sender = opened(self.settings)
        self.telling = Telling(self.store, self.settings, self._sender)
        self._loop = Loop("notices", self.telling, self.telling.seconds, PATIENCE)

    async def start(self) -> None:
        """Begin to consume, unless a target cannot work as it is configured: better to say so than to fail each job."""
        for name in self.settings.export_targets:
            self._open(name)
        for name in senders(self.settings):
            self._open(name)
            self._open(f"{name}:suite")
        await super().start()
        self._loop.start()

    async def stop(self) -> None:
        """Drain."""
        async with asyncio.TaskGroup() as stopping:
            stopping.create_task(self._loop.stop())
            stopping.create_task(super().stop())

    def loops(self) -> Sequence[Loop]:
        """Return what tells of notices."""
        return (self._loop,)

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
        if job is not None and job.state in _RECORDED and not job.dry:
            await self._export(job)
        if job is not None and job.state in _WITH_RESULT and job.in_dataset:
            await self._drift.look(job)  # last, so that whatever ails it holds up no record
        if job is not None and not job.in_dataset:
            # Its suite may have waited for it, and is exported without it.
            for other in (await whole_suite(self.store, job))[:1]:
                await self._export(other)

    def _wanted(self, job: Job) -> tuple[str, ...]:
        """Return where a job's record goes, and who is told; one of no benchmark is a file, whatever else is wanted."""
        records = tuple(self.settings.export_targets) if job.in_dataset else (_FILES,)
        told, events = senders(self.settings), self.settings.notify_events
        jobs = told if JOB_ENDED in events else ()
        whole = SUITE_ENDED in events and is_in_suite(job) and job.in_dataset
        return (*records, *jobs, *(f"{name}:suite" for name in told if whole))

    async def _export(self, job: Job) -> None:
        alone = [name for name, each in self._opened.items() if not (each.target.whole_suites and is_in_suite(job))]
        wanted = self._wanted(job)
        new = frozenset(wanted) - job.exports.keys()
        if new <= frozenset(alone):
            # What is wanted is stored with how it ends: an attempt whose process dies is made again.
            pending = Export(state=ExportState.PENDING, at=job.updated_at)
            job, begun = job.model_copy(update={"exports": dict.fromkeys(new, pending) | job.exports}), new
        else:
            job, begun = await self.store.exports.take_up(job.id, wanted, alone)
        now = job
        postponed = dict[str, Transient]()
        for name in sorted(job.exports, key=lambda name: (name != _FILES, name)):  # what is here waits for nobody else
            if job.exports[name].state is ExportState.PENDING:
                try:
                    now = await self._export_to(name, job, begun=name in begun) or now
                except Transient as error:
                    # Other targets do not wait for this one; the delivery comes again for what is pending.
                    postponed[name] = error
        await self._tell(job, now)
        if postponed:  # each target has bounds of its own
            reasons = "; ".join(f"{name}: {error}" for name, error in postponed.items())
            raise NotYet(reasons, retry_after=min(each.retry_after or 0.0 for each in postponed.values()))

    async def _export_to(self, name: str, job: Job, *, begun: bool) -> Job | None:
        """Make one attempt if one is due, or `begun`, and return the job if that ended; it may be deleted by then.

        Raises `Transient` if there is to be another.
        """
        try:
            opened = self._open(name)
        except (NotFound, Permanent) as error:
            return await self._settle([job], name, ExportState.FAILED, error=str(error))
        await self.telling.first(job, name)
        jobs = [job]
        if opened.target.whole_suites and is_in_suite(job):
            jobs = await whole_suite(self.store, job)
            if not jobs:
                return None  # the last of them to end exports them all
            _after_each_of(jobs, name)
        async with opened.slots:
            wait = 0.0 if begun else await self.store.exports.begin(job.id, name)
            if wait is None:
                return None  # it has ended
            if wait:
                raise NotYet(f"waits for its next attempt: {job.exports[name].error}", retry_after=wait)
            return await self._attempt(opened.target, name, job, jobs)

    async def _attempt(self, target: Target, name: str, job: Job, jobs: Sequence[Job]) -> Job | None:
        # This delivery's own job comes last: until it is settled, another delivery goes over all of them again.
        jobs = [*(each for each in jobs if each.id != job.id), job]
        try:
            with tracing.span(f"export {name}", "client", {"metriq.job.id": job.id}):
                location = await asyncio.to_thread(target.export, jobs)
        except (Permanent, Transient) as error:
            attempts = 1
            if isinstance(error, Transient) and (stored := (await self.store.jobs.get(job.id)).exports.get(name)):
                attempts = max(1, stored.attempts)
            verdict = judged(error, attempts)
            metrics.EXPORTS.labels(name, verdict.counted_as).inc()
            if verdict.state is ExportState.FAILED:
                log.error("export failed", job_id=job.id, target=name, reason=verdict.error)
                return await self._settle(jobs, name, verdict.state, error=verdict.error)
            if isinstance(error, Transient) and error.retry_after:
                metrics.RATE_LIMIT_WAIT.labels(name, "theirs").observe(error.retry_after)
            pause = verdict.retry_after
            await self._write([job], name, verdict.state, error=verdict.error, retry_after=pause)
            raise NotYet(verdict.error, retry_after=pause) from error
        else:
            metrics.EXPORTS.labels(name, "done").inc()
            settled = await self._settle(jobs, name, ExportState.DONE, location=location)
            if settled is None:
                await self._replace_what_is_past(job, name)
            return settled

    async def _replace_what_is_past(self, job: Job, name: str) -> None:
        """Let a job that was resumed while its failure was exported be exported again, if its result was before that.

        Otherwise its result replaces that failure when it comes.
        """
        with suppress(NotFound):
            now = await self.store.jobs.get(job.id)
            if now.resumed != job.resumed and now.state in _RECORDED and name in now.exports:
                await self.store.exports.again(job.id, name, if_done=True)
                raise NotYet(f"job {job.id} has gone on since; its record is written again")

    async def _settle(
        self,
        jobs: Sequence[Job],
        name: str,
        state: ExportState,
        *,
        location: str | None = None,
        error: str | None = None,
    ) -> Job | None:
        """Write down how the export of all these jobs ended; the last one's after the others have moved on.

        Return that one, unless it was deleted or resumed meanwhile.
        """
        *others, own = jobs
        await self._write(others, name, state, location=location, error=error)
        for job in others:
            with suppress(NotFound):  # deleted meanwhile
                await self._tell(job, await self.store.jobs.get(job.id))
        return await self._write([own], name, state, location=location, error=error)

    async def _write(self, jobs: Sequence[Job], name: str, state: ExportState, **about: Any) -> Job | None:
        # One whose own message is still to come must not pass for exported everywhere.
        settle, written = self.store.exports.settle, None
        for resumed in sorted({job.resumed for job in jobs}):
            alike = [job for job in jobs if job.resumed == resumed]
            ids, wanted = [job.id for job in alike], self._wanted(alike[0])
            written = await settle(ids, name, state, wanted=wanted, resumed=resumed, **about)
        return written

    async def _tell(self, before: Job, now: Job) -> None:
        """Say that a job is exported, if it is now; said twice it does no harm."""
        if now.state is JobState.EXPORTED:
            if before.state is not JobState.EXPORTED:
                measured(now, JobState.EXPORTED)
            await self.bus.publish(JobExported(job_id=now.id))

    def _open(self, name: str) -> _Open:
        if name not in self._opened:
            self._opened[name] = _Open(open_target(name, self.settings, self._sender))
        return self._opened[name]


def _after_each_of(jobs: Sequence[Job], name: str) -> None:
    """Raise `NotYet` while one of a suite's jobs is to be told before the suite itself, as ``webhook:suite`` is."""
    before, _, _ = name.partition(":")
    if before != name and any(
        before in job.exports and job.exports[before].state is ExportState.PENDING for job in jobs
    ):
        raise NotYet("the ends of all its jobs are told first", retry_after=EXPORT.pause(5))
