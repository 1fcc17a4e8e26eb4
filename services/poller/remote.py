"""Asking a remote provider how its tasks are doing: a batch under lease, few questions, few writes.

How often a task is asked about falls while it waits; a provider in trouble is left alone for a growing while.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

import structlog

from metriq_gym.errors import FailureClass, LeaseLost, Transient, UnreadableDocument, classify
from metriq_gym.jobs import Task
from metriq_gym.jobs.documents import DueTask
from metriq_gym.providers.plugin import one_line
from metriq_gym.providers.provider import (
    CancellingProvider,
    Compiled,
    Ended,
    Finished,
    NotNow,
    Progress,
    RemoteProvider,
    TryLater,
    Unclear,
    Waiting,
)
from metriq_gym.service.pool import Pool, WorkerDied
from metriq_gym.store import Store
from metriq_gym.store.tasks import SPREAD
from metriq_gym.telemetry import metrics, tracing

from .decode import decode_all
from .pacing import PollingPace, ProviderBreaker
from .survey import WORTH_FROM, Survey

log = structlog.get_logger()

GROWTH = 1.5
"""How much longer a task waits for its next poll each time."""
MAX_UNCLEAR = 60
"""How many answers in a row about a task may be unclear before it is given up: most of an hour by default."""
BATCH_SECONDS = 2.0
"""How long a batch should take."""
CHECK_EVERY = 120
"""However long an overview shows a task waiting, so many polls apart it is asked about itself, from two hours on by
default: a list that never shows the end must not cost the counts."""
PASSED_OVER = 2000
"""How many due tasks are held against an overview at once."""
DECODED_AT_ONCE = 100
ENDED_AT_ONCE = 20
WITHDRAWN_AT_ONCE = 20


class RemoteTasks:
    """The tasks of one provider and credential.

    Parameters
    ----------
    pool:
        Decodes counts.
    owner:
        Names this poller in leases.
    settle:
        Called with a job's id after counts of its tasks were stored.
    give_up:
        Ends a task without counts, for the reason given.
    lease_seconds:
        How long a batch stays with a poller that crashed; asking takes at most a third of it.
    first_seconds, max_seconds:
        The shortest and the longest time between two polls of a task, and of keeping away from a provider in trouble.
    now:
        A clock, in seconds.
    """

    def __init__(
        self,
        provider: RemoteProvider,
        store: Store,
        pool: Pool,
        owner: str,
        *,
        settle: Callable[[str], Awaitable[None]],
        give_up: Callable[[Task, str], Awaitable[None]],
        lease_seconds: float,
        first_seconds: float,
        max_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._store = store
        self._pool = pool
        self._owner = owner
        self._job_moves_on = settle
        self._give_up = give_up
        self._lease_seconds = lease_seconds
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self._now = now
        self._breaker = ProviderBreaker(now, first_seconds=first_seconds, max_seconds=max_seconds)
        metrics.BREAKER_OPEN.labels(provider.name).set_function(lambda: self._breaker.is_open)
        self._reason = ""
        self._pace = PollingPace(min(BATCH_SECONDS, lease_seconds / 6))
        self._survey = Survey(provider, now, 5 * first_seconds, max_seconds)

    @property
    def trouble(self) -> str | None:
        """Why the provider is kept away from, if it is."""
        return self._reason if self._breaker.is_open else None

    async def poll(self) -> bool:
        """Ask about some of the tasks that are due; return whether there may be more."""
        if self._breaker.seconds_left:
            return False
        await self._withdraw()
        await self._look_over()
        if self._breaker.seconds_left:
            return False
        look = PASSED_OVER if self._survey.shows_any else SPREAD * self._pace.size
        due = await self._store.tasks.due(self._provider.name, limit=look)
        unknown = await self._pass_over(due)
        started = self._now()
        tasks = await self._store.tasks.claim_of(
            self._provider.name,
            unknown,
            owner=self._owner,
            limit=self._pace.size,
            lease_seconds=self._lease_seconds,
        )
        if tasks:
            await self._ask(tasks)
            if self._breaker.seconds_left:
                self._pace.stumbled()
            else:
                self._pace.took(len(tasks), self._now() - started)
        return len(due) == look or len(unknown) > len(tasks)

    async def _withdraw(self) -> None:
        """Have the provider cancel what jobs that were cancelled have there, where it can."""
        if not isinstance(self._provider, CancellingProvider):
            return
        name = self._provider.name
        claimed = await self._store.tasks.claim_withdrawn(name, limit=WITHDRAWN_AT_ONCE, seconds=self._max_seconds)
        done = []
        for task, provider_job_id in claimed.items():
            try:
                await self._provider.cancel(provider_job_id)
            except Exception as error:  # a fault of that provider stops no other's
                log.warning("task not cancelled at the provider", provider=name, task=task, error=one_line(error))
                if classify(error) in (FailureClass.TRANSIENT, FailureClass.WAITING):
                    break  # it comes again, and those after it
            else:
                log.info("task cancelled at the provider", provider=name, task=task)
            done.append(task)
        if done:
            await self._store.tasks.withdrawn(done)

    async def _look_over(self) -> None:
        """Bring the overview up to date if it is worth it; what has ended is due at once."""
        name = self._provider.name
        if not self._survey.due:
            return
        if await self._store.tasks.waiting(name, limit=WORTH_FROM) < WORTH_FROM:
            self._survey.forget()
            return
        try:
            ended = await self._survey.take()
        except Exception as error:  # a fault of that provider stops no other's
            log.warning("no overview of the provider's tasks", provider=name, error=one_line(error))
            if isinstance(error, TryLater):
                self._reason = str(error)
                self._breaker.failed(error.retry_after)
        else:
            await self._store.tasks.make_due(name, ended)

    async def _pass_over(self, due: Sequence[DueTask]) -> list[DueTask]:
        """Postpone the tasks that the overview shows waiting, and return the others."""
        shown, unknown = list[DueTask](), list[DueTask]()
        for task in due:
            passed = self._survey.shows_waiting(task.provider_job_id) and not _is_checked(task)
            (shown if passed else unknown).append(task)
        # The same overview would say the same of them again, and what it does not show the next one makes due.
        await self._store.tasks.pass_over(
            self._provider.name,
            shown,
            first_seconds=max(self._first_seconds, self._survey.serves_seconds),
            growth=GROWTH,
            max_seconds=self._max_seconds,
        )
        return unknown

    async def _ask(self, tasks: Sequence[Task]) -> None:
        asked = {_name(task): task for task in tasks}
        said = await self._progress(asked)
        answered = any(not isinstance(each, NotNow) for each in said.values())
        placed: list[tuple[Task, Waiting]] = []
        waiting, postponed, put_off, finished, compiled, doubted, ended = [], [], [], [], [], [], []
        for name, task in asked.items():
            match said.get(name):
                case Waiting() as place:
                    waiting.append(task)
                    if place != Waiting():
                        placed.append((task, place))
                case Finished() as result:
                    finished.append((task, result))
                case Compiled(about):
                    compiled.append((task, about))
                case Ended(error):
                    ended.append((task, error))
                case Unclear(reason):
                    doubted.append((task, reason))
                case NotNow(retry_after=None) if answered:
                    # It answers about others, so this one can wait. Nothing was said of it, good or bad.
                    put_off.append(task)
                case NotNow() | None:
                    postponed.append(task)
        await self._store.tasks.note_places({task.id: (each.position, each.starts_at) for task, each in placed})
        await self._later(waiting)
        await self._later(put_off, unclear=None)
        await self._store.tasks.hand_back_all(postponed, self._breaker.seconds_left)
        if finished:
            jobs = {task.job_id: task.traceparent for task, _ in finished}
            with tracing.span(
                f"poll {self._provider.name}",
                attributes={"metriq.tasks.finished": len(finished)},
                links=[each for each in jobs.values() if each is not None],
            ):
                await self._finish(finished)
        await self._check(compiled)
        await self._doubt(doubted)
        await self._end(ended)

    async def _progress(self, asked: dict[str, Task]) -> dict[str, Progress]:
        """Return what the provider says within a third of the lease, and let the breaker know how it went."""
        shots = {name: 0 if task.dry else task.shots for name, task in asked.items()}
        try:
            said = dict(await self._provider.progress(shots, self._lease_seconds / 3))
        except Transient:
            raise
        except Exception as error:  # a fault of that provider stops no other's
            said = dict.fromkeys(shots, NotNow(one_line(error)))
        away = [each for each in said.values() if isinstance(each, NotNow)]
        patience = max((each.retry_after for each in away if each.retry_after is not None), default=None)
        if away:
            log.warning(
                "provider cannot be asked", provider=self._provider.name, reason=away[0].reason, tasks=len(away)
            )
        if len(away) == len(said):
            self._reason = away[0].reason if away else "it said nothing"
            self._breaker.failed(patience)
        elif patience is not None:
            self._breaker.asked_for_patience(patience)
        else:
            self._breaker.succeeded()
        return said

    async def _later(self, tasks: Sequence[Task], *, unclear: int | None = 0) -> None:
        await self._store.tasks.postpone(
            tasks,
            first_seconds=self._first_seconds,
            growth=GROWTH,
            max_seconds=self._max_seconds,
            unclear=unclear,
        )

    async def _finish(self, finished: Sequence[tuple[Task, Finished]]) -> None:
        """Store counts; a job is looked at once for all of its tasks."""
        doubted = []
        for first in range(0, len(finished), DECODED_AT_ONCE):
            share = finished[first : first + DECODED_AT_ONCE]
            circuits = await self._store.tasks.circuits([task for task, _ in share])
            # What is gone was cancelled meanwhile.
            share = [(task, result) for task, result in share if task.id in circuits]
            packed = [(circuits[task.id], result.counts) for task, result in share]
            decoded = await self._decode(packed)
            good = []
            for (task, result), counts in zip(share, decoded, strict=True):
                if isinstance(counts, bytes):
                    good.append((_counted(task, result), counts, result.seconds))
                else:
                    doubted.append((task, counts))
            lost = len(good) - await self._store.tasks.complete_all(good)
            if lost:
                metrics.LEASE_LOSSES.labels("task").inc(lost)
                log.info("tasks went to another poller or have ended", tasks=lost)
        for job_id in dict.fromkeys(task.job_id for task, _ in finished):
            try:
                await self._job_moves_on(job_id)
            except UnreadableDocument as error:
                log.error("job cannot be moved on", job_id=job_id, reason=str(error))
        await self._doubt(doubted)

    async def _check(self, compiled: Sequence[tuple[Task, Mapping[str, Any]]]) -> None:
        """Store what was said of dry runs."""
        for task, said in compiled:
            try:
                await self._store.tasks.check(task, said)
            except LeaseLost:
                metrics.LEASE_LOSSES.labels("task").inc()
        for job_id in dict.fromkeys(task.job_id for task, _ in compiled):
            await self._job_moves_on(job_id)

    async def _decode(self, packed: Sequence[tuple[bytes, Mapping[str, int]]]) -> list[bytes | str]:
        """Return each task's packed counts, or why there are none; if they end the worker, one by one."""
        try:
            return await self._pool.run(decode_all, self._provider.decoder, packed)
        except WorkerDied as error:
            if len(packed) == 1:
                return [str(error)]
        return [(await self._decode([each]))[0] for each in packed]

    async def _doubt(self, doubted: Sequence[tuple[Task, str]]) -> None:
        """Ask again later what was not understood, but not for ever."""
        again, hopeless = defaultdict(list), []
        for task, reason in doubted:
            times = task.unclear + 1
            log.warning("answer not understood", job_id=task.job_id, task=task.id, reason=reason, times=times)
            if times < MAX_UNCLEAR:
                again[times].append(task)
            else:
                hopeless.append((task, f"given up after {times} answers that were not understood, the last: {reason}"))
        for times, tasks in again.items():
            await self._later(tasks, unclear=times)
        await self._end(hopeless)

    async def _end(self, ended: Sequence[tuple[Task, str]]) -> None:
        for first in range(0, len(ended), ENDED_AT_ONCE):
            await asyncio.gather(*(self._end_one(*each) for each in ended[first : first + ENDED_AT_ONCE]))

    async def _end_one(self, task: Task, error: str) -> None:
        try:
            await self._give_up(task, error)
        except LeaseLost:
            metrics.LEASE_LOSSES.labels("task").inc()
            log.info("task went to another poller or has ended", job_id=task.job_id, task=task.id)


def _counted(task: Task, result: Finished) -> Task:
    """Return the task with the number of its outcomes, if that is not the number of shots asked for."""
    total = sum(result.counts.values())
    return task if total == task.shots * task.circuit_count else task.model_copy(update={"counted": total})


def _name(task: Task) -> str:
    assert task.provider_job_id is not None  # noqa: S101  (it was submitted)
    return task.provider_job_id


def _is_checked(task: DueTask) -> bool:
    """Whether this poll of a task is one that no overview answers; not the same one for all tasks of a job."""
    return task.polls >= CHECK_EVERY and (task.polls + crc32(task.id.encode())) % CHECK_EVERY == 0
