"""A cancellation at every stage: until there is a result it ends the job, from then on it is too late."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.bus.retry import CANCELLATION
from metriq_gym.errors import LeaseLost, Transient
from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.jobs.states import OPEN_TASKS
from metriq_gym.messages import Message
from metriq_gym.providers.provider import Submission
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.dispatcher import Dispatcher
from services.dispatcher.submission import Submitter
from services.exporter import Exporter
from services.poller import Poller
from services.scorer import Scorer
from tests.support.inprocess import InlinePool

CONFIG = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
REQUEST = {"job_id": "j", "provider": "local", "device": "aer_simulator", "config": CONFIG}


class Queue(MemoryBus):
    """Remembers what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[str] = []

    async def publish(self, message: Message) -> None:
        assert message.correlation_id == "j"
        self.published.append(message.routing_key)


class Pool(InlinePool):
    """Lets something happen before each call of what runs in a worker."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def run_within(self, seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().run_within(seconds, function, *args, **kwargs)


class World:
    """The four services, to be called one after the other."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.bus, self.pool = store, Queue(), Pool()
        context = Context(Settings(export_dir=folder), self.bus, store, self.pool)
        self.dispatcher, self.scorer, self.exporter = Dispatcher(context), Scorer(context), Exporter(context)
        self.poller = Poller(context, self.pool)

    async def cancel(self) -> None:
        await self.dispatcher.handle(delivery("job.cancel_requested"))

    async def dispatch(self) -> None:
        await self.dispatcher.handle(Delivery("job.requested", json.dumps(REQUEST).encode()))

    async def run(self) -> None:
        await self.poller._claim()
        await self.poller.finish()

    async def score(self) -> None:
        await self.scorer.handle(delivery("job.completed"))

    async def export(self, key: str = "job.scored") -> None:
        await self.exporter.handle(delivery(key))

    @property
    def steps(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.dispatch, self.run, self.score, self.export]


def delivery(key: str) -> Delivery:
    body = {"job_id": "j"} | ({"outcome": "error", "reason": "r"} if key == "job.failed" else {})
    return Delivery(key, json.dumps(body).encode())


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path)


async def is_cancelled(world: World, tmp_path: Path) -> Job:
    """It is, nothing of it is left to do, and a record says so."""
    job = await world.store.jobs.get("j")
    assert (job.state, job.result, job.held) == (JobState.CANCELLED, None, None)
    last = job.history[-1]
    assert (last.state, last.service, last.cause) == (JobState.CANCELLED, "dispatcher", "requested")
    assert not (await world.store.tasks.states("j")).keys() & set(OPEN_TASKS)
    assert await world.store.tasks.due("local", limit=1) == []
    assert await world.store.listings.get("j") is None
    assert world.bus.published[-1] == "job.cancelled"
    await world.export("job.cancelled")
    assert json.loads((tmp_path / "j.json").read_text())["outcome_detail"]["reason"] == "cancelled"
    return job


@pytest.mark.parametrize("done", [1, 2])
async def test_between_two_stages_it_ends_a_job_without_a_result(world: World, tmp_path: Path, done: int) -> None:
    for step in world.steps[:done]:
        await step()
    await world.cancel()
    await is_cancelled(world, tmp_path)
    for step in world.steps[:3]:  # what was on its way comes late
        await step()
    await world.cancel()
    assert world.bus.published.count("job.cancelled") == 2
    assert (await world.store.jobs.get("j")).state is JobState.CANCELLED


@pytest.mark.parametrize("stage", ["building", "running", "scoring"])
async def test_in_the_middle_of_a_stage_what_it_comes_to_is_refused(world: World, tmp_path: Path, stage: str) -> None:
    before = ["building", "running", "scoring"].index(stage)
    for step in world.steps[:before]:
        await step()
    world.pool.meanwhile = world.cancel
    await world.steps[before]()
    job = await is_cancelled(world, tmp_path)
    assert len(job.history) == before + 2


async def test_during_a_submission_no_other_task_is_submitted(world: World, tmp_path: Path, store: Store) -> None:
    sent: list[str] = []

    class Cloud:
        name = "cloud"
        encoder = staticmethod(bytes.hex)

        async def listing(self) -> Any:
            return type("Listing", (), {"ids": frozenset(["a"])})

        async def submit(self, submission: Submission) -> str:
            sent.append(submission.tag)
            await world.cancel()
            return "id"

    fields = {"benchmark_name": "WIT", "provider": "cloud", "device": "d", "target": "d", "config": CONFIG}
    job = await store.jobs.accept("j", Accepted.model_validate(fields), owner="me", lease_seconds=60)
    task = {"job_id": "j", "provider": "cloud", "device": "d", "run": 0, "circuit_count": 1, "shots": 1, "seed": 1}
    state = TaskState.STORED
    tasks = [Task.model_validate({"_id": f"j:{n}", "first": n, "plan": 1, "state": state, **task}) for n in range(3)]
    await store.tasks.replace_all("j", tasks)
    job = await store.jobs.plan("j", 1, Planned(task_count=3))
    with pytest.raises(LeaseLost):
        await Submitter(store, world.pool, settle_seconds=1).submit(job, Cloud())  # type: ignore[arg-type]
    assert sent == ["j:0"]
    await is_cancelled(world, tmp_path)


async def test_a_held_job_is_cancelled_and_no_longer_held(world: World, tmp_path: Path, store: Store) -> None:
    fields = {"benchmark_name": "WIT", "provider": "cloud", "device": "d", "target": "d", "config": CONFIG}
    await store.jobs.accept("j", Accepted.model_validate(fields), owner="me", lease_seconds=60)
    await store.jobs.hold("j", 1, "look")
    await world.cancel()
    await is_cancelled(world, tmp_path)


async def test_before_the_request_it_waits_for_it(world: World, tmp_path: Path) -> None:
    cancel = delivery("job.cancel_requested")
    for attempt in (1, CANCELLATION.attempts - 1):
        with pytest.raises(Transient, match="may still come"):
            await world.dispatcher.handle(Delivery(cancel.routing_key, cancel.body, attempt=attempt))
    await world.dispatch()
    await world.cancel()
    await is_cancelled(world, tmp_path)


async def test_a_result_that_waits_for_the_rest_of_its_suite_stays(world: World) -> None:
    for step in world.steps[:3]:
        await step()
    await world.cancel()
    assert (await world.store.jobs.get("j")).state is JobState.SCORED
    assert world.bus.published[-1] == "job.scored"


async def test_while_a_result_is_exported_it_is_too_late(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in world.steps[:3]:
        await step()
    begin = world.store.exports.take_up

    async def cancelled_meanwhile(*args: Any) -> Any:
        begun = await begin(*args)
        await world.cancel()
        return begun

    monkeypatch.setattr(world.store.exports, "take_up", cancelled_meanwhile)
    await world.export()
    job = await world.store.jobs.get("j")
    assert job.state is JobState.EXPORTED
    assert "job.cancelled" not in world.bus.published
    await world.cancel()
    assert "job.cancelled" not in world.bus.published
    assert json.loads((tmp_path / "j.json").read_text())["results"] == job.result
