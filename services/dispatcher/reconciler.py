"""The reconciler: sees to it that every job moves on and ends, so that emptying every queue loses nothing.

Of all dispatchers one at a time does it, by lease. It ends jobs whose deadline has passed, and publishes again the
message of those that have not moved in their time, or have ended and are not recorded yet. It requests jobs of suites
that no dispatcher has taken up, and carries out the retention policy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from metriq_gym.bus.port import Bus
from metriq_gym.errors import IllegalTransition, LeaseLost, Transient
from metriq_gym.jobs import Failure, Job, JobState, TaskState
from metriq_gym.jobs.changes import Rejected
from metriq_gym.jobs.states import STAGES
from metriq_gym.messages import JobRequested
from metriq_gym.schema_validator import NAME_KEY
from metriq_gym.service.lease import held
from metriq_gym.service.lifecycle import announce, announce_again, measured
from metriq_gym.store import Store
from metriq_gym.store.clocks import Look
from metriq_gym.store.leases import RECONCILER
from metriq_gym.store.suites import SuitePlan
from metriq_gym.telemetry import metrics, tracing

from .purging import Purger

log = structlog.get_logger()

LEASE = RECONCILER
_CADENCES = 10
"""So many times as long as a look may take to come, the next one comes at the latest, unless the clock was set."""
AT_ONCE = 1000
"""Jobs that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What a dispatcher calls again and again.

    Parameters
    ----------
    owner:
        Names this dispatcher in the lease.
    unmoved_seconds:
        How long a job may stand still; also about how often this is called.
    lease_seconds:
        How long after the time for its next call a reconciler is taken for gone.
    longest_seconds:
        How long a task is put off at most.
    deadline_seconds:
        How long a job has to come to a result.
    now:
        A clock that nobody sets, in seconds.
    """

    store: Store
    bus: Bus
    owner: str
    unmoved_seconds: float
    lease_seconds: float
    longest_seconds: float = 3600
    deadline_seconds: float = 7 * 86400
    now: Callable[[], float] = time.monotonic
    purger: Purger | None = None
    """Carries out the retention policy; None where there is none."""
    done: Counter[str] = field(default_factory=Counter)
    """What this process has done so far, to how many jobs, as `metrics.RECONCILED` calls it."""
    _overdue: dict[str, float] = field(default_factory=dict)
    """Jobs that the last look found overdue, and since when looks have: the store's clock may be wrong, so a job ends
    by its deadline only when it still is overdue at another look."""

    async def __call__(self) -> None:
        """Look after all jobs, unless another dispatcher does it. Raises `Transient`."""
        seconds = self.unmoved_seconds + self.lease_seconds
        token = await self.store.leases.take(LEASE, owner=self.owner, lease_seconds=seconds)
        if token is None:
            return
        before = self.done.copy()
        renew = partial(self.store.leases.renew, LEASE, token, seconds)
        try:
            await held(self._look_after_all(token), renew, self.lease_seconds)
        except LeaseLost as error:
            log.info("another dispatcher reconciles", reason=str(error))
        finally:
            if done := self.done - before:
                log.info("reconciled", **done)
                for deed, count in done.items():
                    metrics.RECONCILED.labels(deed).inc(count)

    async def take_up(self) -> None:
        """Publish again what any job needs, with or without the lease: for a queue that is new and empty."""
        after = ""
        while jobs := await self.store.upkeep.unfinished(after=after, limit=AT_ONCE):
            await self._each("republished", jobs, self._republish)
            after = jobs[-1].id
        for plan in await self.store.suites.unfinished():
            await self._request(plan)

    async def release(self) -> None:
        """Let another dispatcher take over at once."""
        with suppress(Transient):  # then it has to wait for the lease to run out
            await self.store.leases.take(LEASE, owner=self.owner, lease_seconds=0)

    async def _look_after_all(self, token: int) -> None:
        upkeep = self.store.upkeep
        look = await self._see_to_clock(token)
        await self._each("expire", self._still_overdue(await upkeep.overdue()), partial(self._expire, token=token))
        for deed, jobs in (
            ("republished", await upkeep.unmoved(self.unmoved_seconds)),
            ("recorded", await upkeep.unrecorded(self.unmoved_seconds)),
        ):
            looked_at: list[str] = []
            try:
                await self._each(deed, jobs, self._republish, looked_at)
            finally:
                await upkeep.checked(looked_at, token)
        await self._drop_lists()
        for plan in await self.store.suites.unmoved(self.unmoved_seconds):
            if await self._request(plan):
                await self.store.suites.checked(plan.id, token)
            else:
                await self.store.suites.finish(plan.id, token)
        if self.purger is not None:
            await self.purger(look)

    async def _drop_lists(self) -> None:
        """Drop what was noted for jobs that are not being submitted: by who stood still while another went on."""
        # In this order: who submits for a job that is resumed meanwhile has a newer lease.
        holders = await self.store.listings.holders()
        dispatching = await self.store.upkeep.dispatching(holders)
        for job_id, token in holders.items():
            if job_id not in dispatching:
                await self.store.listings.forget_of_holder(job_id, token)
                self.done["unlisted"] += 1

    async def _see_to_clock(self, token: int) -> Look:
        """Bring back times that the store's clock has left too far ahead; time that it jumped over is no job's.

        Nor is time in which no dispatcher looked.
        """
        clocks = self.store.clocks
        gap = _CADENCES * (self.unmoved_seconds + self.lease_seconds)
        policy = {} if self.purger is None else self.purger.policy.days
        look = await clocks.look(LEASE, token, longest_gap=gap, noted=policy)
        now, elapsed = look.now, look.elapsed
        set_back = elapsed < -1
        if set_back or elapsed > gap:
            log.warning("the store's clock was set, or no dispatcher has looked for long", seconds=elapsed)
            self._overdue.clear()
            if not set_back and (count := await clocks.put_off_deadlines(elapsed, self.deadline_seconds)):
                self.done["put_off"] += count
        brought_back = await clocks.bring_back(
            now,
            lease_seconds=self.lease_seconds,
            longest_seconds=self.longest_seconds,
            deadline_seconds=self.deadline_seconds,
            set_back=set_back,
        )
        if brought_back:
            log.warning("times lay too far ahead", count=brought_back)
            self.done["brought_back"] += brought_back
        return look

    def _still_overdue(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those that an earlier look, long enough ago by our own clock, found overdue too."""
        since = {job.id: self._overdue.get(job.id, self.now()) for job in jobs}
        looked_before = self._overdue.keys() & since.keys()
        self._overdue.clear()
        self._overdue.update(since)
        enough = self.now() - self.unmoved_seconds / 2
        return [job for job in jobs if job.id in looked_before and since[job.id] <= enough]

    async def _request(self, plan: SuitePlan) -> bool:
        """See to jobs of a suite that no dispatcher has seen; return whether there were any."""
        unseen = await self.store.jobs.unseen([str(each.job_id) for each in plan.requests])
        for request in plan.requests:
            if request.job_id in unseen:
                await (self._refuse(request) if plan.overdue else self.bus.publish(request))
                self.done["requested"] += 1
        if unseen:
            log.info("jobs of a suite requested again", suite_id=plan.id, jobs=len(unseen), overdue=plan.overdue)
        return bool(unseen)

    async def _refuse(self, request: JobRequested) -> None:
        """Let a job end that never began, so that its suite does."""
        reason = "no dispatcher could take it up by its deadline"
        failure = Failure(outcome="error", reason=reason, source="dispatch")
        suite = {"suite_id": request.suite_id, "suite_name": request.suite_name, "suite_size": request.suite_size}
        asked = {"provider": request.provider, "device": request.device, "target": request.device, "tags": request.tags}
        name = str(request.config.get(NAME_KEY, ""))
        rejected = Rejected.model_validate({"failure": failure, "benchmark_name": name, **asked, **suite})
        job = await self.store.jobs.reject(str(request.job_id), rejected)
        if job.state is JobState.REJECTED:
            await announce(self.store, self.bus, job)

    async def _each(
        self, deed: str, jobs: Sequence[Job], do: Callable[[Job], Awaitable[None]], looked_at: list[str] | None = None
    ) -> None:
        for job in jobs:
            with tracing.continued(job.traceparent):
                try:
                    await do(job)
                except (Transient, LeaseLost):
                    raise
                except Exception:
                    # One job that is not as it should be must not be the end of all others.
                    log.exception("cannot be looked after", job_id=job.id, state=job.state)
                else:
                    log.info("looked after", deed=deed, job_id=job.id, state=job.state)
                    self.done[deed] += 1
            if looked_at is not None:
                looked_at.append(job.id)

    async def _expire(self, job: Job, token: int) -> None:
        tasks = await self.store.tasks.count(job.id, TaskState.COMPLETED)
        reason = f"no result by its deadline: still {job.state}, {tasks} of {job.task_count} tasks done"
        failure = Failure(outcome="error", reason=reason, source=STAGES[job.state])
        try:
            ended = measured(await self.store.upkeep.expire(job.id, failure, token, job.resumed), JobState.FAILED)
        except IllegalTransition:
            return  # it has come to a result, or has been cancelled, just now
        # After a crash here it is one that has ended and is not recorded.
        await self._republish(ended)

    async def _republish(self, job: Job) -> None:
        await announce_again(self.store, self.bus, job)
