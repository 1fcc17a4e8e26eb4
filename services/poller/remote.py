"""Asking a remote provider how its tasks are doing: a batch under lease, one question for all, one write for the rest.

How often a task is asked about falls while it waits; a provider in trouble is left alone for a growing while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from metriq_gym.errors import LeaseLost, MetriqGymError, Transient
from metriq_gym.pool import Pool
from metriq_gym.providers.provider import Ended, Finished, NotNow, Progress, RemoteProvider, Unclear, Waiting
from metriq_gym.store import Store, Task

log = structlog.get_logger()

BATCH = 1000
"""Tasks claimed at once."""
GROWTH = 1.5
"""How much longer a task waits for its next poll each time."""
MAX_UNCLEAR = 20
"""How many answers in a row about a task may be unclear before it is given up."""


class Breaker:
    """Keeps away from a provider in trouble: each failure in a row doubles the pause, a success ends it."""

    def __init__(self, now: Callable[[], float], *, first_seconds: float = 1, max_seconds: float = 60) -> None:
        self._now = now
        self._first = first_seconds
        self._max = max_seconds
        self._failures = 0
        self._closed_until = 0.0

    @property
    def seconds_left(self) -> float:
        """For how long to keep away."""
        return max(0.0, self._closed_until - self._now())

    def failed(self, retry_after: float | None) -> None:
        """Keep away for as long as the provider asked for, or for longer than the last time."""
        pause = min(self._max, self._first * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        self._closed_until = self._now() + max(pause, retry_after or 0)

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0


@dataclass(frozen=True, slots=True)
class RemoteTasks:
    """The tasks of one provider and credential.

    Parameters
    ----------
    ended:
        Called with a task after its counts are stored.
    give_up:
        Ends a task without counts, for the reason given.
    first_seconds, max_seconds:
        The shortest and the longest time between two polls of a task.
    """

    provider: RemoteProvider
    store: Store
    pool: Pool
    owner: str
    breaker: Breaker
    ended: Callable[[Task], Awaitable[None]]
    give_up: Callable[[Task, str], Awaitable[None]]
    lease_seconds: float
    first_seconds: float
    max_seconds: float

    async def poll(self) -> None:
        """Ask about all tasks that are due."""
        while not self.breaker.seconds_left:
            tasks = await self.store.tasks.claim(
                self.provider.name,
                owner=self.owner,
                limit=BATCH,
                lease_seconds=self.lease_seconds,
                with_circuits=False,
            )
            if not tasks:
                return
            await self._ask(tasks)

    async def _ask(self, tasks: list[Task]) -> None:
        by_id = {task.provider_job_id: task for task in tasks if task.provider_job_id is not None}
        try:
            progress = await self.provider.progress({name: task.shots for name, task in by_id.items()})
        except MetriqGymError as error:
            progress = dict.fromkeys(by_id, NotNow(str(error), getattr(error, "retry_after", None)))
        away = [each for each in progress.values() if isinstance(each, NotNow)]
        if away:
            log.warning("provider cannot be asked", provider=self.provider.name, reason=away[0].reason)
            self.breaker.failed(max((each.retry_after or 0 for each in away), default=0))
        else:
            self.breaker.succeeded()
        await self._later([task for name, task in by_id.items() if isinstance(progress[name], Waiting | NotNow)])
        done = [
            (task, progress[name]) for name, task in by_id.items() if not isinstance(progress[name], Waiting | NotNow)
        ]
        await asyncio.gather(*(self._settle(task, said) for task, said in done))

    async def _later(self, tasks: list[Task], unclear: int = 0) -> None:
        await self.store.tasks.postpone(
            tasks,
            first_seconds=self.first_seconds,
            growth=GROWTH,
            max_seconds=self.max_seconds,
            least_seconds=self.breaker.seconds_left,
            unclear=unclear,
        )

    async def _settle(self, task: Task, said: Progress) -> None:
        """Act on what is known of a task; a failure of ours leaves it to the next poll."""
        try:
            match said:
                case Finished(counts, seconds):
                    circuits = await self.store.tasks.circuits(task)
                    packed = await self.pool.run(self.provider.decoder, circuits, counts)
                    await self.store.tasks.complete(task, packed, seconds)
                    await self.ended(task)
                case Ended(error):
                    await self.give_up(task, error)
                case Unclear(reason):
                    await self._doubt(task, reason)
        except LeaseLost:
            log.info("task went to another poller or has ended", job_id=task.job_id, task=task.id)
        except Transient as error:
            log.warning("task will be asked about again", job_id=task.job_id, task=task.id, error=str(error))
        except Exception as error:
            log.exception("answer could not be used", job_id=task.job_id, task=task.id)
            await self._doubt(task, f"{type(error).__name__}: {error}")

    async def _doubt(self, task: Task, reason: str) -> None:
        times = task.unclear + 1
        log.warning("answer not understood", job_id=task.job_id, task=task.id, reason=reason, times=times)
        if times >= MAX_UNCLEAR:
            await self.give_up(task, f"given up after {times} answers that were not understood, the last: {reason}")
            return
        await self._later([task], unclear=times)
