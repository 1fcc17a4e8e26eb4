"""A poller in virtual time: the real code between a store and a provider in memory, so that an hour takes seconds."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metriq_gym.jobs import Task, TaskState
from metriq_gym.jobs.documents import DueTask
from metriq_gym.providers.provider import Finished, Overview, Progress, Waiting
from metriq_gym.store.mongo import EPOCH
from services.poller.remote import RemoteTasks

LEASE_SECONDS = 30.0
CALL_SECONDS = 0.05
ROW_SECONDS = 30e-6
"""What a row adds to the time of a list: 350 bytes, made, sent and read."""
CONCURRENCY = 8


@dataclass
class World:
    """The time, the tasks' ends, and what was asked."""

    seconds: float = 0.0
    details: int = 0
    lists: int = 0
    ends_at: dict[str, float] = field(default_factory=dict)
    seen_at: dict[str, float] = field(default_factory=dict)

    def now(self) -> float:
        return self.seconds


class Provider:
    """Answers in the time that it would take."""

    name = "cloud"
    decoder = None

    def __init__(self, world: World) -> None:
        self._world = world

    async def overview(self) -> Overview:
        world = self._world
        world.lists += 1
        asked_at = world.seconds
        world.seconds += CALL_SECONDS + ROW_SECONDS * len(world.ends_at)
        ended = frozenset(name for name, ends_at in world.ends_at.items() if ends_at <= asked_at)
        return Overview(frozenset(world.ends_at.keys() - ended), ended)

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        world, said = self._world, dict[str, Progress]()
        for number, name in enumerate(shots):
            if not number % CONCURRENCY:
                world.seconds += CALL_SECONDS
            world.details += 1
            said[name] = Finished({}, None) if world.ends_at[name] <= world.seconds else Waiting()
        return said


class Tasks:
    """The work list, with the store's rules for when a task is due."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._due: list[tuple[float, str]] = [(0.0, name) for name in world.ends_at]
        self._polls = dict.fromkeys(world.ends_at, 0)
        self._tasks = {name: _task(name) for name in world.ends_at}

    async def waiting(self, provider: str, *, limit: int) -> int:
        return min(len(self._tasks), limit)

    async def make_due(self, provider: str, ids: frozenset[str]) -> None:
        for name in ids & self._tasks.keys():
            heapq.heappush(self._due, (self._world.seconds, name))

    async def due(self, provider: str, *, limit: int) -> list[DueTask]:
        found: dict[str, DueTask] = {}
        while self._due and self._due[0][0] <= self._world.seconds and len(found) < limit:
            _, name = heapq.heappop(self._due)
            if name in self._tasks:
                found[name] = DueTask(name, name, self._polls[name], EPOCH)
        return list(found.values())

    async def claim_of(self, provider: str, due: Sequence[DueTask], *, limit: int, **more: Any) -> list[Task]:
        for task in due[limit:]:
            heapq.heappush(self._due, (self._world.seconds, task.id))
        return [self._tasks[task.id] for task in due[:limit]]

    async def pass_over(self, provider: str, due: Sequence[DueTask], **how: Any) -> None:
        await self.postpone([self._tasks[task.id] for task in due], **how)

    async def postpone(
        self, tasks: Sequence[Task], *, first_seconds: float, growth: float, max_seconds: float, unclear: int = 0
    ) -> None:
        for task in tasks:
            interval = min(first_seconds * growth ** min(self._polls[task.id], 100), max_seconds)
            self._polls[task.id] += 1
            heapq.heappush(self._due, (self._world.seconds + interval * self._chance.uniform(0.75, 1.25), task.id))

    async def hand_back_all(self, tasks: Sequence[Task], seconds: float = 0) -> None:
        for task in tasks:
            heapq.heappush(self._due, (self._world.seconds + seconds, task.id))

    async def circuits(self, tasks: Sequence[Task]) -> dict[str, bytes]:
        return {task.id: b"" for task in tasks}

    async def complete_all(self, results: Sequence[tuple[Task, bytes, float | None]]) -> int:
        for task, _, _ in results:
            del self._tasks[task.id]
            self._world.seen_at[task.id] = self._world.seconds
        return len(results)


class _Store:
    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks


class _Pool:
    async def run(self, function: Any, decoder: Any, results: Sequence[Any]) -> list[bytes]:
        return [b"counts"] * len(results)


async def simulate(ends_at: Mapping[str, float], hours: float = 1.0) -> World:
    """Poll tasks that end at these seconds with the default settings, and return what happened."""

    async def nothing(*_: Any) -> None:
        """There are no jobs here."""

    world = World(ends_at=dict(ends_at))
    poller = RemoteTasks(
        Provider(world),  # type: ignore[arg-type]
        _Store(Tasks(world, random.Random(1))),  # type: ignore[arg-type]
        _Pool(),  # type: ignore[arg-type]
        "me",
        settle=nothing,
        give_up=nothing,
        lease_seconds=LEASE_SECONDS,
        first_seconds=1.0,
        max_seconds=60.0,
        now=world.now,
    )
    while world.seconds < 3600 * hours:
        if not await poller.poll():
            world.seconds += 1.0
    return world


def _task(name: str) -> Task:
    return Task.model_construct(
        id=name,
        job_id=name,
        provider="cloud",
        device="qpu",
        state=TaskState.SUBMITTED,
        run=0,
        first=0,
        circuit_count=1,
        shots=1,
        seed=0,
        provider_job_id=name,
    )
