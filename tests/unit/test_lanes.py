"""Which requests are dispatched at once, and which wait behind those of others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from metriq_gym.bus.identity import Request, read_request
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import LANES, POLLER, Delivery
from metriq_gym.jobs import Job
from metriq_gym.messages import JobRequested
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.testing import memory_store
from services.dispatcher import Dispatcher
from services.dispatcher.lanes import HALF_LIFE_SECONDS, SIZES, Lanes, share_of
from tests.support.handlers import Recorder
from tests.support.inprocess import InlinePool

CONFIG = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
BACKLOG = 60


def asked(user: str | None = None, **body: Any) -> Request:
    return read_request(Delivery("job.requested", json.dumps(body).encode(), user_id=user))


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def lanes(clock: list[float]) -> Lanes:
    return Lanes(lambda: clock[0])


def test_the_more_a_group_asks_for_the_later_its_requests_wait(lanes: Lanes) -> None:
    found = [lanes.lane(asked(group="many")) for _ in range(SIZES[-1] + 10)]
    first, second, third = SIZES
    assert Counter(found) == {None: first, LANES[0]: second - first, LANES[1]: third - second, LANES[2]: 10}
    assert found == sorted(found, key=lambda lane: lane.lane if lane else 0)


def test_a_request_of_another_group_is_dispatched_at_once(lanes: Lanes) -> None:
    for _ in range(1000):
        lanes.lane(asked(group="many"))
    assert lanes.lane(asked(group="one")) is None


@pytest.mark.parametrize("prior", [1, 4])
def test_an_urgent_request_passes_by_others_of_its_own_group(lanes: Lanes, prior: int) -> None:
    for _ in range(1000):
        lanes.lane(asked(group="many"))
    assert lanes.lane(asked(group="many", prior=prior)) is None
    assert lanes.lane(asked(group="many")) == LANES[-1]


def test_an_urgent_request_of_a_group_with_many_passes_by_no_other_group(lanes: Lanes) -> None:
    found = [lanes.lane(asked(group="many", prior=1)) for _ in range(1000)]
    assert found[-1] == LANES[-1]
    assert lanes.lane(asked(group="one", prior=10)) is None


@pytest.mark.parametrize("prior", [6, 10])
def test_a_request_that_can_wait_waits_for_the_usual_ones_of_its_group(lanes: Lanes, prior: int) -> None:
    for _ in range(SIZES[0]):
        lanes.lane(asked(group="many"))
    assert lanes.lane(asked(group="many", prior=prior)) == LANES[0]
    for _ in range(SIZES[0]):
        lanes.lane(asked(group="other", prior=prior))
    assert lanes.lane(asked(group="other")) is None


def test_what_a_group_asked_for_long_ago_counts_no_more(lanes: Lanes, clock: list[float]) -> None:
    for _ in range(1000):
        lanes.lane(asked(group="many"))
    clock[0] += HALF_LIFE_SECONDS
    assert lanes.lane(asked(group="many")) == LANES[1]
    clock[0] += 20 * HALF_LIFE_SECONDS
    assert lanes.lane(asked(group="many")) is None


@pytest.mark.parametrize(
    ("request_", "share"),
    [
        (asked("u", group="g", suite_id="s"), "group g"),
        (asked("u", suite_id="s"), "suite s"),
        (asked("u"), "user u"),
        (asked(), "user "),
        (asked("u", group=["g"]), "user u"),
        (read_request(Delivery("job.requested", b"[not JSON", user_id="u")), "user u"),
    ],
)
def test_a_share_is_a_group_else_a_suite_else_a_user(request_: Request, share: str) -> None:
    assert share_of(request_) == share


@pytest.mark.parametrize("prior", ["1", 0, 11, None, 1.5, [], 10**30])
def test_a_priority_that_is_none_is_the_usual_one(lanes: Lanes, prior: object) -> None:
    for _ in range(SIZES[0]):
        lanes.lane(asked(group="g"))
    assert lanes.lane(asked(group="g", prior=prior)) == LANES[0]


async def test_a_job_behind_the_backlog_of_another_group_is_dispatched_before_most_of_it() -> None:
    dispatched = await _dispatched([("many", None)] * BACKLOG + [("one", None)])
    assert len(dispatched) == BACKLOG + 1
    assert [job.group for job in dispatched].index("one") < BACKLOG // 2


async def test_an_urgent_job_is_dispatched_before_most_of_its_own_group() -> None:
    dispatched = await _dispatched([("many", None)] * BACKLOG + [("many", 1)])
    assert len(dispatched) == BACKLOG + 1
    assert [job.prior for job in dispatched].index(1) < BACKLOG // 2


async def test_a_job_says_which_lane_its_request_waited_in_and_so_do_its_tasks() -> None:
    dispatched = await _dispatched([("many", None)] * (SIZES[0] + 1))
    assert Counter(job.lane for job in dispatched) == {0: SIZES[0], 1: 1}


async def test_without_shares_nothing_goes_into_a_lane_and_what_is_in_one_is_dispatched() -> None:
    """As before going back to a version that knows no lanes: they run empty while requests keep coming."""
    dispatched, settings = Recorder(), Settings(prefetch=4, fair_shares=False)
    async with memory_store() as store, MemoryBus() as bus:
        for number in range(SIZES[0] + 2):
            await bus.publish(_request(f"new-{number}"))
        for lane in LANES:
            waiting = Delivery("job.requested", _request(f"in-{lane.name}").encoded(), lane=lane.lane)
            await bus.set_aside(waiting, lane)
        await bus.consume(POLLER, dispatched, prefetch=1)
        dispatcher = Dispatcher(Context(settings, bus, store, InlinePool()))
        await dispatcher.start()
        await dispatched.received(SIZES[0] + 2 + len(LANES))
        await dispatcher.stop()
        lanes = Counter([(await store.jobs.get(job_id)).lane for job_id in dispatched.jobs if job_id])
        assert lanes == {0: SIZES[0] + 2, 1: 1, 2: 1, 3: 1}


def _request(job_id: str) -> JobRequested:
    wanted = {"provider": "local", "device": "aer_simulator", "config": CONFIG, "group": "many"}
    return JobRequested.model_validate({"job_id": job_id, **wanted})


async def _dispatched(asked_for: Sequence[tuple[str, int | None]]) -> list[Job]:
    """Return jobs in the order in which a dispatcher that finds all their requests waiting has dispatched them."""
    dispatched = Recorder()
    async with memory_store() as store, MemoryBus() as bus:
        for number, (group, prior) in enumerate(asked_for):
            wanted = {"provider": "local", "device": "aer_simulator", "config": CONFIG, "group": group, "prior": prior}
            await bus.publish(JobRequested.model_validate({"job_id": f"j{number}", **wanted}))
        await bus.consume(POLLER, dispatched, prefetch=1)
        dispatcher = Dispatcher(Context(Settings(prefetch=4), bus, store, InlinePool()))
        await dispatcher.start()
        await dispatched.received(len(asked_for))
        await dispatcher.stop()
        jobs = [await store.jobs.get(job_id) for job_id in dispatched.jobs if job_id]
        for job in jobs:
            assert {task.lane for task in await store.tasks.of_job(job.id)} == {job.lane}
        return jobs


async def test_a_request_whose_dispatcher_ends_after_it_was_put_aside_is_dispatched_once() -> None:
    dispatched, behind = Recorder(), Recorder()
    async with memory_store() as store, MemoryBus() as bus:
        await bus.consume(POLLER, dispatched, prefetch=1)
        await bus.consume(LANES[0], behind, prefetch=1)
        dispatcher = Dispatcher(Context(Settings(), bus, store, InlinePool()))
        for _ in range(SIZES[0]):
            dispatcher._lanes.lane(asked(group="g"))
        body = {"job_id": "j", "provider": "local", "device": "aer_simulator", "config": CONFIG, "group": "g"}
        delivery = Delivery("job.requested", json.dumps(body).encode())
        await dispatcher.handle(delivery)
        [aside] = await behind.received(1)
        await dispatcher.handle(replace(delivery, attempt=2, returned=1))  # one that comes again is not put aside
        before = await store.jobs.get("j"), await store.tasks.of_job("j")
        await dispatcher.handle(aside)
        assert (await store.jobs.get("j"), await store.tasks.of_job("j")) == before
        assert await dispatched.received(2)  # the same wake-up twice
        assert len(behind.deliveries) == 1
