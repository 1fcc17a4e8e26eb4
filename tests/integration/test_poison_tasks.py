"""Tasks whose run kills its worker or its poller, or never ends: they fail, say why, and cost no other anything."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.messages import JobDispatched
from metriq_gym.store import Store
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.poison import (
    HARMLESS,
    KILLS_ITS_POLLER,
    KILLS_ITS_WORKER,
    NEVER_ENDS,
    SLOW,
    dispatched,
    polling,
)


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    async with Store.at(mongo_url, mongo_database) as store:
        yield store


async def ended(store: Store, job_id: str) -> Job:
    async with asyncio.timeout(PATIENCE):
        async for job in watch(store, job_id, until=lambda job: job.state is not JobState.DISPATCHED):
            found = job
    return found


async def failed(store: Store, job_id: str) -> str:
    job = await ended(store, job_id)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    return job.failure.reason


async def tasks_once(store: Store, job_id: str, count: int, reached: Callable[[Task], bool]) -> list[Task]:
    """Return a job's tasks once so many of them have come so far."""
    async with asyncio.timeout(PATIENCE), store.tasks._tasks.watch() as changes:
        await changes.try_next()  # from here on it misses none
        tasks = await store.tasks.of_job(job_id)
        while sum(map(reached, tasks)) < count:
            await changes.next()
            tasks = await store.tasks.of_job(job_id)
    return tasks


async def test_a_task_that_kills_its_worker_each_time_fails_with_its_job_and_no_other(store: Store) -> None:
    await dispatched(store, "poison", [KILLS_ITS_WORKER])
    await dispatched(store, "neighbour", [SLOW] * 3 + [HARMLESS] * 10)
    async with polling(store):
        reason = await failed(store, "poison")
        assert reason == "A worker process died at its work, perhaps for want of memory. (3 times)"
        assert (await ended(store, "neighbour")).state is JobState.COMPLETED
    assert {task.deaths for task in await store.tasks.of_job("neighbour")} == {0}


async def test_a_task_that_never_ends_is_ended_and_its_worker_goes_on(store: Store) -> None:
    await dispatched(store, "poison", [NEVER_ENDS])
    await dispatched(store, "neighbour", [HARMLESS] * 5)
    async with polling(store, workers=1, simulation_seconds=15):
        assert await failed(store, "poison") == "not simulated within 15 s (METRIQ_SIMULATION_SECONDS)"
        assert (await ended(store, "neighbour")).state is JobState.COMPLETED


async def test_a_task_that_kills_its_poller_each_time_fails_with_its_job_and_no_other(
    store: Store, mongo_url: str, mongo_database: str
) -> None:
    await dispatched(store, "poison", [KILLS_ITS_POLLER])
    await dispatched(store, "neighbour", [SLOW] * 4)
    deaths = 0
    while True:
        poller = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.poison", mongo_url, mongo_database, "poison"
        )
        async with asyncio.timeout(PATIENCE):
            if await poller.wait() != -signal.SIGKILL:
                break
        deaths += 1
    assert deaths <= 5
    assert (await failed(store, "poison")).startswith("given up: it was begun 5 times")
    async with polling(store) as bus:
        # As the reconciler does: a poller may have been killed after the last task's counts were stored.
        await bus.publish(JobDispatched(job_id="neighbour"))
        assert (await ended(store, "neighbour")).state is JobState.COMPLETED
    # From the third time on it was run alone.
    assert max(task.begun for task in await store.tasks.of_job("neighbour")) < 5


async def test_two_tasks_to_be_run_alone_are_run_one_after_the_other(store: Store) -> None:
    await dispatched(store, "a", [SLOW, SLOW, HARMLESS, HARMLESS])
    for _ in range(2):
        await store.tasks.claim("local", owner="gone", limit=4, lease_seconds=0.001)
        await asyncio.sleep(0.05)
    async with polling(store):
        assert (await ended(store, "a")).state is JobState.COMPLETED


async def test_what_was_claimed_early_is_left_to_others_when_it_waits_too_long(store: Store) -> None:
    await dispatched(store, "short", [HARMLESS] * 40)
    async with polling(store, workers=1, grace=0):
        await ended(store, "short")
        await dispatched(store, "long", [NEVER_ENDS] + [HARMLESS] * 3)
        await tasks_once(store, "long", 4, lambda task: task.lease is not None)
        async with polling(store, workers=1):
            found = await tasks_once(store, "long", 3, lambda task: task.state is TaskState.COMPLETED)
    long, *others = sorted(found, key=lambda task: task.first)
    assert long.state is TaskState.SUBMITTED
    assert {(task.state, task.begun) for task in others} == {(TaskState.COMPLETED, 1)}


async def test_tasks_to_be_run_alone_are_so_among_short_ones_that_are_claimed_early(store: Store) -> None:
    await dispatched(store, "suspect", [HARMLESS] * 4)
    for _ in range(2):
        await store.tasks.claim("local", owner="gone", limit=4, lease_seconds=0.001)
        await asyncio.sleep(0.05)
    await dispatched(store, "short", [HARMLESS] * 60)
    async with polling(store, workers=1):
        assert [(await ended(store, job_id)).state for job_id in ("suspect", "short")] == [JobState.COMPLETED] * 2
    begun = {job_id: {task.begun for task in await store.tasks.of_job(job_id)} for job_id in ("suspect", "short")}
    assert begun == {"suspect": {3}, "short": {1}}
