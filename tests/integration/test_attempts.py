"""What becomes of a job whose message fails: on a real store, with a handler that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import DISPATCHER, EXPORTER, POLLER, Delivery
from metriq_gym.bus.retry import DELIVERY_LIMIT, TRANSIENT
from metriq_gym.errors import NotYet, Permanent, Transient, Unavailable
from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.messages import JobFailed, JobRequested, SuiteRequested
from metriq_gym.operations.resolve import Fail, NotHeld, Resubmit, resolve
from metriq_gym.service import attempts
from metriq_gym.service.attempts import Attempt
from metriq_gym.service.breaker import Breaker
from metriq_gym.service.service import Context, Service
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.dispatcher import Dispatcher
from tests.support.handlers import Recorder
from tests.support.inprocess import InlinePool
from tests.support.jobs import to, watch
from tests.support.patience import PATIENCE

FIELDS = {"benchmark_name": "WIT", "provider": "local", "device": "aer_simulator", "target": "aer_simulator"}
QUICK = (0.01,)


@dataclass
class World:
    """A store, a bus, what the exporter hears, and a service whose handler does what `does` says."""

    store: Store
    bus: MemoryBus
    heard: Recorder
    does: Callable[[Delivery], Any] = lambda _: None
    handled: list[Delivery] = field(default_factory=list)

    async def job(self, job_id: str = "j") -> Job:
        accepted = Accepted.model_validate({**FIELDS, "config": {}, "seed": 1})
        await self.store.jobs.accept(job_id, accepted, owner="gone", lease_seconds=0)
        return await self.store.jobs.get(job_id)

    async def request(self, job_id: str = "j") -> None:
        config = {"benchmark_name": "WIT", "num_qubits": 7}
        await self.bus.publish(JobRequested(job_id=job_id, provider="local", device="aer_simulator", config=config))

    async def until(self, reached: Callable[[Job], bool], job_id: str = "j") -> Job:
        async with asyncio.timeout(PATIENCE):
            async for job in watch(self.store, job_id, until=reached):
                if reached(job):
                    return job
        raise AssertionError


@pytest.fixture
async def world(mongo_url: str, mongo_database: str) -> AsyncIterator[World]:
    async with Store.at(mongo_url, mongo_database) as store, MemoryBus(retry_pauses=QUICK) as bus:
        heard = Recorder()
        await bus.consume(EXPORTER, heard, prefetch=10)
        await bus.consume(POLLER, Recorder(), prefetch=10)
        world = World(store, bus, heard)

        class Told(Service):
            name = "dispatcher"
            queue = DISPATCHER
            default_port = 0
            stage = "dispatch"
            uses_workers = False

            async def handle(self, delivery: Delivery) -> None:
                world.handled.append(delivery)
                if (done := world.does(delivery)) is not None:
                    await done

        service = Told(Context(Settings(), bus, store, InlinePool()))
        await service.start()
        yield world
        await service.stop()


def raising(error: Exception) -> Callable[[Delivery], None]:
    def do(_: Delivery) -> None:
        raise error

    return do


@pytest.fixture
def three_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRANSIENT", replace(TRANSIENT, attempts=3))


@pytest.mark.usefixtures("three_attempts")
async def test_failures_that_do_not_pass_end_the_job_with_the_last_error_and_the_history_has_each(world: World) -> None:
    await world.job()
    world.does = lambda _: raising(Transient(f"error {len(world.handled)}"))(_)
    await world.request()
    [failed] = await world.heard.received(1)
    job = await world.store.jobs.get("j")
    assert (job.state, len(world.handled)) == (JobState.FAILED, 3)
    assert job.failure is not None
    assert job.failure.reason.startswith("given up after 3 attempts")
    assert job.failure.reason.endswith("error 3")
    assert job.failure.source == "dispatch"
    assert JobFailed.model_validate_json(failed.body).reason == job.failure.reason
    told = [(line.state, line.service, line.cause) for line in job.history[1:]]
    assert told[:3] == [("dispatching", "dispatcher", f"error {number}") for number in (1, 2, 3)]
    assert told[3] == ("failed", "dispatcher", job.failure.reason)
    assert not world.bus.dead_letters


@pytest.mark.usefixtures("three_attempts")
@pytest.mark.parametrize("error", [Unavailable("the store is away"), NotYet("in another's hands")])
async def test_waiting_for_a_server_or_for_another_uses_up_nothing(world: World, error: Exception) -> None:
    await world.job()

    def do(delivery: Delivery) -> None:
        if len(world.handled) % 2 or len(world.handled) < 20:
            raise error
        raise Transient("its own")

    world.does = do
    await world.request()
    job = await world.until(lambda job: job.state is JobState.FAILED)
    assert len(world.handled) == 24
    assert [line.cause for line in job.history[1:4]] == ["its own"] * 3


@pytest.mark.usefixtures("three_attempts")
async def test_attempts_count_anew_once_something_was_gained(world: World) -> None:
    await world.job()
    fields: dict[str, Any] = {"job_id": "j", "provider": "tyxonq", "device": "d", "run": 0, "first": 0, "seed": 1}
    task = Task(id="j:0", state=TaskState.SUBMITTED, circuit_count=1, shots=1, **fields)

    def attempt(progress: int) -> Any:
        return world.store.troubles.failed_attempt("j", "dispatcher", "no", progress=progress, next_seconds=1)

    assert (await attempt(0)).count == 1
    assert (await attempt(0)).count == 2
    assert (await attempt(1)).count == 1
    await world.store.tasks.insert([task])
    world.does = raising(Transient("no"))
    await world.request()
    await world.until(lambda job: job.state is JobState.FAILED)
    assert len(world.handled) == 2


async def test_progress_makes_the_next_pause_a_short_one_again(world: World) -> None:
    await world.job()
    fields: dict[str, Any] = {"job_id": "j", "provider": "tyxonq", "device": "d", "run": 0, "first": 0, "seed": 1}

    async def accept_one_at_the_fourth_attempt(_: Delivery) -> None:
        if len(world.handled) == 4:
            task = Task(id="j:0", state=TaskState.SUBMITTED, circuit_count=1, shots=1, **fields)
            await world.store.tasks.insert([task])
        if len(world.handled) == 6:
            raise Permanent("enough")
        raise Transient("busy")

    world.does = accept_one_at_the_fourth_attempt
    await world.request()
    await world.until(lambda job: job.state is JobState.FAILED)
    assert [each.postponed for each in world.handled] == [0, 1, 2, 3, 1, 2]


@pytest.mark.usefixtures("three_attempts")
async def test_each_task_that_a_provider_accepts_is_a_gain_even_if_it_has_ended_since(world: World) -> None:
    await world.job()
    fields: dict[str, Any] = {"job_id": "j", "provider": "tyxonq", "device": "d", "run": 0, "first": 0, "seed": 1}

    async def accept_one_more(delivery: Delivery) -> None:
        if len(world.handled) < 10:
            task = Task(
                id=f"j:{len(world.handled)}", state=TaskState.COMPLETED, circuit_count=1, shots=1, counts=b"", **fields
            )
            await world.store.tasks.insert([task])
        raise Transient("and no more for now")

    world.does = accept_one_more
    await world.request()
    await world.until(lambda job: job.state is JobState.FAILED)
    assert len(world.handled) == 9 + 2


async def test_a_break_counts_no_longer_than_a_pause_takes(world: World, mongo_url: str, mongo_database: str) -> None:
    await world.job()
    note = dict[str, Any](job_id="j", service="dispatcher", cause="no", progress=0, next_seconds=30)
    await world.store.troubles.failed_attempt(**note)
    with pymongo.MongoClient[Any](mongo_url) as client:
        for shift in (timedelta(days=-2), timedelta(minutes=5)):
            at = {"$set": {"attempts.at": datetime.now(UTC) + shift}}
            await asyncio.to_thread(client[mongo_database].jobs.update_one, {"_id": "j"}, at)
            noted = await world.store.troubles.failed_attempt(**note)
            assert noted is not None
            assert noted.seconds == pytest.approx(90)


async def test_reconciler_leaves_a_job_alone_that_has_another_attempt_to_come(world: World) -> None:
    await world.job()
    assert [job.id for job in await world.store.upkeep.unmoved(0)] == ["j"]
    await world.store.troubles.failed_attempt("j", "dispatcher", "no", progress=0, next_seconds=600)
    assert await world.store.upkeep.unmoved(0) == []


async def test_error_that_will_not_pass_ends_the_job_at_once(world: World) -> None:
    await world.job()
    world.does = raising(Permanent("never"))
    await world.request()
    await world.heard.received(1)
    job = await world.store.jobs.get("j")
    assert (job.state, len(world.handled)) == (JobState.FAILED, 1)
    assert job.failure is not None
    assert job.failure.reason == "never"


async def test_job_that_has_ended_stays_as_it_is(world: World) -> None:
    await world.job()
    await world.store.jobs.move("j", to(JobState.CANCELLED), service="test")
    world.does = raising(Permanent("never"))
    await world.request()
    async with asyncio.timeout(PATIENCE):
        await world.bus.idle()
    assert (await world.store.jobs.get("j")).state is JobState.CANCELLED
    assert not world.bus.dead_letters


async def test_job_of_a_defect_is_held_until_its_letter_is_replayed(world: World) -> None:
    await world.job()
    world.does = raising(ValueError("a defect"))
    await world.request()
    job = await world.until(lambda job: job.held is not None)
    assert job.held == "the dispatcher gave up a message: ValueError: a defect"
    assert job.history[-1].cause == job.held
    assert job.state is JobState.DISPATCHING
    assert len(world.handled) == DELIVERY_LIMIT
    async with asyncio.timeout(PATIENCE):
        while not world.bus.dead_letters:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await world.store.upkeep.unmoved(0) == []  # or there would be a letter for each round
    with pytest.raises(NotHeld, match="mgym dead replay --job j"):
        await resolve(world.store, world.bus, "j", Resubmit())

    await world.store.troubles.forgive("j")
    job = await world.store.jobs.get("j")
    assert (job.held, job.given_up) == (None, 0)


async def test_message_whose_handling_never_ends_is_cut_off_each_time_and_its_neighbours_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "HANDLING_SECONDS", 0.05)
    await world.job()
    await world.job("neighbour")
    world.does = lambda delivery: asyncio.Event().wait() if delivery.correlation_id == "j" else None
    await world.request()
    await world.request("neighbour")
    job = await world.until(lambda job: job.held is not None)
    assert job.held is not None
    assert "gave up a message: TimeoutError: not handled within" in job.held
    handled = [each.correlation_id for each in world.handled]
    assert (handled.count("j"), handled.count("neighbour")) == (DELIVERY_LIMIT, 1)
    assert (await world.store.jobs.get("neighbour")).held is None


async def test_job_of_a_defect_can_be_given_up_in_any_state(world: World) -> None:
    for job_id, states in {
        "a": [JobState.DISPATCHING],
        "b": [JobState.DISPATCHED],
        "c": [JobState.DISPATCHED, JobState.COMPLETED],
    }.items():
        await world.job(job_id)
        for state in states[states[0] is JobState.DISPATCHING :]:
            await world.store.jobs.move(job_id, to(state), service="test")
        with pytest.raises(NotHeld):
            await resolve(world.store, world.bus, job_id, Fail())
        await world.store.troubles.give_up(job_id, "scorer", "a defect", hold_after=1)
        for _ in range(2):
            assert (await resolve(world.store, world.bus, job_id, Fail())).state is JobState.FAILED
    sources = [(await world.store.jobs.get(job_id)).failure for job_id in ("a", "b", "c")]
    assert [failure and failure.source for failure in sources] == ["dispatch", "poll", "score"]


async def test_message_that_ends_its_process_is_not_tried_once_too_often(world: World) -> None:
    await world.job()
    deadly = Delivery("job.requested", b'{"job_id": "j"}', returned=9, failures=DELIVERY_LIMIT - 1)
    service = Dispatcher(Context(Settings(), world.bus, world.store, InlinePool()))
    for letters in (1, 2, 3):
        with pytest.raises(Exception, match="ended the process, or its connection, 9 times"):
            await service.attempt(deadly)
        job = await world.store.jobs.get("j")
        # Whether it was this message or one beside it cannot be told the first time.
        assert (job.given_up, job.held is not None) == (letters, letters == 3)


async def test_messages_whose_process_ended_again_and_again_are_handled_one_at_a_time_in_any_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "SHUFFLE_SECONDS", 0.01)
    monkeypatch.setattr(attempts, "SETTLING_SECONDS", 0.001)
    in_hand, most, order = 0, 0, list[int]()

    async def handle(delivery: Delivery) -> None:
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        await asyncio.sleep(0.001)
        order.append(delivery.attempt)

    async def handled_and_settled(delivery: Delivery) -> None:
        nonlocal in_hand
        await attempt(delivery, handle)
        await asyncio.sleep(0.001)
        in_hand -= 1

    async def refuse(_: Delivery, __: str) -> bool:
        return False

    attempt = Attempt("scorer", "score", world.store, world.bus, Breaker("metriq.scorer", 1), refuse)

    async def all_of(returned: int) -> None:
        deliveries = [Delivery("job.completed", b"{}", attempt=number, returned=returned) for number in range(20)]
        await asyncio.gather(*(handled_and_settled(delivery) for delivery in deliveries))

    await all_of(returned=attempts.SUSPECT_FROM - 1)
    assert most == 20
    most = 0
    order.clear()
    await all_of(returned=attempts.SUSPECT_FROM)
    assert most == 1
    assert order != sorted(order)


@pytest.mark.usefixtures("three_attempts")
async def test_request_that_never_could_be_looked_at_ends_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = Dispatcher(Context(Settings(), world.bus, world.store, InlinePool()))

    async def away(*_: object) -> None:
        raise Transient("the provider is away")

    monkeypatch.setattr(dispatcher, "_find_device", away)
    config = {"benchmark_name": "WIT", "num_qubits": 7}
    messages = [
        JobRequested(job_id="one", provider="local", device="aer_simulator", config=config),
        SuiteRequested(
            suite_id="many",
            provider="local",
            device="aer_simulator",
            suite={"name": "s", "benchmarks": [{"name": "a", "config": config}]},
        ),
    ]
    for message in messages:
        body = message.model_dump_json().encode()
        for postponed in (0, 1):
            with pytest.raises(Transient):
                await dispatcher.attempt(Delivery(message.routing_key, body, postponed=postponed))
        await dispatcher.attempt(Delivery(message.routing_key, body, postponed=2))
    for job_id in ("one", "many"):
        job = await world.store.jobs.get(job_id)
        assert job.state is JobState.REJECTED
        assert job.failure is not None
        assert job.failure.reason == "given up after 3 attempts: the provider is away"
    heard = await world.heard.received(2)
    assert {delivery.correlation_id for delivery in heard} == {"one", "many"}
