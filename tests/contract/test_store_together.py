"""Calls of concurrent handlers are made together, and each caller hears of its own part only."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DocumentTooLarge

from metriq_gym.errors import IllegalTransition, LeaseLost, Unavailable
from metriq_gym.jobs import ExportState, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Dispatched, Planned, Scored
from metriq_gym.store import Store
from metriq_gym.store.together import MOST, Change, Together, Writer
from metriq_gym.testing.memory import MemoryClient
from tests.support.jobs import to

NAMES = [f"job-{number}" for number in range(5)]
FIELDS = Accepted.model_validate({"provider": "local", "device": "d", "config": {"n": 1}})


class Counted:
    """A collection whose calls are counted, and that does as `instead` says in place of some."""

    def __init__(self, collection: Any, **instead: Any) -> None:
        self._collection = collection
        self._instead = instead
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return self._instead.get(name) or getattr(self._collection, name)


async def accept(store: Store, *names: str) -> list[Job]:
    calls = (store.jobs.accept(name, FIELDS, owner=f"by {name}", lease_seconds=60) for name in names)
    return await asyncio.gather(*calls)


async def dispatch(store: Store, *names: str) -> list[Job]:
    await accept(store, *names)
    calls = (store.jobs.move(name, to(JobState.DISPATCHED), service="test") for name in names)
    return await asyncio.gather(*calls)


def task(name: str) -> Task:
    fields = {"provider": "local", "device": "d", "run": 0, "first": 0, "circuit_count": 1, "shots": 1, "seed": 1}
    return Task.model_validate({"_id": f"{name}:0", "job_id": name, "state": TaskState.STORED, **fields})


async def test_jobs_are_accepted_together(store: Store) -> None:
    jobs = await accept(store, *NAMES)
    assert [(job.id, job.lease and job.lease.owner) for job in jobs] == [(name, f"by {name}") for name in NAMES]


async def test_of_two_that_accept_a_job_at_once_one_holds_it(store: Store) -> None:
    calls = (store.jobs.accept("j", FIELDS, owner=owner, lease_seconds=60) for owner in ("first", "second"))
    jobs = await asyncio.gather(*calls)
    assert len({job.lease and job.lease.owner for job in jobs}) == 1


async def test_each_caller_gets_its_own_job(store: Store) -> None:
    await dispatch(store, *NAMES)
    jobs = await asyncio.gather(*map(store.jobs.get, NAMES))
    assert [(job.id, job.state) for job in jobs] == [(name, JobState.DISPATCHED) for name in NAMES]


async def test_of_moves_at_once_each_caller_learns_whether_its_own_was_made(store: Store) -> None:
    await accept(store, *NAMES)
    twice = [*NAMES, *NAMES]
    moves = (store.jobs.move(name, to(JobState.DISPATCHED), service="test") for name in twice)
    found = await asyncio.gather(*moves, return_exceptions=True)
    assert sum(isinstance(each, Job) for each in found) == len(NAMES)
    assert sum(isinstance(each, IllegalTransition) for each in found) == len(NAMES)
    for job in await asyncio.gather(*map(store.jobs.get, NAMES)):
        assert [each.state for each in job.history] == [JobState.DISPATCHING, JobState.DISPATCHED]


async def test_a_stale_token_is_refused_among_good_ones(store: Store) -> None:
    await accept(store, *NAMES)
    calls = (
        store.jobs.move(name, to(JobState.DISPATCHED), service="test", token=2 if name == NAMES[0] else 1)
        for name in NAMES
    )
    late, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(late, LeaseLost)
    assert {each.state for each in others if isinstance(each, Job)} == {JobState.DISPATCHED}
    assert (await store.jobs.get(NAMES[0])).state is JobState.DISPATCHING


async def test_a_job_as_it_was_seen_is_moved(store: Store) -> None:
    seen = await dispatch(store, *NAMES)
    calls = (store.jobs.move(job.id, to(JobState.COMPLETED), service="test", seen=job) for job in seen)
    assert {job.state for job in await asyncio.gather(*calls)} == {JobState.COMPLETED}


async def test_a_job_that_was_changed_since_it_was_seen_is_moved_if_it_can_be_read(store: Store, database: Any) -> None:
    (readable, odd) = await dispatch(store, "readable", "odd")
    database.jobs.update_one({"_id": readable.id}, {"$set": {"updated_at": readable.created_at.replace(year=2000)}})
    database.jobs.update_one({"_id": odd.id}, {"$set": {"updated_at": "yesterday"}})
    moved = await store.jobs.move("readable", to(JobState.COMPLETED), service="test", seen=readable)
    assert moved.state is JobState.COMPLETED
    with pytest.raises(Exception, match="odd"):
        await store.jobs.move("odd", to(JobState.COMPLETED), service="test", seen=odd)
    assert next(each for each in database.jobs.find() if each["_id"] == "odd")["state"] == JobState.DISPATCHED


async def test_one_that_cannot_be_stored_fails_alone(store: Store) -> None:
    seen = await dispatch(store, *NAMES)
    for job in seen:
        await store.jobs.move(job.id, to(JobState.COMPLETED), service="test")
    results = {name: {"text": "x" * (17 * 2**20 if name == NAMES[2] else 1)} for name in NAMES}
    calls = (store.jobs.move(name, Scored(result=result), service="test") for name, result in results.items())
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, Job) for each in found] == [True, True, False, True, True]
    assert (await store.jobs.get(NAMES[2])).state is JobState.COMPLETED


async def test_tasks_of_jobs_go_through_together(store: Store) -> None:
    await dispatch(store, *NAMES)
    await asyncio.gather(*(store.tasks.replace_all(name, [task(name)]) for name in NAMES))
    await asyncio.gather(*map(store.tasks.release, NAMES))
    states = await asyncio.gather(*map(store.tasks.states, [*NAMES, "none"]))
    assert states == [{TaskState.SUBMITTED: 1}] * len(NAMES) + [{}]
    claimed = await store.tasks.claim("local", owner="me", limit=10, lease_seconds=60)
    late = claimed[0].model_copy(
        update={"lease": claimed[0].lease and claimed[0].lease.model_copy(update={"token": 7})}
    )
    calls = (store.tasks.complete(each, each.id.encode(), 1.0) for each in [late, *claimed])
    refused, *stored = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(refused, LeaseLost)
    assert stored == [None] * len(NAMES)
    found = await asyncio.gather(*map(store.tasks.of_job, NAMES))
    assert [[each.counts for each in tasks] for tasks in found] == [[f"{name}:0".encode()] for name in NAMES]


async def test_tasks_that_exist_stay_while_others_are_inserted(store: Store) -> None:
    await store.tasks.insert([task("a").model_copy(update={"shots": 7})])
    await asyncio.gather(*(store.tasks.insert([task(name)]) for name in ("a", "b")))
    assert [(await store.tasks.of_job(name))[0].shots for name in ("a", "b")] == [7, 1]


async def test_tasks_that_cannot_be_stored_fail_alone(store: Store) -> None:
    large = task("large").model_copy(update={"circuits": b"x" * (17 * 2**20)})
    inserts = (store.tasks.insert([each]) for each in (task("a"), large, task("b")))
    found = await asyncio.gather(*inserts, return_exceptions=True)
    assert [each is None for each in found] == [True, False, True]
    assert [len(await store.tasks.of_job(name)) for name in ("a", "large", "b")] == [1, 0, 1]


async def test_exports_are_settled_together(store: Store) -> None:
    for job in await dispatch(store, *NAMES):
        await store.jobs.move(job.id, to(JobState.COMPLETED), service="test")
        await store.jobs.move(job.id, Scored(result={}), service="test")
    calls = (store.exports.settle([name], "json", ExportState.DONE, location=name) for name in [*NAMES, "none"])
    *jobs, none = await asyncio.gather(*calls)
    assert none is None
    assert [(job and job.state, job and job.exports["json"].location) for job in jobs] == [
        (JobState.EXPORTED, name) for name in NAMES
    ]


async def test_what_is_asked_for_at_once_goes_as_one_write_and_one_read() -> None:
    collection = Counted(MemoryClient()["m"].jobs)
    writer = Writer(collection)
    await asyncio.gather(
        *(writer.find_one_and_update(Change(name, {}, [{"$set": {"n": 1}}], created=True)) for name in NAMES)
    )
    assert collection.calls == {"bulk_write": 1, "find": 1}


@pytest.mark.parametrize(("made", "calls"), [(5, {"bulk_write": 1}), (4, {"bulk_write": 1, "find": 1})])
async def test_where_only_whether_is_wanted_nothing_is_read_if_all_were_made(made: int, calls: dict[str, int]) -> None:
    stored = MemoryClient()["m"].jobs
    await stored.insert_many([{"_id": name, "n": 0, "more": 1} for name in NAMES], ordered=False)
    collection = Counted(stored)
    writer = Writer(collection, {"n": 1})
    wanted = {name: {"n": 0 if number < made else 9} for number, name in enumerate(NAMES)}
    changes = (
        Change(name, query, [{"$set": {"n": 1}}], made=lambda found: found["n"] == 1) for name, query in wanted.items()
    )
    found = await asyncio.gather(*map(writer.find_one_and_update, changes))
    assert found == [*({"_id": name} for name in NAMES[:made]), *[None] * (5 - made)]
    assert collection.calls == calls


async def test_a_lone_change_costs_no_more_than_before() -> None:
    collection = Counted(MemoryClient()["m"].jobs)
    found = await Writer(collection).find_one_and_update(Change("j", {}, [{"$set": {"n": 1}}], created=True))
    assert found == {"_id": "j", "n": 1}
    assert collection.calls == {"find_one_and_update": 1}


async def test_a_change_counts_as_made_whatever_has_become_of_the_document_since() -> None:
    stored = MemoryClient()["m"].jobs
    await stored.insert_many([{"_id": name, "n": 0, "by": []} for name in NAMES], ordered=False)

    async def written_and_changed(writes: Any, *, ordered: bool) -> None:
        await stored.bulk_write(writes, ordered=ordered)
        await stored.update_many({}, [{"$set": {"n": 2}}])

    writer = Writer(Counted(stored, bulk_write=written_and_changed))
    change = [{"$set": {"n": 1, "by": ["me"]}}]
    wanted = {name: {"n": 0} if name != NAMES[1] else {"n": 9} for name in NAMES}
    calls = (Change(name, query, change, made=lambda found: "me" in found["by"]) for name, query in wanted.items())
    found = await asyncio.gather(*map(writer.find_one_and_update, calls))
    assert [each and each["n"] for each in found] == [2, None, 2, 2, 2]


async def test_a_store_that_is_away_is_away_for_each_caller(store: Store) -> None:
    await accept(store, *NAMES)

    async def away(*_: object, **__: object) -> None:
        raise AutoReconnect("away")

    store.jobs._writer._collection = Counted(store.jobs._jobs, bulk_write=away)
    moves = (store.jobs.move(name, to(JobState.DISPATCHED), service="test") for name in NAMES)
    found = await asyncio.gather(*moves, return_exceptions=True)
    assert {type(each) for each in found} == {Unavailable}
    assert len({id(each) for each in found}) == len(NAMES)


async def test_changes_that_were_made_before_a_fault_are_not_made_again() -> None:
    stored = MemoryClient()["m"].jobs
    await stored.insert_many([{"_id": name, "n": 0} for name in NAMES], ordered=False)

    async def some(writes: Any, *, ordered: bool) -> None:
        await stored.bulk_write(writes[:2], ordered=ordered)
        raise DocumentTooLarge("the third")

    writer = Writer(Counted(stored, bulk_write=some))
    more = [{"$set": {"n": {"$add": ["$n", 1]}}}]
    calls = (Change(name, {"n": 0}, more, made=lambda found: found["n"] == 1) for name in NAMES)
    found = await asyncio.gather(*map(writer.find_one_and_update, calls))
    assert [each and each["n"] for each in found] == [1] * len(NAMES)


async def test_calls_that_come_while_one_is_under_way_go_together_after_it() -> None:
    batches: list[list[int]] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def one(number: int) -> int:
        batches.append([number])
        begun.set()
        await go_on.wait()
        return number

    async def many(numbers: Any) -> list[int]:
        batches.append([*numbers])
        return [*numbers]

    together = Together(one, many)
    first = asyncio.create_task(together(0))
    await begun.wait()
    later = [asyncio.create_task(together(number)) for number in range(1, MOST + 3)]
    left = asyncio.create_task(together(-1))
    await asyncio.sleep(0)
    left.cancel()
    go_on.set()
    assert await asyncio.gather(first, *later) == [*range(MOST + 3)]
    assert batches == [[0], [*range(1, MOST + 1)], [MOST + 1, MOST + 2]]


async def test_planned_fields_come_with_the_move(store: Store) -> None:
    await accept(store, *NAMES)
    plans = {name: Dispatched(plan=Planned(task_count=number)) for number, name in enumerate(NAMES)}
    calls = (store.jobs.move(name, change, service="test", token=1) for name, change in plans.items())
    assert [job.task_count for job in await asyncio.gather(*calls)] == [*range(len(NAMES))]
