"""The reconciler on a real store: whatever is lost from the queues, every job moves on, ends, and is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import Transient
from metriq_gym.messages import Message
from metriq_gym.store import JobState, Store, Task, TaskState
from services.dispatcher.reconciler import LEASE, Reconciler

FIELDS = {"benchmark_name": "WIT", "provider": "local", "device": "aer_simulator", "target": "aer_simulator"}
CONFIG = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
LONG = 60.0


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    async with Store.at(mongo_url, mongo_database) as store:
        yield store


class Queue(MemoryBus):
    """Remembers what is published, or is away."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, str | None]] = []
        self.away = False

    async def publish(self, message: Message) -> None:
        if self.away:
            raise Transient("away")
        message.model_dump_json()
        self.published.append((message.routing_key, message.correlation_id))


def reconciler(store: Store, bus: Queue, owner: str = "me") -> Reconciler:
    return Reconciler(store, bus, owner, unmoved_seconds=0, lease_seconds=LONG)


async def job(store: Store, job_id: str, *states: JobState, deadline: float = LONG) -> None:
    fields = {**FIELDS, "config": CONFIG, "task_count": 2}
    await store.jobs.accept(job_id, fields, owner="gone", lease_seconds=0, deadline_seconds=deadline)
    for state in states:
        await store.jobs.move(job_id, state, service="test")


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
    assert before.done == {"published again": 4, "recorded": 1}


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
    await reconciler(store, bus)()
    ended = await store.jobs.get("j")
    assert ended.state is JobState.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == f"no result by its deadline: still {state}, 0 of 2 tasks done"
    assert ended.failure.source == source
    assert ended.history[-1].service == "reconciler"
    assert ("job.failed", "j") in bus.published
    assert await store.tasks.states("j") == {TaskState.CANCELLED}


async def test_a_queue_that_is_away_while_a_deadline_passes_gets_the_message_when_it_is_back(store: Store) -> None:
    await job(store, "j", deadline=0)
    bus = Queue()
    bus.away = True
    with pytest.raises(Transient):
        await reconciler(store, bus)()
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
    assert others[1].done["published again"] == 1


async def test_a_reconciler_that_was_stopped_past_its_lease_stops_when_it_goes_on(store: Store) -> None:
    await job(store, "j")

    class Stopped(Queue):
        async def publish(self, message: Message) -> None:
            await store.leases.take(LEASE, owner="me", lease_seconds=0)
            assert await store.leases.take(LEASE, owner="other", lease_seconds=LONG) is not None
            await asyncio.sleep(LONG)

    late = Reconciler(store, Stopped(), "me", unmoved_seconds=0, lease_seconds=0.3)
    async with asyncio.timeout(30):
        await late()
    assert not late.done


async def test_one_job_that_cannot_be_looked_after_does_not_hold_up_the_others(store: Store) -> None:
    # Written by somebody else: dispatchers refuse such a name.
    fields = {**FIELDS, "config": {**CONFIG, "x": {"$ref": "jobs", "$id": 1}}}
    await store.jobs.accept("a", fields, owner="gone", lease_seconds=0)
    await job(store, "b")
    bus = Queue()
    await reconciler(store, bus)()
    assert bus.published == [("job.requested", "b")]
