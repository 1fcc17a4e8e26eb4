"""What every caller may rely on from the store, on a server and in memory."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

from metriq_gym.errors import IllegalTransition, LeaseLost, NotFound
from metriq_gym.jobs import Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Dispatched, Planned, Rejected
from metriq_gym.jobs.states import MOVES
from metriq_gym.packing import pack_counts
from metriq_gym.store import Store
from metriq_gym.store.tasks import OLDEST_EVERY
from tests.support.jobs import failed_job, to

FIELDS = {"provider": "local", "device": "aer_simulator", "config": {"benchmark_name": "WIT", "shots": 10}}


async def accepted(store: Store, job_id: str = "j", *, owner: str = "me", lease_seconds: float = 60) -> Job:
    return await store.jobs.accept(job_id, Accepted.model_validate(FIELDS), owner=owner, lease_seconds=lease_seconds)


async def moved(store: Store, job_id: str, *states: JobState) -> Job:
    for state in states:
        await store.jobs.move(job_id, to(state), service="test")
    return await store.jobs.get(job_id)


def task(n: int, job_id: str = "j", provider: str = "local", *, cancellable: bool = False) -> Task:
    return Task.model_validate(
        {
            "_id": f"{job_id}:{n}",
            "job_id": job_id,
            "provider": provider,
            "device": "aer_simulator",
            "state": TaskState.STORED,
            "run": 0,
            "first": n,
            "circuit_count": 1,
            "shots": 10,
            "seed": n,
            "circuits": b"qpy",
            "cancellable": cancellable,
        }
    )


async def released(store: Store, *ns: int) -> None:
    await store.tasks.insert([task(n) for n in ns])
    await store.tasks.release("j")


async def claim(store: Store, *, limit: int = 10, lease_seconds: float = 60) -> list[Task]:
    return await store.tasks.claim("local", owner="me", limit=limit, lease_seconds=lease_seconds)


class TestAccept:
    async def test_a_new_job_is_dispatching_and_held(self, store: Store) -> None:
        job = await accepted(store)
        assert job.state is JobState.DISPATCHING
        assert job.lease is not None
        assert (job.lease.owner, job.lease.token) == ("me", 1)
        assert [entry.state for entry in job.history] == [JobState.DISPATCHING]
        assert await store.jobs.get("j") == job

    async def test_a_second_dispatcher_does_not_get_a_held_job(self, store: Store) -> None:
        first = await accepted(store)
        other = Accepted.model_validate({**FIELDS, "device": "other"})
        second = await store.jobs.accept("j", other, owner="you", lease_seconds=60)
        assert second == first

    async def test_an_expired_lease_is_taken_over_with_a_higher_token(self, store: Store) -> None:
        await accepted(store, lease_seconds=0)
        second = await accepted(store, owner="you")
        assert second.lease is not None
        assert (second.lease.owner, second.lease.token) == ("you", 2)

    async def test_twenty_dispatchers_at_once_give_one_holder(self, store: Store) -> None:
        jobs = await asyncio.gather(*(accepted(store, owner=f"d{n}") for n in range(20)))
        assert len({job.lease.owner for job in jobs if job.lease}) == 1
        assert len(await store.catalogue.find()) == 1

    async def test_a_dispatched_job_is_left_alone(self, store: Store) -> None:
        await accepted(store, lease_seconds=0)
        await moved(store, "j", JobState.DISPATCHED)
        again = await accepted(store, owner="you")
        assert (again.state, again.lease) == (JobState.DISPATCHED, None)

    async def test_a_stale_dispatcher_can_neither_renew_nor_move(self, store: Store) -> None:
        await accepted(store, lease_seconds=0)
        await accepted(store, owner="you")
        with pytest.raises(LeaseLost):
            await store.jobs.renew("j", 1, 60)
        with pytest.raises(LeaseLost):
            await store.jobs.move("j", to(JobState.DISPATCHED), service="test", token=1)
        await store.jobs.renew("j", 2, 60)

    async def test_configurations_may_hold_any_keys_and_values(self, store: Store) -> None:
        config: dict[str, Any] = {
            "$where": "$state",
            "a.b": {"$set": ["$$NOW", "$x"]},
            "": None,
            "é☃": 2**62,
            "nested": [[[]]],
        }
        await store.jobs.accept("j", Accepted.model_validate({"config": config}), owner="me", lease_seconds=60)
        await store.jobs.move("j", Dispatched(plan=Planned(task_count=1, data=config)), service="test", cause="$state")
        job = await store.jobs.get("j")
        assert job.config == config
        assert job.data == config
        assert job.history[-1].cause == "$state"

    async def test_a_rejection_never_replaces_a_job(self, store: Store) -> None:
        rejected = Rejected(failure=Failure(outcome="rejected", reason="bad", source="dispatch"))
        assert (await store.jobs.reject("r", rejected)).state is JobState.REJECTED
        await accepted(store)
        assert (await store.jobs.reject("j", rejected)).state is JobState.DISPATCHING


class TestSuite:
    async def test_a_suites_jobs_come_in_the_order_of_their_ids_and_no_others(self, store: Store) -> None:
        for job_id, suite_id in [("s.002-b", "s"), ("s.001-a", "s"), ("other", "t"), ("alone", None)]:
            suite = Accepted.model_validate({**FIELDS, "suite_id": suite_id})
            await store.jobs.accept(job_id, suite, owner="me", lease_seconds=60)
        failure = {"outcome": "rejected", "reason": "bad", "source": "dispatch"}
        await store.jobs.reject("s.003-c", Rejected.model_validate({"suite_id": "s", "failure": failure}))
        jobs = await store.jobs.suite("s")
        assert [job.id for job in jobs] == ["s.001-a", "s.002-b", "s.003-c"]
        assert [job.state for job in jobs] == [JobState.DISPATCHING, JobState.DISPATCHING, JobState.REJECTED]

    async def test_a_suite_nobody_has_seen_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound, match="no suite s"):
            await store.jobs.suite("s")


class TestMove:
    async def test_every_legal_path_ends_and_every_other_move_is_refused(self, store: Store) -> None:
        path = {
            JobState.DISPATCHING: list[JobState](),
            JobState.DISPATCHED: [JobState.DISPATCHED],
            JobState.COMPLETED: [JobState.DISPATCHED, JobState.COMPLETED],
            JobState.SCORED: [JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED],
            JobState.EXPORTED: [JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED, JobState.EXPORTED],
            JobState.FAILED: [JobState.FAILED],
            JobState.CANCELLED: [JobState.DISPATCHED, JobState.CANCELLED],
        }
        for start, steps in path.items():
            for target in JobState:
                job_id = f"{start}-{target}"
                await accepted(store, job_id)
                await moved(store, job_id, *steps)
                if target in MOVES[start]:
                    assert (await moved(store, job_id, target)).state is target
                else:
                    with pytest.raises(IllegalTransition, match=f"from {start} to {target}"):
                        await moved(store, job_id, target)
                    assert (await store.jobs.get(job_id)).state is start

    async def test_of_many_concurrent_moves_one_wins(self, store: Store) -> None:
        await accepted(store)
        outcomes = await asyncio.gather(
            *(store.jobs.move("j", to(JobState.DISPATCHED), service=f"s{n}") for n in range(10)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Job) for outcome in outcomes) == 1
        assert len((await store.jobs.get("j")).history) == 2

    async def test_an_unknown_job_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await moved(store, "nobody", JobState.FAILED)


class TestTasks:
    async def test_a_stored_task_is_not_due_until_released(self, store: Store) -> None:
        await store.tasks.insert([task(0)])
        assert await claim(store) == []
        await store.tasks.release("j")
        (claimed,) = await claim(store)
        assert (claimed.id, claimed.circuits, claimed.state) == ("j:0", b"qpy", TaskState.SUBMITTED)

    async def test_inserting_and_releasing_again_changes_nothing(self, store: Store) -> None:
        await released(store, 0, 1)
        (first, second) = await claim(store)
        await store.tasks.complete(first, pack_counts([{"0": 10}]), 0.5)
        await released(store, 0, 1)
        assert await claim(store) == []
        await store.tasks.complete(second, pack_counts([{"1": 10}]), 0.5)

    async def test_a_plan_that_was_never_submitted_is_replaced(self, store: Store) -> None:
        await store.tasks.insert([task(n) for n in range(5)])
        await store.tasks.replace_all("j", [task(0)])
        assert [each.id for each in await store.tasks.of_job("j")] == ["j:0"]

    async def test_a_dispatcher_that_lost_its_lease_does_not_touch_the_plan_of_the_next(self, store: Store) -> None:
        first, second = ([task(n).model_copy(update={"plan": plan, "seed": plan}) for n in range(2)] for plan in (1, 2))
        await store.tasks.replace_all("j", first)
        await store.tasks.replace_all("j", second)
        await store.tasks.replace_all("j", first)
        assert [each.plan for each in await store.tasks.of_job("j")] == [2, 2]

    async def test_deaths_of_workers_are_counted_and_other_ends_of_a_lease_are_not(self, store: Store) -> None:
        await released(store, 0)
        for died in (False, True, False, True):
            (held,) = await claim(store)
            await store.tasks.hand_back(held, died=died)
        assert (await claim(store))[0].deaths == 2

    async def test_a_task_that_is_handed_back_is_due_where_it_was_unless_its_worker_died(self, store: Store) -> None:
        await released(store, 0)
        (seen,) = await store.tasks.due("local", limit=9)
        for died, same in ((False, True), (True, False)):
            (held,) = await claim(store)
            await store.tasks.renew(held, 60)
            await asyncio.sleep(0.002)  # the server's clock counts milliseconds
            await store.tasks.hand_back(held, died=died)
            (again,) = await store.tasks.due("local", limit=9)
            assert (again.next_poll_at == seen.next_poll_at) is same

    async def test_runs_of_which_nothing_was_heard_again_are_counted(self, store: Store) -> None:
        await released(store, 0)
        for begun in (1, 2, 3):
            (held,) = await claim(store, lease_seconds=0.02)
            assert held.begun == begun
            await asyncio.sleep(0.05)
        await store.tasks.hand_back(held)
        assert (await claim(store))[0].begun == 3

    async def test_concurrent_pollers_never_hold_the_same_task(self, store: Store) -> None:
        await released(store, *range(60))
        batches = await asyncio.gather(
            *(store.tasks.claim("local", owner=f"p{n}", limit=5, lease_seconds=60) for n in range(8) for _ in range(3))
        )
        ids = [each.id for batch in batches for each in batch]
        assert len(ids) == len(set(ids))
        rest = await claim(store, limit=60)
        assert len(ids) + len(rest) == 60

    async def test_due_tasks_of_lower_lanes_go_first_but_every_so_often_the_oldest(self, store: Store) -> None:
        await store.tasks.insert([task(n, f"j{n}").model_copy(update={"lane": 3 - n}) for n in range(4)])
        for n in range(4):  # the highest lane is due for longest
            await store.tasks.release(f"j{n}")
            await asyncio.sleep(0.002)
        looks = [[each.lane for each in await store.tasks.due("local", limit=4)] for _ in range(OLDEST_EVERY)]
        assert looks == [[0, 1, 2, 3]] * (OLDEST_EVERY - 1) + [[3, 2, 1, 0]]

    async def test_a_task_of_a_lower_lane_is_claimed_before_those_that_came_earlier(self, store: Store) -> None:
        await store.tasks.insert([task(n).model_copy(update={"lane": 3}) for n in range(20)])
        await store.tasks.release("j")
        claimed = [(await claim(store, limit=1))[0].job_id]  # which saw more
        await store.tasks.insert([task(0, "one")])
        await store.tasks.release("one")
        claimed += [(await claim(store, limit=1))[0].job_id for _ in range(20)]
        assert claimed.index("one") == 1
        assert sorted(claimed) == ["j"] * 20 + ["one"]

    async def test_due_tasks_in_lanes_are_counted_up_to_a_limit(self, store: Store) -> None:
        await store.tasks.insert([task(n).model_copy(update={"lane": 1 + n % 3}) for n in range(6)])
        assert await store.tasks.due_in_lanes("local", limit=10) == 0  # none is released
        await store.tasks.release("j")
        await store.tasks.insert([task(n, "in-no-lane") for n in range(3)])
        await store.tasks.release("in-no-lane")
        assert await store.tasks.due_in_lanes("local", limit=10) == 6
        assert await store.tasks.due_in_lanes("local", limit=4) == 4
        assert await store.tasks.due_in_lanes("other", limit=10) == 0
        claimed = await claim(store, limit=5)
        in_lanes = sum(each.job_id == "j" for each in claimed)
        assert await store.tasks.due_in_lanes("local", limit=10) == 6 - in_lanes

    async def test_of_due_tasks_only_those_are_claimed_that_nobody_else_has(self, store: Store) -> None:
        await released(store, *range(4))
        due = await store.tasks.due("local", limit=10)
        assert [each.id for each in due] == [f"j:{n}" for n in range(4)]
        (other,) = await claim(store, limit=1)
        ours = await store.tasks.claim_of("local", due, owner="you", limit=10, lease_seconds=60)
        assert {each.id for each in ours} == {each.id for each in due} - {other.id}
        assert {each.circuits for each in ours} == {b""}
        await store.tasks.complete(other, b"counts", None)

    async def test_tasks_that_are_passed_over_are_due_later_each_time_unless_somebody_has_them(
        self, store: Store
    ) -> None:
        await released(store, 0, 1)
        due = await store.tasks.due("local", limit=10)
        (held,) = await claim(store, limit=1)
        for polls in range(3):
            await store.tasks.pass_over("local", due, first_seconds=0, growth=2, max_seconds=0)
            (left,) = await store.tasks.due("local", limit=10)
            assert (left.id != held.id, left.polls) == (True, polls + 1)
        await store.tasks.renew(held, 60)  # the lease was not touched
        await store.tasks.pass_over("local", due, first_seconds=60, growth=2, max_seconds=60)
        assert await store.tasks.due("local", limit=10) == []

    async def test_claims_are_for_one_provider(self, store: Store) -> None:
        await store.tasks.insert([task(0), task(1, provider="tyxonq")])
        await store.tasks.release("j")
        assert [each.id for each in await claim(store)] == ["j:0"]

    async def test_after_the_lease_another_may_claim_and_the_first_is_refused(self, store: Store) -> None:
        await released(store, 0)
        (stale,) = await claim(store, lease_seconds=0)
        (fresh,) = await claim(store)
        assert stale.lease is not None
        assert fresh.lease is not None
        assert fresh.lease.token == stale.lease.token + 1
        for write in (
            store.tasks.complete(stale, pack_counts([{"0": 10}]), 1),
            store.tasks.fail(stale, "late"),
            store.tasks.renew(stale, 60),
            store.tasks.hand_back(stale),
        ):
            with pytest.raises(LeaseLost):
                await write
        await store.tasks.complete(fresh, pack_counts([{"1": 10}]), 1)
        with pytest.raises(LeaseLost):
            await store.tasks.fail(fresh, "ended tasks never change")
        assert set(await store.tasks.states("j")) == {TaskState.COMPLETED}

    async def test_a_renewed_lease_is_kept_and_a_task_handed_back_is_due(self, store: Store) -> None:
        await released(store, 0)
        (held,) = await claim(store, lease_seconds=0)
        await store.tasks.renew(held, 60)
        assert await claim(store) == []
        await store.tasks.hand_back(held)
        assert len(await claim(store)) == 1

    async def test_ended_tasks_say_how_and_cancelled_ones_are_not_due(self, store: Store) -> None:
        await released(store, 0, 1)
        (failed,) = await claim(store, limit=1)
        await store.tasks.fail(failed, "boom")
        await store.tasks.cancel("j")
        assert await store.tasks.first_error("j") == "boom"
        assert set(await store.tasks.states("j")) == {TaskState.FAILED, TaskState.CANCELLED}
        assert await claim(store) == []


class TestRemoteTasks:
    """What only tasks at a remote provider need."""

    async def test_the_number_of_waiting_tasks_is_counted_up_to_a_limit(self, store: Store) -> None:
        await released(store, *range(7))
        await store.tasks.insert([task(8), task(9, provider="tyxonq")])
        assert await store.tasks.waiting("local", limit=10) == 7
        assert await store.tasks.waiting("local", limit=5) == 5
        (ended, *_) = await claim(store)
        await store.tasks.complete(ended, b"", None)
        assert await store.tasks.waiting("local", limit=10) == 6

    async def test_tasks_are_made_due_by_the_providers_ids(self, store: Store) -> None:
        await store.tasks.insert([task(n) for n in range(3)])
        for number in range(3):
            intended = await store.tasks.intend(task(number))
            await store.tasks.submitted(intended, f"id-{number}")
        await claim(store)
        assert await claim(store) == []
        await store.tasks.make_due("local", {"id-0", "id-2", *(f"theirs-{n}" for n in range(20_000))})
        assert {each.id for each in await claim(store)} == {"j:0", "j:2"}
        await store.tasks.make_due("tyxonq", {"id-1"})
        assert await claim(store) == []

    async def test_what_the_provider_has_of_a_cancelled_job_is_withdrawn_by_one_poller_at_a_time(
        self, store: Store
    ) -> None:
        await store.tasks.insert([task(0, cancellable=True), task(1, cancellable=True), task(2)])
        await store.tasks.submitted(await store.tasks.intend(task(0)), "id-0")
        await store.tasks.submitted(await store.tasks.intend(task(2)), "id-2")
        sent = await store.tasks.intend(task(1))
        assert await store.tasks.claim_withdrawn("local", limit=9, seconds=60) == {}
        await store.tasks.cancel("j")
        assert await store.tasks.claim_withdrawn("tyxonq", limit=9, seconds=60) == {}
        assert await store.tasks.claim_withdrawn("local", limit=9, seconds=0) == {"j:0": "id-0"}
        with pytest.raises(LeaseLost):  # its answer comes after the cancellation
            await store.tasks.submitted(sent, "id-1")
        assert len(await store.tasks.claim_withdrawn("local", limit=1, seconds=60)) == 1
        assert len(await store.tasks.claim_withdrawn("local", limit=9, seconds=60)) == 1
        await store.tasks.withdrawn({"j:0", "j:1"})
        assert await store.tasks.claim_withdrawn("local", limit=9, seconds=0) == {}

    async def test_a_job_that_failed_keeps_what_it_has_at_the_provider(self, store: Store) -> None:
        await store.tasks.insert([task(0, cancellable=True), task(1, cancellable=True)])
        await store.tasks.submitted(await store.tasks.intend(task(0)), "id-0")
        sent = await store.tasks.intend(task(1))
        await store.tasks.cancel("j", for_good=False)
        with pytest.raises(LeaseLost):
            await store.tasks.submitted(sent, "id-1")
        assert await store.tasks.claim_withdrawn("local", limit=9, seconds=0) == {}
        await store.tasks.reopen("j", 7)
        assert {each.provider_job_id for each in await claim(store)} == {"id-0", "id-1"}

    async def test_a_job_with_something_to_withdraw_is_not_deleted(self, store: Store) -> None:
        await store.records.add(failed_job("j"))
        await store.tasks.insert([task(0, cancellable=True)])
        await store.tasks.submitted(await store.tasks.intend(task(0)), "id-0")
        await store.tasks.cancel("j")
        with pytest.raises(IllegalTransition, match="still to be told"):
            await store.records.delete("j")
        await store.tasks.withdrawn(await store.tasks.claim_withdrawn("local", limit=9, seconds=60))
        await store.records.delete("j")

    async def test_handed_back_tasks_are_due_after_a_while_and_only_by_their_holder(self, store: Store) -> None:
        await released(store, 0, 1)
        held = await claim(store)
        await store.tasks.hand_back_all(held, 60)
        assert await claim(store) == []
        await store.tasks.hand_back_all(held)
        assert len(await claim(store)) == 2
        await store.tasks.hand_back_all(held)  # they are in other hands now
        assert await claim(store) == []

    async def test_many_are_completed_at_once_but_for_those_that_others_hold(self, store: Store) -> None:
        await released(store, 0, 1, 2)
        stale = await claim(store, lease_seconds=0)
        fresh = await claim(store, limit=1)
        assert await store.tasks.circuits(stale) == {f"j:{n}": b"qpy" for n in range(3)}
        assert await store.tasks.complete_all([(each, pack_counts([{"0": 10}]), 0.5) for each in stale]) == 2
        (held,) = fresh
        states = {each.id: each.state for each in await store.tasks.of_job("j")}
        assert states.pop(held.id) is TaskState.SUBMITTED
        assert set(states.values()) == {TaskState.COMPLETED}
        assert await store.tasks.circuits(stale) == {held.id: b"qpy"}
        assert await store.tasks.complete_all([]) == 0


class _Finds(monitoring.CommandListener):
    """Remembers the `find` and `aggregate` commands that are sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate"):
            wanted = ("find", "filter", "sort", "projection", "limit", "aggregate", "pipeline", "cursor")
            self.sent.append({key: event.command[key] for key in wanted if key in event.command})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


async def test_claiming_looks_at_due_tasks_only(server_store: Store, mongo_url: str, mongo_database: str) -> None:
    await released(server_store, *range(200))
    await claim(server_store, limit=190)
    finds = _Finds()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[finds]) as client:
        await Store(client, mongo_database).tasks.claim("local", owner="x", limit=20, lease_seconds=60)
        explained = await client[mongo_database].command("explain", finds.sent[0], verbosity="executionStats")
    assert explained["executionStats"]["totalKeysExamined"] <= 11


@pytest.mark.parametrize(
    "query",
    [
        lambda store: store.jobs.suite("s"),
        lambda store: store.upkeep.unmoved(60),
        lambda store: store.upkeep.unrecorded(60),
        lambda store: store.upkeep.overdue(),
        lambda store: store.catalogue.find(limit=5),
        lambda store: store.catalogue.held(),
        lambda store: store.catalogue.job_ids("j", limit=5),
        lambda store: store.catalogue.suite_ids("s", limit=5),
        lambda store: store.catalogue.due(),
        lambda store: store.catalogue.undecided_counts(),
        lambda store: store.tasks.ours_among("local", ["a"]),
        lambda store: store.tasks.take_up("j", 1),
    ],
)
async def test_no_query_looks_at_every_document(
    server_store: Store, mongo_url: str, mongo_database: str, query: Callable[[Store], Awaitable[object]]
) -> None:
    await server_store.jobs.accept(
        "j", Accepted.model_validate({**FIELDS, "suite_id": "s"}), owner="me", lease_seconds=60
    )
    finds = _Finds()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[finds]) as client:
        await query(Store(client, mongo_database))
        (sent, *_) = finds.sent
        explained = await client[mongo_database].command("explain", sent, verbosity="queryPlanner")
    assert "COLLSCAN" not in str(explained)
    assert "'stage': 'SORT'" not in str(explained) or "held" in str(sent)


async def test_counting_jobs_by_state_reads_an_index_and_no_job(
    server_store: Store, mongo_url: str, mongo_database: str
) -> None:
    for n in range(3):
        await server_store.jobs.accept(f"j{n}", Accepted.model_validate(FIELDS), owner="me", lease_seconds=60)
    finds = _Finds()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[finds]) as client:
        await Store(client, mongo_database).catalogue.state_counts()
        database: Any = client[mongo_database]
        plans = [str(await database.command("explain", each, verbosity="executionStats")) for each in finds.sent]
    assert len(plans) == len(JobState)
    assert all("COLLSCAN" not in plan and "'totalDocsExamined': 0" in plan for plan in plans)


PLAN = zlib.compress(b"[]")
GROWN = (100, 100_000)
CONSTANT: dict[str, Callable[[Store], Awaitable[object]]] = {
    "list": lambda store: store.catalogue.find(limit=20),
    "page": lambda store: store.catalogue.page(limit=20),
    "held": lambda store: store.catalogue.held(),
    "undecided": lambda store: store.catalogue.undecided_counts(),
    "still": lambda store: store.catalogue.standing_still(900),
    "due": lambda store: store.catalogue.due(),
    "unfinished": lambda store: store.catalogue.unfinished(),
    "unmoved": lambda store: store.upkeep.unmoved(60),
    "unrecorded": lambda store: store.upkeep.unrecorded(60),
    "overdue": lambda store: store.upkeep.overdue(),
    "job": lambda store: store.jobs.get("n7"),
    "deleted": lambda store: store.records.is_deleted("n7"),
    "tasks": lambda store: store.tasks.states("n7"),
    "outline": lambda store: store.catalogue.outline("n7"),
    "scored": lambda store: store.tasks.of_job("n7"),
    "due tasks": lambda store: store.tasks.due("local", limit=4),
    "in doubt": lambda store: store.tasks.in_doubt("local", ["n7"]),
    "suite with a job on its way": lambda store: store.jobs.suite_may_have_ended("s", 10**6),
    "suite's plan": lambda store: store.suites.plan("s7"),
    "unmoved suites": lambda store: store.suites.unmoved(60),
}
"""What services, `mgym status` and lists ask for."""


async def test_cost_does_not_grow_with_what_is_stored(server_store: Store, mongo_url: str, mongo_database: str) -> None:
    """Nor with the size of a suite: all jobs are of one, and one of them is on its way. Told by the server's count."""
    await server_store.jobs.accept(
        "j", Accepted.model_validate({**FIELDS, "suite_id": "s"}), owner="me", lease_seconds=60
    )
    await server_store.tasks.insert([task(0)])
    examined: list[dict[str, Any]] = []
    finds = _Finds()
    plain: AsyncMongoClient[dict[str, Any]]
    client: AsyncMongoClient[dict[str, Any]]
    async with (
        AsyncMongoClient(mongo_url) as plain,
        AsyncMongoClient(mongo_url, event_listeners=[finds]) as client,
    ):
        database: Any = plain[mongo_database]
        like, like_task = await database.jobs.find_one({"_id": "j"}), await database.tasks.find_one({"_id": "j:0"})
        like |= {"state": "exported"}
        like_task |= {"state": "completed"}
        del like["lease"]
        first = 0
        for stored in GROWN:
            for n in range(first, stored, 10_000):
                names = [f"n{n}" for n in range(n, min(n + 10_000, stored))]
                await database.jobs.insert_many([like | {"_id": name} for name in names], ordered=False)
                tasks = [like_task | {"_id": f"{name}:0", "job_id": name} for name in names]
                await database.tasks.insert_many(tasks, ordered=False)
            suites = [{"_id": f"s{n}", "finished": True, "requests": PLAN} for n in range(first, stored // 10)]
            await database.suites.insert_many(suites, ordered=False) if suites else None
            first = stored
            examined.append({})
            for name, query in CONSTANT.items():
                finds.sent.clear()
                await query(Store(client, mongo_database))
                sent = [*finds.sent]
                assert sent, name
                told = [await database.command("explain", each, verbosity="executionStats") for each in sent]
                examined[-1][name] = [re.findall(r"'total(?:Keys|Docs)Examined': (\d+)", str(each)) for each in told]
        assert await database.jobs.count_documents({}) == GROWN[-1] + 1
    assert examined[0] == examined[1]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(lambda store: store.catalogue.by_state(), id="states"),
        pytest.param(lambda store: store.jobs.suite_may_have_ended("s", 3), id="suite"),
        pytest.param(lambda store: store.tasks.states("j"), id="tasks"),
    ],
)
async def test_what_only_counts_reads_indexes_and_no_document(
    server_store: Store, mongo_url: str, mongo_database: str, query: Callable[[Store], Awaitable[object]]
) -> None:
    for n in range(3):
        await server_store.jobs.accept(
            f"j{n}", Accepted.model_validate({**FIELDS, "suite_id": "s"}), owner="me", lease_seconds=60
        )
    await server_store.tasks.insert([task(0), task(1)])
    finds = _Finds()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[finds]) as client:
        await query(Store(client, mongo_database))
        told = [
            await client[mongo_database].command("explain", each, verbosity="executionStats") for each in finds.sent
        ]
    assert told
    assert all("'totalDocsExamined': 0" in str(each) for each in told)


async def test_a_suite_may_have_ended_when_none_of_its_jobs_is_on_its_way(store: Store) -> None:
    for name in ("a", "b"):
        await store.jobs.accept(
            name, Accepted.model_validate({**FIELDS, "suite_id": "s"}), owner="me", lease_seconds=60
        )
    assert not await store.jobs.suite_may_have_ended("s", 2)
    for name in ("a", "b"):
        await store.jobs.move(name, to(JobState.FAILED), service="test")
    assert await store.jobs.suite_may_have_ended("s", 2)
    assert not await store.jobs.suite_may_have_ended("s", 3), "no dispatcher has seen the third"
    await store.records.delete("b")
    assert await store.jobs.suite_may_have_ended("s", 2)
