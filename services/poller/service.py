"""The poller's handler and its loop.

Consumes ``job.dispatched``, a wake-up; claims due tasks from the store, runs those of local providers in worker
processes under a lease, asks remote providers about theirs, and stores the counts; when a job's last task has ended it
publishes ``job.completed``, or ``job.failed`` when one failed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import structlog

from metriq_gym.bus.identity import read_about
from metriq_gym.bus.port import POLLER, Delivery
from metriq_gym.errors import Crowded, IllegalTransition, LeaseLost, NotFound, NotYet, Transient
from metriq_gym.jobs import Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Checked, Completed, Move
from metriq_gym.jobs.states import OPEN_TASKS
from metriq_gym.messages import JobDispatched
from metriq_gym.providers import Providers
from metriq_gym.providers.provider import RemoteProvider
from metriq_gym.service import waiting
from metriq_gym.service.health import Check
from metriq_gym.service.lease import held
from metriq_gym.service.lifecycle import announce, fail, move
from metriq_gym.service.loop import PATIENCE, Loop
from metriq_gym.service.parking import Parking, accepts
from metriq_gym.service.pool import Pool, WorkerDied
from metriq_gym.service.service import Context, Service
from metriq_gym.telemetry import metrics, tracing
from metriq_gym.wording import duration

from .prefetch import EARLY_PATIENCE, Prefetch
from .remote import RemoteTasks
from .simulate import Simulated, simulate

log = structlog.get_logger()

_MAX_RUNS = 3
"""How often a task may kill its worker process before it is given up."""
_MAX_BEGUN = 5
"""How often the poller that runs a task may end without a word before it is given up."""
_ENDLESS = (
    f"given up: it was begun {_MAX_BEGUN} times, and each time the poller that ran it ended, perhaps for want of "
    "memory, or could not store its counts"
)
_SUSPECT_FROM = 3
"""From this try on a task is run alone: then it costs no other task a try, nor is it blamed for another's memory."""


class Poller(Service):
    """From tasks with the provider to counts in the store."""

    name = "poller"
    queue = POLLER
    default_port = 8082
    stage = "poll"

    def __init__(self, context: Context, decoding: Pool | None = None) -> None:
        """Decode the counts of remote providers in `decoding`, by default a worker process for that alone."""
        super().__init__(context)
        self._providers = Providers(context.settings)
        self._providers.check_settings()
        self._providers.tell_broken()
        self._local = self._providers.local()
        self._running: set[asyncio.Task[None]] = set()
        self._simulating: set[str] = set()
        """The tasks that are claimed and have not been run to their end."""
        self._prefetch = Prefetch(context.pool.size)
        self._alone: str | None = None
        """The task beside which no other is claimed."""
        self._loop = Loop("claims", self._claim, self.settings.poll_seconds)
        # Counts must not wait for a simulation that takes minutes.
        self._decoding = decoding or Pool(1, beside=context.pool)
        self._parking = Parking(self.store)
        self._remote = [self._remote_loop(provider) for provider in self._providers.remote()]

    async def start(self) -> None:
        """Begin to consume and to claim."""
        await self._decoding.__aenter__()
        await super().start()
        for loop in self.loops():
            loop.start()

    async def stop(self) -> None:
        """Claim nothing more; finish the tasks in hand, or hand them back when that takes too long."""
        try:
            async with asyncio.TaskGroup() as stopping:
                stopping.create_task(super().stop())
                stopping.create_task(self.finish())
        except asyncio.CancelledError:
            for running in self._running:
                running.cancel()
            while self._running:
                await asyncio.wait(self._running)
            raise
        finally:
            await self._providers.aclose()
            await self._decoding.__aexit__()

    async def finish(self) -> None:
        """Claim nothing more, and return when the tasks in hand are done; deliveries are handled as before."""
        async with asyncio.TaskGroup() as stopping:
            for loop in self.loops():
                stopping.create_task(loop.stop())
        while self._running:
            await asyncio.wait(self._running)

    def loops(self) -> Sequence[Loop]:
        """Return what runs beside the handler."""
        return (self._loop, *self._remote)

    def notes(self) -> dict[str, Check]:
        """Return whether each remote provider accepts its credential."""
        return {f"{each.name} accepts the poller's credential": accepts(each) for each in self._providers.used()}

    async def handle(self, delivery: Delivery) -> None:
        """Look for due tasks now, and see whether the job's have all ended."""
        for loop in self.loops():
            loop.wake()
        await self._settle(read_about(JobDispatched, delivery))

    def _remote_loop(self, provider: RemoteProvider) -> Loop:
        tasks = RemoteTasks(
            provider,
            self.store,
            self._decoding,
            self.instance,
            settle=self._settle,
            give_up=self._give_up,
            lease_seconds=self.settings.lease_seconds,
            first_seconds=self.settings.poll_seconds,
            max_seconds=self.settings.poll_max_seconds,
        )

        async def poll() -> None:
            try:
                if await tasks.poll():
                    loop.wake()
            finally:
                await self._parking.tell(provider)
                await self._parking.tell_away(provider.name, tasks.trouble)

        # A batch may take most of a lease.
        loop = Loop(provider.name, poll, self.settings.poll_seconds, PATIENCE + self.settings.lease_seconds)
        return loop

    async def _claim(self) -> None:
        """Claim as many tasks as there are idle workers, and early those that are short."""
        for name in random.sample([*self._local], len(self._local)):  # so that none has to wait for another's backlog
            if self._alone is None and (room := self._prefetch.room(len(self._simulating))) > 0:
                tasks = await self.store.tasks.claim(
                    name, owner=self.instance, limit=room, lease_seconds=self.settings.lease_seconds
                )
                self._prefetch.claimed([task.lane for task in tasks])
                for task in sorted(tasks, key=lambda task: task.lane):
                    if self._alone is None and _is_suspect(task):
                        self._alone = task.id
                        self._prefetch.stumbled()  # others that are claimed now would only be handed back
                    early = len(self._simulating) >= self.pool.size
                    self._simulating.add(task.id)
                    running = asyncio.create_task(self._run(task, early=early), name=task.id)
                    self._running.add(running)
                    running.add_done_callback(self._running.discard)

    async def _run(self, task: Task, *, early: bool) -> None:
        """Run one claimed task, claimed `early` if there was no idle worker.

        Whatever goes wrong, its lease ends and another poller can claim it.
        """
        about = {"metriq.job.id": task.job_id, "metriq.task.id": task.id}
        with (
            structlog.contextvars.bound_contextvars(job_id=task.job_id, task=task.id),
            tracing.continued(task.traceparent),
            tracing.span(f"run {task.provider}", attributes=about),
        ):
            await self._see_through(task, early=early)

    async def _see_through(self, task: Task, *, early: bool) -> None:
        try:
            if task.begun > _MAX_BEGUN:
                self._let_others(task)
                await self._give_up(task, _ENDLESS)
            elif _is_suspect(task) and self._alone != task.id:
                self._let_others(task)
                await self.store.tasks.hand_back(task)
            else:
                await self._simulate(task, early=early)
        except LeaseLost:
            metrics.LEASE_LOSSES.labels("task").inc()
            log.info("task went to another poller or has ended")
        except Transient as error:
            tracing.failed(type(error).__name__)
            log.warning("task will run again", error=str(error))
        except asyncio.CancelledError:
            await self.store.tasks.hand_back(task)
            raise
        except Exception as error:
            tracing.failed(type(error).__name__)
            log.exception("task will run again when its lease ends")

    async def _simulate(self, task: Task, *, early: bool) -> None:
        calls = partial(metrics.PROVIDER_CALLS.labels, task.provider, "simulate")
        try:
            simulated = await self._counts(task, early=early)
        except WorkerDied as error:
            calls("died").inc()
            deaths = task.deaths + 1
            if deaths < _MAX_RUNS:
                await self.store.tasks.hand_back(task, died=True)
                raise Transient(str(error)) from error
            await self._give_up(task, f"{error} ({deaths} times)")
        except TimeoutError:
            calls("too_long").inc()
            seconds = duration(self.settings.simulation_seconds)
            await self._give_up(task, f"not simulated within {seconds} (METRIQ_SIMULATION_SECONDS)")
        except Crowded as error:
            log.info("task left to others", reason=str(error))
            self._prefetch.stumbled()
            await self.store.tasks.hand_back(task)
        except NotYet:
            await self.store.tasks.hand_back(task)  # it was never begun
            raise
        except (LeaseLost, Transient):
            raise
        except Exception as error:
            # Simulating is a pure function: what it raised once it would raise each time.
            log.exception("simulation failed", job_id=task.job_id, task=task.id)
            calls("failed").inc()
            await self._give_up(task, f"{type(error).__name__}: {error}")
        else:
            calls("answered").inc()
            await self.store.tasks.complete(task, *simulated)
            await self._settle(task.job_id)

    async def _counts(self, task: Task, *, early: bool) -> Simulated:
        seconds = self.settings.lease_seconds
        try:
            return await held(self._work(task, early=early), partial(self.store.tasks.renew, task, seconds), seconds)
        finally:
            # The worker need not wait for these counts to be stored.
            self._let_others(task)

    async def _work(self, task: Task, *, early: bool) -> Simulated:
        if self._alone == task.id and (others := [each for each in self._running if each.get_name() != task.id]):
            await asyncio.wait(others)
        provider = self._local[task.provider]
        limit = self.settings.simulation_seconds
        with waiting.bounded(EARLY_PATIENCE) if early else nullcontext():
            simulated, busy_seconds = await self.pool.run_within(
                limit, simulate, provider.simulation, task.device, task.circuits, task.shots, task.seed
            )
        self._prefetch.took(busy_seconds)
        metrics.PROVIDER_SECONDS.labels(provider.name, "simulate").observe(busy_seconds)
        return simulated

    def _let_others(self, task: Task) -> None:
        """Let others be claimed in place of a task."""
        self._simulating.discard(task.id)
        if self._alone == task.id:
            self._alone = None
        self._loop.wake()

    async def _give_up(self, task: Task, error: str) -> None:
        await self.store.tasks.fail(task, error)
        # Failing the job is left to the handler of this message, which is delivered again if we crash.
        with tracing.continued(task.traceparent):
            await self.bus.publish(JobDispatched(job_id=task.job_id))

    async def _settle(self, job_id: str) -> None:
        """Move a job on if its tasks allow it, and say so."""
        states = await self.store.tasks.states(job_id)
        if TaskState.FAILED not in states and not states.keys().isdisjoint(OPEN_TASKS):
            return
        try:
            job = await self.store.jobs.get(job_id)
        except NotFound:
            log.info("job was deleted", job_id=job_id)
            return
        found_by = tracing.current()
        with tracing.continued(job.traceparent):
            if job.state is JobState.DISPATCHED:
                about: tracing.Attributes = {"metriq.job.id": job_id, "metriq.task.count": job.task_count}
                with tracing.span(f"wait {job.provider}", attributes=about, links=[found_by], began=job.dispatch_time):
                    job = await self._conclude(job, states)
            if job.state in (JobState.COMPLETED, JobState.CHECKED, JobState.FAILED):
                await announce(self.store, self.bus, job)

    async def _conclude(self, job: Job, states: Mapping[TaskState, int]) -> Job:
        if job.resumed:  # then they may be those of its time before that
            states = await self.store.tasks.states(job.id)
            if TaskState.FAILED not in states and not states.keys().isdisjoint(OPEN_TASKS):
                return job
        completed = states.get(TaskState.COMPLETED, 0)
        if TaskState.FAILED in states:
            return await self._fail(job, await self.store.tasks.first_error(job.id) or "a task failed")
        if completed == job.task_count:
            cause = f"tasks {'compiled' if job.dry else 'with counts'}: {completed}"
            completed_job: Move
            if job.dry:
                completed_job = Checked(checked=await self.store.tasks.checked(job.id))
            else:
                # A local provider counts every shot.
                short = [] if job.provider in self._local else await self.store.tasks.short(job.id)
                completed_job = Completed.of(job, short)
            try:
                return await move(
                    self.store,
                    job.id,
                    completed_job,
                    service=self.name,
                    cause=cause,
                    resumed=job.resumed,
                    seen=job,
                )
            except IllegalTransition:
                return await self.store.jobs.get(job.id)  # another poller saw the last task end as well
        # Should not be; but nothing would ever move it on.
        return await self._fail(job, f"of {job.task_count} tasks {completed} are there")

    async def _fail(self, job: Job, reason: str) -> Job:
        failure = Failure(outcome="error", reason=reason, source="poll")
        return await fail(self.store, job.id, failure, service=self.name, resumed=job.resumed)


def _is_suspect(task: Task) -> bool:
    """Whether running it has ended badly before, again and again."""
    return task.begun + task.deaths >= _SUSPECT_FROM
