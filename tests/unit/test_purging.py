"""The retention policy as a dispatcher carries it out: bounded steps, two clocks, and nothing lost by a crash."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.jobs import JobState
from metriq_gym.jobs.schedules import Schedule, Tick, TickState
from metriq_gym.messages import ScheduleRequested
from metriq_gym.operations import status
from metriq_gym.service import purging
from metriq_gym.service.purging import STEADY_SECONDS, Policy, before
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.clocks import Look
from metriq_gym.store.leases import RECONCILER
from metriq_gym.testing import MemoryClient
from services.dispatcher.purging import REST_SECONDS, Purger
from tests.faults.points import Crashed, Point, surround_store
from tests.support.jobs import counted_task, ended_job, failed_job

NOW = datetime.now(UTC).replace(microsecond=0)
EVERYTHING = Policy(tasks=90, jobs=730, letters=30, ticks=60)


@dataclass
class World:
    """What there is to purge, and the clocks."""

    client: MemoryClient = field(default_factory=MemoryClient)
    bus: MemoryBus = field(default_factory=MemoryBus)
    own: datetime = NOW
    monotonic: float = 0.0

    def store(self) -> Store:
        return Store(self.client, "metriq")

    def purger(self, policy: Policy = EVERYTHING, store: Store | None = None) -> Purger:
        return Purger(store or self.store(), self.bus, policy, now=lambda: self.monotonic, today=lambda: self.own)

    async def left(self) -> dict[str, Any]:
        store = self.store()
        jobs = {job.id: await store.retention.bulky([job.id]) for job in await store.catalogue.find(limit=100)}
        ticks = [tick.id for schedule in await store.schedules.all() for tick in (*schedule.ticks, *schedule.open)]
        return {"jobs": jobs, "letters": [each.id for each in self.bus.dead_letters], "ticks": ticks}


def look(steady: float = STEADY_SECONDS, now: datetime = NOW) -> Look:
    return Look(now, 30, steady)


def letter(name: str, job_id: str | None, days: float = 40, key: str = "job.dispatched") -> DeadLetter:
    at = NOW - timedelta(days=days)
    return DeadLetter("metriq.poller", key, b"{}", name, key, job_id, "it broke", "", at, at, 10)


def tick(days: float, state: TickState = TickState.REQUESTED) -> Tick:
    return Tick(at=NOW - timedelta(days=days), id=f"{days:g} days", state=state)


@pytest.fixture
async def world() -> World:
    world = World()
    store = world.store()
    for days, name in ((10, "young"), (100, "a"), (100, "b"), (800, "x"), (800, "y")):
        at = NOW - timedelta(days=days)
        await store.records.add(ended_job(name, state=JobState.EXPORTED, updated_at=at))
        await store.tasks.insert([counted_task(name)])
    at = NOW - timedelta(days=900)
    await store.records.add(failed_job("failed", updated_at=at))
    await store.records.add(ended_job("held", state=JobState.COMPLETED, held="given up", updated_at=at))
    asked = ScheduleRequested(name="nightly", cron="0 3 * * *", provider="local", device="d", config={})
    schedule = Schedule(name="nightly", asked=asked, created_at=NOW, next_at=NOW, open=[tick(200), tick(1)])
    await store.schedules.add(schedule.with_(ticks=[tick(100), tick(61, TickState.SKIPPED), tick(59)]))
    world.bus.dead_letters += [
        letter("of a held job", "held"),
        letter("of a job that ended", "a"),
        letter("of a failed job", "failed"),
        letter("of no job that is known", "unseen", key="job.requested"),
        letter("of a suite", None, key="suite.requested"),
        letter("of no job", None, key="job.cancel_requested"),
        letter("of an estimate", "an estimate", key="estimate.requested"),
        letter("young", None, days=20),
        replace(letter("of no known time", None), last=None),
    ]
    return world


AFTERWARDS = {
    "jobs": {"young": 1, "a": 0, "b": 0, "failed": 0, "held": 0},
    "letters": ["of a held job", "of no job that is known", "of a suite", "young", "of no known time"],
    "ticks": ["59 days", "200 days", "1 days"],
}


async def test_what_is_old_goes_and_what_may_be_needed_stays(world: World) -> None:
    await world.purger()(look())
    assert await world.left() == AFTERWARDS
    await world.purger()(look())
    assert await world.left() == AFTERWARDS
    for name in "xy":
        assert await world.store().records.is_deleted(name)


@pytest.mark.parametrize("what", ["tasks", "jobs", "letters", "ticks"])
async def test_each_part_of_the_policy_is_off_by_default(world: World, what: str) -> None:
    untouched = await world.left()
    only = Policy(**{what: EVERYTHING.days[what]})
    await world.purger(only)(look())
    changed = {name for name, there in (await world.left()).items() if there != untouched[name]}
    assert changed == {"jobs" if what == "tasks" else what}
    assert Policy.of(Settings()).days == {}


async def test_nothing_goes_while_the_stores_clock_has_not_been_steady_for_a_day(world: World) -> None:
    untouched = await world.left()
    await world.purger()(look(STEADY_SECONDS - 1))
    assert await world.left() == untouched


@pytest.mark.parametrize("years", [-10, 10])
async def test_of_two_clocks_the_one_that_is_behind_decides(world: World, years: float) -> None:
    untouched = await world.left()
    wrong = NOW + timedelta(days=365 * years)
    assert before(90, wrong, NOW) == before(90, NOW, wrong) == min(NOW, wrong) - timedelta(days=90)
    world.own = NOW - timedelta(days=365 * 10)  # this machine's is behind by years: nothing is old
    await world.purger()(look(now=wrong))
    assert await world.left() == untouched
    world.own = NOW
    await world.purger()(look(now=NOW + timedelta(days=365 * 10)))  # the store's is ahead by years
    assert await world.left() == AFTERWARDS


async def test_each_look_does_a_bounded_share_and_a_pass_is_followed_by_a_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 1)
    purger = world.purger(Policy(jobs=730))
    there = [len((await world.left())["jobs"])]
    for _ in range(5):
        await purger(look())
        there.append(len((await world.left())["jobs"]))
    assert there == [7, 6, 5, 5, 5, 5]
    await world.store().records.add(ended_job("z", state=JobState.EXPORTED, updated_at=NOW - timedelta(days=800)))
    await purger(look())
    assert len((await world.left())["jobs"]) == 6
    world.monotonic += REST_SECONDS
    await purger(look())
    assert len((await world.left())["jobs"]) == 5


async def test_a_schedule_that_changes_meanwhile_keeps_its_change_and_forgets_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store()
    page = store.schedules.page

    async def changed(**bounds: Any) -> list[Schedule]:
        found = await page(**bounds)
        for each in found:
            await world.store().schedules.write(each.with_(paused=True), NOW)
        return found

    monkeypatch.setattr(store.schedules, "page", changed)
    await world.purger(Policy(ticks=60), store)(look())
    (schedule,) = await store.schedules.all()
    assert (schedule.paused, len(schedule.ticks)) == (True, 3)
    await world.purger(Policy(ticks=60))(look())
    (schedule,) = await store.schedules.all()
    assert (schedule.paused, len(schedule.ticks)) == (True, 1)


async def test_a_purge_that_ends_around_any_of_its_calls_is_carried_on_by_the_next(world: World) -> None:
    """So often as there are calls, each time in a fresh store."""
    crashed_at, number = [], 0
    while True:
        number += 1
        fresh = World(bus=MemoryBus())
        fresh.bus.dead_letters += world.bus.dead_letters
        for collection in ("jobs", "tasks", "schedules"):
            for document in world.client["metriq"].documents(collection).all():
                fresh.client["metriq"].documents(collection).insert(document)
        passed: list[Point] = []

        async def around(name: str, call: Any, passed: list[Point] = passed, at: int = number) -> Any:
            for side in ("before", "after"):
                passed.append(Point(name, len(passed), side))
                if len(passed) == at:
                    raise Crashed
                if side == "before":
                    result = await call()
            return result

        store = fresh.store()
        surround_store(store, around)
        try:
            await fresh.purger(store=store)(look())
        except Crashed:
            crashed_at.append(str(passed[-1]))
            await fresh.purger()(look())
        else:
            break
        assert await fresh.left() == AFTERWARDS, passed[-1]
    assert {name.split()[1] for name in crashed_at} >= {
        "store.retention.jobs",
        "store.retention.delete",
        "store.retention.exported",
        "store.retention.forget",
        "store.retention.done_with",
        "store.schedules.page",
        "store.schedules.write",
    }


async def test_status_says_the_policy_that_dispatchers_carry_out(world: World) -> None:
    store = world.store()
    assert await policy_of(store) == Policy()
    token = await store.leases.take(RECONCILER, owner="me", lease_seconds=60)
    assert token is not None
    await store.clocks.look(RECONCILER, token, longest_gap=600, noted={**EVERYTHING.days, "of a later version": "x"})
    assert await policy_of(store) == EVERYTHING
    assert str(EVERYTHING).startswith("circuits and counts after 90 days, jobs after 730 days, dead letters after 30")
    assert str(Policy()) == "nothing is deleted by itself"


async def policy_of(store: Store) -> Policy:
    return (await status.look(store, Settings(), everywhere=False)).policy
