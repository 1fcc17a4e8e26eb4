"""The scorer's handler.

Consumes ``job.completed``; scores the counts of all the job's tasks; publishes ``job.scored``, or ``job.failed``
when they cannot be scored.
"""

from __future__ import annotations

import structlog

from metriq_gym.bus.identity import read_about
from metriq_gym.bus.port import SCORER, Delivery
from metriq_gym.errors import IllegalTransition, NotFound, Transient
from metriq_gym.jobs import Failure, Job, JobState
from metriq_gym.jobs.changes import Scored
from metriq_gym.jobs.scoring import Share, score
from metriq_gym.messages import JobCompleted
from metriq_gym.service.lifecycle import announce, fail, move
from metriq_gym.service.pool import JOB_SECONDS, WorkerDied
from metriq_gym.service.service import Service
from metriq_gym.telemetry import tracing
from metriq_gym.wording import duration

log = structlog.get_logger()

_MAX_TRIES = 3
"""How often scoring a job may kill its worker process before the job is given up."""


class Scorer(Service):
    """From counts to a result."""

    name = "scorer"
    queue = SCORER
    default_port = 8083
    stage = "score"

    async def handle(self, delivery: Delivery) -> None:
        """Score one job."""
        job_id = read_about(JobCompleted, delivery)
        try:
            job = await self.store.jobs.get(job_id)
        except NotFound:
            log.info("job was deleted", job_id=job_id)
            return
        if job.state is JobState.COMPLETED:
            job = await self._score(job, last_try=delivery.failures + 1 >= _MAX_TRIES)
        if job.state in (JobState.SCORED, JobState.FAILED):
            await announce(self.store, self.bus, job)

    async def _score(self, job: Job, *, last_try: bool) -> Job:
        tasks = await self.store.tasks.of_job(job.id)
        shares = [
            Share(task.run, task.first, task.counts, task.execution_seconds, task.sampling_seconds) for task in tasks
        ]
        spent = [task.execution_seconds for task in tasks if task.execution_seconds is not None]
        try:
            with tracing.span("score", attributes={"metriq.job.id": job.id}):
                result = await self.pool.run_within(
                    JOB_SECONDS, score, job.config, job.seed, job.data, job.runs, shares
                )
        except TimeoutError:
            return await self._fail(job, f"scoring the counts took longer than {duration(JOB_SECONDS)}")
        except WorkerDied as error:
            if not last_try:
                raise  # this delivery comes again, and is counted
            return await self._fail(job, f"{error} ({_MAX_TRIES} times, scoring the counts)")
        except Transient:
            raise
        except Exception as error:
            # Scoring is a pure function: what it raised once it would raise each time.
            log.exception("scoring failed", job_id=job.id)
            return await self._fail(job, f"{type(error).__name__}: {error}")
        scored = Scored(result=result, runtime_seconds=sum(spent) if spent else None)
        try:
            cause = f"tasks scored: {len(tasks)}"
            return await move(self.store, job.id, scored, service=self.name, cause=cause, seen=job)
        except IllegalTransition:
            return await self.store.jobs.get(job.id)  # cancelled, or scored by another scorer

    async def _fail(self, job: Job, reason: str) -> Job:
        failure = Failure(outcome="error", reason=reason, source="score")
        return await fail(self.store, job.id, failure, service=self.name, resumed=job.resumed)
