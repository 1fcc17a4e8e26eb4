"""The reconciler on a real store: whatever is lost from the queues, every job moves on, ends, and is recorded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import Refused, Transient
from metriq_gym.jobs import JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.messages import Message
from metriq_gym.service.purging import Policy
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing import MemoryClient
from services.dispatcher import Dispatcher
from services.dispatcher.purging import Purger
from services.dispatcher.reconciler import LEASE, Reconciler
from services.poller import Poller
from tests.support.inprocess import InlinePool
from tests.support.jobs import ended_job, to
from tests.support.patience import PATIENCE

FIELDS = {"benchmark_name": "WIT", "provider": "local", "device": "aer_simulator", "target": "aer_simulator"}
CONFIG = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
LONG = 60.0


class Queue(MemoryBus):
    """Remembers what is published, or is away."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, str | None]] = []
        self.bodies: dict[str | None, bytes] = {}
        self.away = False

    async def publish(self, message: Message) -> None:
        if self.away:
            raise Transient("away")
        self.bodies[message.correlation_id] = message.model_dump_json().encode()
        self.published.append((message.routing_key, message.correlation_id))


def reconciler(store: Store, bus: Queue, owner: str = "me") -> Reconciler:
    return Reconciler(store, bus, owner, unmoved_seconds=0, lease_seconds=LONG)


async def job(store: Store, job_id: str, *states: JobState, deadline: float = LONG) -> None:
    accepted = Accepted.model_validate({**FIELDS, "config": CONFIG})
    taken = await store.jobs.accept(job_id, accepted, owner="gone", lease_seconds=LONG, deadline_seconds=deadline)
    assert taken.lease is not None
    await store.jobs.plan(job_id, taken.lease.token, Planned(task_count=2))
    await store.jobs.expire_lease(job_id, taken.lease.token)
    for state in states:
        await store.jobs.move(job_id, to(state), service="test")


def task(job_id: str, state: TaskState = TaskState.STORED) -> Task:
    fields = {"job_id": job_id, "provider": "local", "device": "aer_simulator", "run": 0, "first": 0}
    return Task.model_validate(
        {"_id": f"{job_id}:0", "state": state, "circuit_count": 1, "shots": 10, "seed": 1} | fields
    )


async def test_what_each_stage_and_each_end_waits_for_is_published_again(store: Store) -> None:
    path = [JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED, JobState.EXPORTED]
    for count, state in enumerate(["requested", *path]):
        await job(store, state, *path[:count])
    await job(store, "cancelled", JobState.CANCELLED)
    bus = Queue()
    before = reconciler(store, bus)
    await before()
    assert sorted(bus.published) == [
        ("job.cancelled", "cancelled"),
        ("job.completed", "completed"),
        ("job.dispatched", "dispatched"),
        ("job.requested", "requested"),
        ("job.scored", "scored"),
    ]
    assert before.done == {"republished": 4, "recorded": 1}


@pytest.mark.parametrize(
    ("state", "source"), [("dispatching", "dispatch"), ("dispatched", "poll"), ("completed", "score")]
)
async def test_a_job_whose_deadline_has_passed_ends_with_the_reason_and_leaves_no_open_task(
    store: Store, state: str, source: str
) -> None:
    path = [JobState.DISPATCHED, JobState.COMPLETED]
    await job(store, "j", *path[: ["dispatching", "dispatched", "completed"].index(state)], deadline=0)
    await store.tasks.insert([task("j")])
    bus = Queue()
    looks = reconciler(store, bus)
    await looks()
    assert (await store.jobs.get("j")).state == state  # the clock may be wrong: one look is not enough
    await looks()
    ended = await store.jobs.get("j")
    assert ended.state is JobState.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == f"no result by its deadline: still {state}, 0 of 2 tasks done"
    assert ended.failure.source == source
    assert ended.history[-1].service == "reconciler"
    assert ("job.failed", "j") in bus.published
    assert set(await store.tasks.states("j")) == {TaskState.CANCELLED}


async def test_a_queue_that_is_away_while_a_deadline_passes_gets_the_message_when_it_is_back(store: Store) -> None:
    await job(store, "j", deadline=0)
    bus = Queue()
    looks = reconciler(store, bus)
    await looks()
    bus.published.clear()
    bus.away = True
    with pytest.raises(Transient):
        await looks()
    bus.away = False
    await asyncio.sleep(0.01)
    await reconciler(store, bus)()
    assert bus.published == [("job.failed", "j")]
    assert [entry.state for entry in (await store.jobs.get("j")).history] == [JobState.DISPATCHING, JobState.FAILED]


async def test_of_many_dispatchers_one_reconciles_and_another_takes_over_when_it_lets_go(store: Store) -> None:
    await job(store, "j")
    bus = Queue()
    first, *others = [reconciler(store, bus, f"d{number}") for number in range(5)]
    await first()
    assert bus.published == [("job.requested", "j")]
    await job(store, "k")
    for other in others:
        await other()
    assert ("job.requested", "k") not in bus.published
    await first.release()
    await others[0].release()  # who does not have it, takes it from nobody
    await others[1]()
    await others[0].release()
    await first()
    assert bus.published.count(("job.requested", "k")) == 1
    assert not others[0].done
    assert others[1].done


async def test_a_reconciler_that_was_stopped_past_its_lease_stops_when_it_goes_on(store: Store) -> None:
    await job(store, "j")

    class Stopped(Queue):
        async def publish(self, message: Message) -> None:
            await store.leases.take(LEASE, owner="me", lease_seconds=0)
            assert await store.leases.take(LEASE, owner="other", lease_seconds=LONG) is not None
            await asyncio.sleep(LONG)

    late = Reconciler(store, Stopped(), "me", unmoved_seconds=0, lease_seconds=0.3)
    async with asyncio.timeout(PATIENCE):
        await late()
    assert not late.done


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ((TaskState.COMPLETED, TaskState.COMPLETED), JobState.COMPLETED),
        ((TaskState.COMPLETED, TaskState.FAILED), JobState.FAILED),
        ((TaskState.COMPLETED,), JobState.FAILED),
    ],
    ids=["all with counts", "one failed", "one is gone"],
)
async def test_a_job_whose_tasks_have_all_ended_while_nobody_was_told_moves_on(
    store: Store, ends: tuple[TaskState, ...], state: JobState
) -> None:
    await job(store, "j", JobState.DISPATCHED)
    bus = Queue()
    await store.tasks.insert(
        [task("j", end).model_copy(update={"id": f"j:{n}", "error": "bad"}) for n, end in enumerate(ends)]
    )
    await reconciler(store, bus)()
    assert bus.published == [("job.dispatched", "j")]
    poller = Poller(Context(Settings(), bus, store, InlinePool()), InlinePool())
    await poller.handle(Delivery("job.dispatched", bus.bodies["j"]))
    assert (await store.jobs.get("j")).state is state


async def test_one_job_that_cannot_be_looked_after_does_not_hold_up_the_others(store: Store) -> None:
    # Written by somebody else: dispatchers refuse such a name.
    fields = {**FIELDS, "config": {**CONFIG, "x": {"$ref": "jobs", "$id": 1}}}
    await store.jobs.accept("a", Accepted.model_validate(fields), owner="gone", lease_seconds=0)
    await job(store, "b")
    bus = Queue()
    await reconciler(store, bus)()
    assert bus.published == [("job.requested", "b")]


SUITE = {"name": "small", "benchmarks": [{"name": name, "config": CONFIG} for name in ("a", "b", "c")]}
OF_SUITE = ["s.001-a", "s.002-b", "s.003-c"]


async def fanned_out(store: Store, bus: Queue, **settings: Any) -> Dispatcher:
    """A dispatcher that has accepted a suite."""
    dispatcher = Dispatcher(Context(Settings(**settings), bus, store, InlinePool()))
    body = {"suite_id": "s", "provider": "local", "device": "aer_simulator", "suite": SUITE}
    await dispatcher.handle(Delivery("suite.requested", json.dumps(body).encode()))
    return dispatcher


async def test_jobs_of_a_suite_that_were_lost_from_the_queue_are_requested_again_until_all_are_seen(
    store: Store,
) -> None:
    lost, bus = Queue(), Queue()
    dispatcher = await fanned_out(store, lost)
    await dispatcher.handle(Delivery("job.requested", lost.bodies[OF_SUITE[0]]))
    again = reconciler(store, bus)
    await again()
    requested = [each for each in bus.published if each[0] == "job.requested"]
    assert requested == [("job.requested", each) for each in OF_SUITE[1:]]
    assert again.done["requested"] == 2
    for job_id in OF_SUITE[1:]:
        await dispatcher.handle(Delivery("job.requested", bus.bodies[job_id]))
    assert [each.suite_size for each in await store.jobs.suite("s")] == [3, 3, 3]
    async with asyncio.timeout(PATIENCE):
        while await store.suites.unfinished():  # it is left alone for as long again
            await asyncio.sleep(0.05)
            await again()
    assert again.done["requested"] == 2


async def test_a_suite_that_is_fanned_out_while_the_queue_is_away_is_seen_through(store: Store) -> None:
    bus = Queue()
    bus.away = True
    with pytest.raises(Transient):
        await fanned_out(store, bus)
    bus.away = False
    await reconciler(store, bus).take_up()
    assert bus.published == [("job.requested", job_id) for job_id in OF_SUITE]


async def test_jobs_of_a_suite_that_nobody_takes_up_by_its_deadline_end_so_that_it_does(store: Store) -> None:
    bus = Queue()
    await fanned_out(store, Queue(), job_deadline_seconds=0.001)
    await asyncio.sleep(0.01)
    await reconciler(store, bus)()
    assert bus.published == [("job.failed", job_id) for job_id in OF_SUITE]
    jobs = await store.jobs.suite("s")
    assert [(job.id, job.state) for job in jobs] == [(job_id, JobState.REJECTED) for job_id in OF_SUITE]
    assert summarise(jobs).done


async def test_a_clock_that_jumps_over_a_deadline_fails_no_job() -> None:
    client = MemoryClient()
    async with Store(client, "metriq") as store:
        await job(store, "j", deadline=7 * 86400)
        await store.tasks.insert([task("j")])
        looks = reconciler(store, Queue())
        await looks()
        # To a clock that is set forward by eight days, what it wrote before is that much older.
        for name, at in (("jobs", "deadline_at"), ("leases", "looked_at")):
            older = {at: {"$subtract": [f"${at}", 8 * 86400_000]}}
            client["metriq"].documents(name).update({}, [{"$set": older}], many=True)
        assert [each.id for each in await store.upkeep.overdue()] == ["j"]
        for _ in range(3):
            await looks()
        assert (await store.jobs.get("j")).state is JobState.DISPATCHING
        assert await store.upkeep.overdue() == []
        assert looks.done["put_off"] == 1


async def test_a_job_is_late_only_if_it_still_is_at_a_look_that_comes_later(store: Store) -> None:
    await job(store, "j", deadline=0)
    clock = [0.0]
    looks = Reconciler(store, Queue(), "me", unmoved_seconds=30, lease_seconds=LONG, now=lambda: clock[0])
    await looks()
    await looks()
    assert (await store.jobs.get("j")).state is JobState.DISPATCHING
    clock[0] = 30
    await looks()
    assert (await store.jobs.get("j")).state is JobState.FAILED


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.FAILED, JobState.DISPATCHED, None])
async def test_a_list_noted_by_who_stood_still_while_its_job_went_on_is_dropped(
    store: Store, state: JobState | None
) -> None:
    if state is not None:
        await job(store, "j", state)
    await job(store, "submitting")
    for name in ("j", "submitting"):
        await store.listings.note(name, ["theirs"], 1)
    await reconciler(store, Queue())()
    assert await store.listings.holders() == {"submitting": 1}


async def test_a_list_is_kept_if_its_job_is_submitted_again_just_as_it_is_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await job(store, "j", JobState.FAILED)
    await store.listings.note("j", ["theirs"], 1)
    dispatching = store.upkeep.dispatching

    async def kept_meanwhile(job_ids: Any) -> set[str]:
        found = await dispatching(job_ids)
        assert await store.listings.keep("j", 2)
        return found

    monkeypatch.setattr(store.upkeep, "dispatching", kept_meanwhile)
    await Reconciler(store, Queue(), "me", unmoved_seconds=LONG, lease_seconds=LONG)()
    assert await store.listings.get("j") == frozenset({"theirs"})
    assert await store.listings.holders() == {"j": 2}


async def test_a_list_that_an_older_version_noted_is_dropped_too() -> None:
    client = MemoryClient()
    async with Store(client, "metriq") as store:
        await store.listings.note("j", ["theirs"], 1)
        client["metriq"].documents("listings").update({"_id": "j"}, [{"$unset": ["token"]}], many=False)
        assert await store.listings.holders() == {"j": None}
        await reconciler(store, Queue())()
        assert await store.listings.holders() == {}


async def test_a_clock_that_jumps_by_years_purges_nothing_until_it_has_been_steady_for_a_day() -> None:
    """As MongoDB and the dispatcher on one machine see it, so that neither clock knows better."""
    client, jump = MemoryClient(), 3 * 365 * 86400
    today = [datetime.now(UTC)]
    async with Store(client, "metriq") as store:
        await store.records.add(ended_job("j", state=JobState.EXPORTED, updated_at=today[0]))
        policy = Policy(jobs=730)
        purger = Purger(store, Queue(), policy, today=lambda: today[0])
        looks = replace(reconciler(store, Queue()), purger=purger)

        def pass_by(seconds: float) -> None:
            # To a clock that is set forward, what it wrote before is that much older.
            for name, fields in (("jobs", ["updated_at"]), ("leases", ["looked_at", "steady_since"])):
                older = {field: {"$subtract": [f"${field}", int(1000 * seconds)]} for field in fields}
                client["metriq"].documents(name).update({}, [{"$set": older}], many=True)

        def rest() -> None:
            purger._rests_until.clear()

        async def is_there() -> bool:
            return not await store.records.is_deleted("j")

        await looks()
        for _ in range(24 * 4 * 3):
            pass_by(300)
            await looks()
            rest()
        assert await is_there()  # a day has passed, and it is not two years old
        pass_by(jump)
        await looks()
        rest()
        assert await is_there()
        pass_by(-jump)  # it is put right
        await looks()
        rest()
        assert await is_there()
        pass_by(jump)
        hours = 0
        while await is_there():
            hours += 1
            for _ in range(12):
                pass_by(300)
                await looks()
                rest()
        assert hours >= 24
        noted = await store.clocks.noted(LEASE)
        assert noted is not None
        assert Policy.read(noted.what) == policy


async def test_one_job_that_cannot_be_purged_holds_up_nothing_else(store: Store) -> None:
    await job(store, "j")

    class Broken(Purger):
        async def _step(self, what: str, limit: datetime) -> tuple[int, bool]:
            raise Refused("no right")

    bus = Queue()
    purger = Broken(store, bus, Policy(jobs=1), steady_seconds=0)
    await replace(reconciler(store, bus), purger=purger)()
    assert bus.published == [("job.requested", "j")]
