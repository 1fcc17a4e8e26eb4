"""A job that failed goes on where its end found it: what its provider has is never submitted again."""

from __future__ import annotations

from typing import Any

import pytest

from metriq_gym.errors import IllegalTransition, LeaseLost
from metriq_gym.jobs import Failure, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Failed
from metriq_gym.store import Store
from metriq_gym.testing import memory_store

FAILED = Failed(failure=Failure(outcome="error", reason="no credit", source="dispatch"))


def tasks(count: int) -> list[Task]:
    fields: dict[str, Any] = {
        "job_id": "j",
        "provider": "cloud",
        "device": "d",
        "run": 0,
        "circuit_count": 1,
        "seed": 0,
    }
    return [
        Task(id=f"j:{n}", state=TaskState.STORED, first=n, shots=10, circuits=b"q", plan=1, **fields)
        for n in range(count)
    ]


async def failed(store: Store, *, for_good: bool = False) -> list[Task]:
    """A job with a task the provider has, two that it may have, and one that it has not; then its end."""
    await store.jobs.accept("j", Accepted(provider="cloud"), owner="first", lease_seconds=60)
    await store.tasks.insert(tasks(4))
    taken = await store.tasks.take_up("j", 1)
    await store.tasks.submitted(await store.tasks.intend(taken[0]), "id-0")
    await store.tasks.intend(taken[1])
    await store.tasks.doubt(await store.tasks.intend(taken[2]), "two may be it", [{"id": "x"}])
    await store.jobs.move("j", FAILED, service="dispatcher")
    await store.tasks.cancel("j", for_good=for_good)
    return taken


async def resumed(store: Store) -> int:
    """Resume the job and take it up; return the fencing token of the dispatcher that did."""
    token = await store.tasks.newest_token("j")
    await store.jobs.resume("j", "resumed", token=token, deadline_seconds=60, resumed=0)
    job = await store.jobs.accept("j", Accepted(), owner="second", lease_seconds=60)
    assert job.lease is not None
    return job.lease.token


async def test_each_task_goes_on_where_the_end_found_it() -> None:
    async with memory_store() as store:
        await failed(store)
        token = await resumed(store)
        assert token > 1
        assert await store.tasks.reopen("j", token) == 0
        states = [task.state for task in await store.tasks.of_job("j")]
        assert states == [TaskState.SUBMITTED, TaskState.SUBMITTING, TaskState.SUBMITTING, TaskState.STORED]
        open_tasks = await store.tasks.take_up("j", token)
        assert [task.id for task in open_tasks] == ["j:1", "j:2", "j:3"]
        assert [task.intended_at is not None for task in open_tasks] == [True, True, False]
        assert [task.id for task in await store.tasks.due("cloud", limit=10)] == ["j:0"]


async def test_a_dispatcher_from_before_the_end_can_submit_nothing_of_a_resumed_job() -> None:
    async with memory_store() as store:
        taken = await failed(store)
        await store.tasks.reopen("j", await resumed(store))
        with pytest.raises(LeaseLost):
            await store.tasks.intend(taken[3])
        assert await store.tasks.take_up("j", 1) == []


async def test_only_a_job_that_failed_is_resumed_and_only_once_for_the_same_request() -> None:
    async with memory_store() as store:
        await failed(store)
        job = await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60, resumed=0)
        assert (job.state, job.resumed, job.failure) == (JobState.DISPATCHING, 1, None)
        with pytest.raises(IllegalTransition):
            await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60)
        await store.jobs.move("j", FAILED, service="dispatcher")
        with pytest.raises(IllegalTransition):
            await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60, resumed=0)
        assert (await store.jobs.get("j")).state is JobState.FAILED


async def test_tasks_whose_circuits_are_gone_are_counted_and_stay_as_they_are() -> None:
    async with memory_store() as store:
        await failed(store, for_good=True)
        assert await store.tasks.reopen("j", await resumed(store)) == 4
        assert {task.state for task in await store.tasks.of_job("j")} == {TaskState.CANCELLED}


async def test_what_is_parked_is_said_until_it_is_released() -> None:
    async with memory_store() as store:
        await store.parked.park("tyxonq", "HTTP 401", 60)
        (first,) = await store.parked.all()
        await store.parked.park("tyxonq", "HTTP 403", 60)
        assert [(each.reason, each.since) for each in await store.parked.all()] == [("HTTP 403", first.since)]
        await store.parked.park("other", "HTTP 401", -1)  # not said again in time
        assert [each.provider for each in await store.parked.all()] == ["tyxonq"]
        await store.parked.release("tyxonq")
        assert await store.parked.all() == []
