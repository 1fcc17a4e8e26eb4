"""How far ahead of the pollers jobs from lanes are dispatched."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import EXPORTER, LANES, POLLER, Delivery
from metriq_gym.jobs import JobState, Task, TaskState
from metriq_gym.messages import JobRequested
from metriq_gym.service.service import Context, running
from metriq_gym.service.turns import LANE
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from services.dispatcher import Dispatcher, ahead
from services.dispatcher.ahead import Ahead
from tests.support.handlers import Recorder
from tests.support.inprocess import InlinePool
from tests.support.patience import PATIENCE

CONFIG = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "MOST", 4)
    monkeypatch.setattr(ahead, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(ahead, "PATIENCE", PATIENCE)


class Going:
    """Jobs that go ahead one after the other and are dispatched at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.ahead = store, Ahead(store)
        self.gone: list[str] = []

    async def go(self, job_id: str, lane: int = 3) -> None:
        LANE.set(lane)
        async with self.ahead.room("local"):
            self.gone.append(job_id)
            await self.store.tasks.insert([_task(job_id, lane)])
            await self.store.tasks.release(job_id)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0.002)


async def test_no_more_jobs_go_ahead_than_pollers_have_taken_tasks() -> None:
    async with memory_store() as store, asyncio.TaskGroup() as group:
        going = Going(store)
        for number in range(10):
            group.create_task(going.go(f"j{number}"))
        await _turns()
        assert len(going.gone) == 4
        await store.tasks.claim("local", owner="p", limit=3, lease_seconds=60)
        await _turns()
        assert len(going.gone) == 7
        going.ahead.let_all()
        await _turns()
        assert len(going.gone) == 10


async def test_jobs_that_are_being_dispatched_count_as_well() -> None:
    async with memory_store() as store:
        going, let_go = Ahead(store), asyncio.Event()
        gone = Counter[str]()

        async def go() -> None:
            async with going.room("local"):
                gone["local"] += 1
                await let_go.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(go())
            await _turns()
            assert gone["local"] == 4
            let_go.set()  # they fail, say: they leave no task
        assert gone["local"] == 10


async def test_of_those_that_wait_the_lanes_go_by_turns() -> None:
    async with memory_store() as store, asyncio.TaskGroup() as group:
        going = Going(store)
        for number in range(20):
            group.create_task(going.go(f"many-{number}", lane=3))
        await _turns()
        group.create_task(going.go("few", lane=1))
        await _turns()
        while "few" not in going.gone:
            assert await store.tasks.claim("local", owner="p", limit=1, lease_seconds=60)
            await _turns()
        assert going.gone.index("few") <= 6
        going.ahead.let_all()


async def test_a_job_that_has_waited_for_long_is_dispatched_though_no_poller_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ahead, "PATIENCE", 0.01)
    async with memory_store() as store, asyncio.TaskGroup() as group:
        going = Going(store)
        for number in range(10):
            group.create_task(going.go(f"j{number}"))
    assert len(going.gone) == 10


async def test_a_dispatcher_leaves_in_the_lanes_what_pollers_have_no_time_for() -> None:
    dispatched = Recorder()
    async with memory_store() as store, MemoryBus() as bus:
        for number in range(20):
            waiting = Delivery("job.requested", _request(f"many-{number}").encoded(), lane=3)
            await bus.set_aside(waiting, LANES[2])
        await bus.consume(POLLER, dispatched, prefetch=1)
        dispatcher = Dispatcher(Context(Settings(prefetch=8), bus, store, InlinePool()))
        async with running([dispatcher], PATIENCE):
            await dispatched.received(4)
            await bus.publish(_request("one"))  # which waits for nothing
            await dispatched.received(5)
            await _turns()
            assert len(dispatched.deliveries) == 5
            assert (await bus.waiting())[LANES[2].name] == 20 - 4 - 8
        await dispatched.received(5 + 8)  # before it stopped it has dispatched what it had in hand


@pytest.mark.parametrize("provider", [{}, [], None, 1, "nobody"])
async def test_a_request_from_a_lane_for_what_is_no_provider_is_refused_as_any(provider: object) -> None:
    refused = Recorder()
    body = json.dumps(_request("odd").model_dump(mode="json") | {"provider": provider}).encode()
    async with memory_store() as store, MemoryBus() as bus:
        await bus.consume(EXPORTER, refused, prefetch=1)
        async with running([Dispatcher(Context(Settings(), bus, store, InlinePool()))], PATIENCE):
            await bus.set_aside(Delivery("job.requested", body, lane=3), LANES[2])
            await refused.received(1)
        assert bus.dead_letters == []
        assert (await store.jobs.get("odd")).state is JobState.REJECTED


def _task(job_id: str, lane: int) -> Task:
    return Task(
        id=f"{job_id}:0",
        job_id=job_id,
        provider="local",
        device="aer_simulator",
        state=TaskState.STORED,
        run=0,
        first=0,
        circuit_count=1,
        shots=10,
        seed=1,
        lane=lane,
        circuits=b"qpy",
    )


def _request(job_id: str) -> JobRequested:
    wanted = {"provider": "local", "device": "aer_simulator", "config": CONFIG, "group": job_id}
    return JobRequested.model_validate({"job_id": job_id, **wanted})
