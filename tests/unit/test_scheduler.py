"""The scheduler over a simulated year, with crashes at every point, and what schedules may say."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.bus.identity import read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest, Unavailable, Unreadable, UnreadableDocument
from metriq_gym.jobs import JobState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.schedules import Schedule, TickState
from metriq_gym.jobs.ticks import id_of, upcoming
from metriq_gym.messages import JobRequested, Message, ScheduleChangeRequested, ScheduleRequested, SuiteRequested
from metriq_gym.store import Store
from metriq_gym.testing import MemoryClient
from metriq_gym.testing import memory as testing_memory
from services.dispatcher.scheduler import Cost, Scheduler, read_schedule
from tests.support.jobs import to

WIT = {"benchmark_name": "WIT", "num_qubits": 7}
BODY = {"name": "nightly", "provider": "local", "device": "aer_simulator", "config": WIT, "cron": "0 3 * * *"}


class Clock:
    """The server's time, which only the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Killed(BaseException):
    """The process ends here."""


class Queue:
    """What is published, until the dispatcher takes it up."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def publish(self, message: Message) -> None:
        self.messages.append(message)


class World:
    """A store, a queue and a scheduler; its jobs run when the test says so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.client = MemoryClient()
        self.store = Store(self.client)
        self.queue = Queue()
        self.counted = 0
        self.cost = Cost(1000, 10)
        self.scheduler = self.start()

    def start(self, wrap: Callable[[Any], Any] = lambda each: each) -> Scheduler:
        """Another process's."""
        store = Store(self.client)
        store.schedules = wrap(store.schedules)
        return Scheduler(store, wrap(self.queue), self.count)

    async def count(self, _: ScheduleRequested) -> Cost:
        self.counted += 1
        return self.cost

    async def keep(self, **fields: Any) -> None:
        asked = ScheduleRequested.model_validate(BODY | fields)
        body = asked.model_dump_json().encode()
        await self.scheduler.keep(read_request(Delivery(ScheduleRequested.routing_key, body)), asked)

    async def change(self, action: str, request_id: str = "r") -> None:
        body = ScheduleChangeRequested.model_validate({"request_id": request_id, "name": "nightly", "action": action})
        await self.scheduler.change(Delivery(body.routing_key, body.model_dump_json().encode()))

    async def at(self, text: str) -> None:
        self.clock.now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        await self.scheduler()

    async def run_jobs(self, *states: JobState) -> None:
        """Take up what is on the queue, as a dispatcher does: what is there already is not begun again."""
        messages, self.queue.messages = self.queue.messages, []
        for message in messages:
            assert isinstance(message, JobRequested)
            fresh = await self.store.jobs.unseen([str(message.job_id)])
            fields = {"provider": message.provider, "device": message.device, "config": message.config}
            for job_id in fresh:
                accepted = Accepted.model_validate(fields | {"tags": message.tags})
                await self.store.jobs.accept(job_id, accepted, owner="d", lease_seconds=0, deadline_seconds=None)
                for state in states:
                    await self.store.jobs.move(job_id, to(state), service="test")

    async def schedule(self) -> Schedule:
        found = await self.store.schedules.get("nightly")
        assert found is not None
        return found

    async def states(self) -> list[tuple[str, TickState]]:
        schedule = await self.schedule()
        return [(each.at.isoformat()[:16], each.state) for each in (*schedule.ticks, *schedule.open)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(testing_memory, "_now", clock)
    return clock


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


class Doomed:
    """Passes calls on, and ends the process before or after one of them."""

    def __init__(self, inner: Any, doom: Iterator[str | None]) -> None:
        self._inner = inner
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            end = next(self._doom)
            if end == "before":
                raise Killed
            result = await getattr(self._inner, name)(*arguments)
            if end == "after":
                raise Killed
            return result

        return call


@pytest.mark.slow
async def test_a_year_of_nightly_ticks_with_crashes_gives_one_job_a_night(world: World, clock: Clock) -> None:
    draw = random.Random(17)
    begin, end = clock.now, datetime(2027, 1, 1, tzinfo=UTC)
    await world.keep(timezone="Europe/Berlin", overlap="run")
    asked = (await world.schedule()).asked
    nights = list(itertools.takewhile(lambda each: each < end, upcoming(asked, begin)))
    assert len(nights) == 365
    assert {each.hour for each in nights} == {1, 2}  # three in the morning, in summer and in winter

    def doom() -> Iterator[str | None]:
        while True:
            yield draw.choice([None, None, None, None, "before", "after"])

    crashes = 0
    for night in nights:
        for minutes in (0, 2, 5, 40, 600):
            clock.now = night + timedelta(minutes=minutes)
            try:
                await world.start(lambda each: Doomed(each, doom()))()
            except Killed:
                crashes += 1
            if draw.random() < 0.1:
                world.queue.messages.clear()  # the broker has lost its queues
            await world.run_jobs(JobState.DISPATCHED, JobState.FAILED)
    for _ in range(2):
        clock.now += timedelta(hours=1)
        await world.scheduler()
        await world.run_jobs(JobState.DISPATCHED, JobState.FAILED)

    jobs = await world.store.catalogue.find()
    assert len(jobs) == 365
    assert {job.id for job in jobs} == {id_of("nightly", each) for each in nights}
    assert all(job.tags == ["schedule:nightly"] for job in jobs)
    assert {each.state for each in (await world.schedule()).ticks} == {TickState.REQUESTED}
    assert crashes > 300  # else the test shows nothing


async def test_two_dispatchers_at_once_request_a_tick_once(world: World, clock: Clock) -> None:
    await world.keep()
    clock.now = datetime(2026, 1, 1, 3, tzinfo=UTC)
    one, other = await world.store.schedules.due(), await world.store.schedules.due()
    await world.scheduler._see_to(one[0])
    await world.start()._see_to(other[0])
    assert len(world.queue.messages) == 1


async def test_a_request_that_got_lost_is_published_again(world: World) -> None:
    await world.keep()
    await world.at("2026-01-01T03:00")
    world.queue.messages.clear()
    await world.at("2026-01-01T03:00:30")
    assert world.queue.messages == []
    await world.at("2026-01-01T03:02")
    (message,) = world.queue.messages
    assert message.correlation_id == id_of("nightly", datetime(2026, 1, 1, 3, tzinfo=UTC))


async def test_a_tick_is_skipped_while_the_job_before_runs(world: World) -> None:
    await world.keep()
    await world.at("2026-01-01T03:00")
    await world.at("2026-01-02T03:00")  # not even taken up yet
    await world.run_jobs(JobState.DISPATCHED)
    await world.at("2026-01-03T03:00")
    assert [state for _, state in await world.states()].count(TickState.SKIPPED) == 2
    assert world.queue.messages == []
    (job,) = await world.store.catalogue.find()
    assert (await world.schedule()).ticks[-1].reason == f"{job.id} still runs"
    await world.store.jobs.move(job.id, to(JobState.FAILED), service="test")
    await world.at("2026-01-04T03:00")
    assert len(world.queue.messages) == 1


async def test_a_tick_runs_beside_the_job_before_where_that_is_wanted(world: World) -> None:
    await world.keep(overlap="run")
    for day in (1, 2):
        await world.at(f"2026-01-0{day}T03:00")
        await world.run_jobs(JobState.DISPATCHED)
    assert len(await world.store.catalogue.find()) == 2


async def test_a_budget_holds_ticks_and_spends_no_more(world: World) -> None:
    await world.keep(cron="0 * * * *", daily_shots=2500)
    for hour in range(24):
        await world.at(f"2026-01-01T{hour:02}:00")
        await world.run_jobs(JobState.DISPATCHED, JobState.FAILED)
    assert len(await world.store.catalogue.find()) == 2
    held = [each for each in (await world.schedule()).open if each.state is TickState.HELD]
    assert [each.reason for each in held] == ["needs 1,000 shots; 500 of 2,500 are left on 2026-01-01"]
    assert world.counted == 3
    await world.at("2026-01-02T00:00")
    assert [each.correlation_id for each in world.queue.messages] == [held[0].id]


async def test_what_cannot_be_counted_is_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: ScheduleRequested) -> Cost:
        raise Unavailable("the provider is away")

    scheduler = Scheduler(world.store, world.queue, away)  # type: ignore[arg-type]
    await world.keep(daily_circuits=2**53)
    world.clock.now = datetime(2026, 1, 1, 3, tzinfo=UTC)
    await scheduler()
    (tick,) = (await world.schedule()).open
    assert (tick.state, tick.reason) == (TickState.HELD, "what it costs cannot be counted: the provider is away")
    await world.at("2026-01-01T03:05")
    assert len(world.queue.messages) == 1


async def test_a_paused_schedule_rests_and_begins_anew_when_resumed(world: World) -> None:
    await world.keep()
    await world.change("pause", "r1")
    await world.at("2026-01-03T04:00")
    assert world.queue.messages == []
    await world.change("resume", "r2")
    await world.scheduler()
    assert world.queue.messages == []  # what came meanwhile is no tick
    await world.at("2026-01-04T03:00")
    assert len(world.queue.messages) == 1


async def test_a_request_to_run_runs_once_however_often_it_comes(world: World) -> None:
    await world.keep()
    await world.change("pause", "r1")
    for _ in range(2):
        await world.change("run", "r2")
        await world.scheduler()
        await world.run_jobs(JobState.DISPATCHED)
    assert [job.id for job in await world.store.catalogue.find()] == [id_of("nightly", "r2")]


async def test_a_deleted_schedule_is_gone_and_its_jobs_stay(world: World) -> None:
    await world.keep()
    await world.at("2026-01-01T03:00")
    await world.run_jobs(JobState.DISPATCHED)
    await world.change("delete")
    await world.change("pause")  # of one that is not there, without harm
    assert await world.store.schedules.all() == []
    assert len(await world.store.catalogue.find()) == 1


async def test_a_schedule_of_the_same_name_is_changed_only_where_that_is_wanted(world: World) -> None:
    await world.keep()
    await world.keep()  # the same again
    with pytest.raises(InvalidRequest, match="another schedule nightly"):
        await world.keep(cron="0 4 * * *")
    await world.keep(cron="0 4 * * *", replace=True)
    assert (await world.schedule()).next_at == datetime(2026, 1, 1, 4, tzinfo=UTC)


async def test_a_suite_runs_at_each_tick_as_one(world: World) -> None:
    suite = {"name": "s", "benchmarks": [{"name": "a", "config": WIT}, {"name": "b", "config": WIT}]}
    await world.keep(config=None, suite=suite)
    await world.at("2026-01-01T03:00")
    (message,) = world.queue.messages
    assert isinstance(message, SuiteRequested)
    assert message.suite_id == id_of("nightly", datetime(2026, 1, 1, 3, tzinfo=UTC))
    await world.store.suites.keep(str(message.suite_id), [], 60)
    await world.at("2026-01-01T03:05")
    assert await world.states() == [("2026-01-01T03:00", TickState.REQUESTED)]
    assert (await world.schedule()).open == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "two words"}, "$.name"),
        ({"name": "x" * 51}, "$.name"),
        ({"name": "ünï"}, "$.name"),
        ({"daily_shots": 10**30}, "$.daily_shots"),
        ({"daily_circuits": 0}, "$.daily_circuits"),
        ({"missed": "never"}, "$.missed"),
        ({"config": {"benchmark_name": "WIT", "num_qubits": 1}}, "$.config.num_qubits"),
        ({"cron": 3}, "$.cron"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_named_by_its_place(change: dict[str, Any], path: str) -> None:
    delivery = Delivery(ScheduleRequested.routing_key, json.dumps(BODY | change).encode(), "m")
    with pytest.raises(InvalidRequest) as caught:
        read_schedule(read_request(delivery), 10**6)
    assert path in [each.path for each in caught.value.problems]


async def test_a_change_that_is_none_is_unreadable(world: World) -> None:
    with pytest.raises(Unreadable, match="action"):
        await world.scheduler.change(Delivery("schedule.change_requested", b'{"request_id": "r", "name": "n"}'))


async def test_a_schedule_of_a_later_version_is_neither_replaced_nor_changed_nor_waited_for(world: World) -> None:
    await world.store._database.schedules.insert_one({"_id": "nightly", "asked": "in other words"})
    for ask in (world.keep(), world.change("pause"), world.change("delete")):
        with pytest.raises(UnreadableDocument):
            await ask
    assert await world.store._database.schedules.find_one({}) == {"_id": "nightly", "asked": "in other words"}
