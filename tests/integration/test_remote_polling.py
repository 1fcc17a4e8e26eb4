"""Tasks that wait at a remote provider: when they are asked about, what becomes of each answer, and who may write."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest

from metriq_gym.errors import Permanent
from metriq_gym.jobs import Task, TaskState
from metriq_gym.jobs.documents import DueTask
from metriq_gym.packing import pack_counts, unpack_counts
from metriq_gym.providers.provider import Ended, Finished, NotNow, Overview, Progress, Unclear, Waiting
from metriq_gym.providers.tyxonq.errors import ProtocolError, RateLimited
from metriq_gym.service.parking import Parking
from metriq_gym.service.pool import Pool
from metriq_gym.store import Store
from metriq_gym.telemetry.metrics import REGISTRY
from services.poller import remote
from services.poller.remote import GROWTH, MAX_UNCLEAR, RemoteTasks
from services.poller.survey import WORTH_FROM
from tests.support.patience import PATIENCE


@dataclass
class Clock:
    """Seconds that pass when told to: the poller's time, while the store keeps the server's."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def decode(circuits: bytes, counts: Mapping[str, int]) -> bytes:
    if "boom" in counts:
        raise ValueError("no such bitstring")
    if "deadly" in counts:
        os.kill(os.getpid(), signal.SIGKILL)
    return pack_counts([dict(counts)])


@dataclass
class Provider:
    """Says what it is told to, by the provider's id of a task, and remembers what it was asked."""

    says: dict[str, Progress | None] = field(default_factory=dict)
    default: Progress | None = field(default_factory=Waiting)
    seen: Overview | Exception = field(default_factory=lambda: Overview(frozenset(), frozenset()))
    asked: list[list[str]] = field(default_factory=list)
    overviews: int = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None
    """What happens while it is asked."""
    name = "cloud"
    decoder = staticmethod(decode)

    async def progress(self, shots: Mapping[str, int], seconds: float) -> dict[str, Progress]:
        self.asked.append(sorted(shots))
        if self.meanwhile:
            await self.meanwhile()
        answers = {name: self.says.get(name, self.default) for name in shots}
        return {name: answer for name, answer in answers.items() if answer is not None}

    async def overview(self) -> Overview:
        self.overviews += 1
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    @property
    def all_asked(self) -> set[str]:
        return {name for names in self.asked for name in names}


class InlinePool:
    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


@dataclass
class Bench:
    """A provider, a store, and pollers between them."""

    store: Store
    raw: pymongo.AsyncMongoClient[dict[str, Any]]
    database: str
    provider: Provider = field(default_factory=Provider)
    clock: Clock = field(default_factory=Clock)
    settled: list[str] = field(default_factory=list)

    def poller(self, owner: str = "me", pool: Pool | None = None, **options: Any) -> RemoteTasks:
        async def settle(job_id: str) -> None:
            self.settled.append(job_id)

        return RemoteTasks(
            self.provider,  # type: ignore[arg-type]
            self.store,
            pool or InlinePool(),  # type: ignore[arg-type]
            owner,
            settle=settle,
            give_up=self.store.tasks.fail,
            now=self.clock,
            **{"lease_seconds": 60, "first_seconds": 1, "max_seconds": 60} | options,
        )

    async def add(self, count: int, job_id: str = "j") -> None:
        """Insert tasks that are due."""
        tasks = [
            {
                "_id": f"{job_id}:{n}",
                "job_id": job_id,
                "provider": "cloud",
                "device": "d",
                "state": "submitted",
                "run": 0,
                "first": n,
                "circuit_count": 1,
                "shots": 10,
                "seed": n,
                "circuits": b"qpy",
                "provider_job_id": f"{job_id}.{n}",
                "next_poll_at": datetime(2026, 1, 1, tzinfo=UTC),
            }
            for n in range(count)
        ]
        await self.raw[self.database].tasks.insert_many(tasks)

    async def all_due(self) -> None:
        """Let time pass until every task is due."""
        changes = {"$set": {"next_poll_at": datetime(2026, 1, 1, tzinfo=UTC)}}
        await self.raw[self.database].tasks.update_many({"next_poll_at": {"$exists": True}}, changes)

    async def waits(self) -> list[float]:
        """Seconds from the server's time until each task is due."""
        found = self.raw[self.database].tasks.aggregate(
            [
                {"$match": {"next_poll_at": {"$exists": True}}},
                {"$sort": {"first": 1}},
                {"$project": {"ms": {"$subtract": ["$next_poll_at", "$$NOW"]}}},
            ]
        )
        return [each["ms"] / 1000 async for each in await found]

    async def tasks(self, job_id: str = "j") -> list[Task]:
        return await self.store.tasks.of_job(job_id)

    async def states(self, job_id: str = "j") -> list[TaskState]:
        return [task.state for task in await self.tasks(job_id)]

    async def exhaust(self, poller: RemoteTasks) -> None:
        while await poller.poll():
            pass


@pytest.fixture
async def bench(mongo_url: str, mongo_database: str) -> AsyncIterator[Bench]:
    raw: pymongo.AsyncMongoClient[dict[str, Any]]
    async with Store.at(mongo_url, mongo_database) as store, pymongo.AsyncMongoClient(mongo_url) as raw:
        yield Bench(store, raw, mongo_database)


# Intervals


async def test_a_task_that_waits_is_asked_about_less_and_less_often_with_jitter(bench: Bench) -> None:
    await bench.add(40)
    poller = bench.poller(first_seconds=2, max_seconds=30)
    for polls in range(9):
        await bench.all_due()
        await bench.exhaust(poller)
        waits, nominal = await bench.waits(), min(2 * GROWTH**polls, 30)
        assert max(waits) <= 1.25 * nominal
        assert min(waits) >= 0.75 * nominal - 2  # what has passed since
        assert max(waits) - min(waits) > 0.2 * nominal


async def test_intervals_stay_at_their_bound_however_long_a_task_waits(bench: Bench) -> None:
    await bench.add(1)
    await bench.raw[bench.database].tasks.update_one({"_id": "j:0"}, {"$set": {"polls": 10**6}})
    await bench.poller().poll()
    assert 40 < (await bench.waits())[0] <= 75


async def test_tasks_that_are_not_due_are_not_asked_about(bench: Bench) -> None:
    await bench.add(3)
    poller = bench.poller(first_seconds=30)
    await bench.exhaust(poller)
    await bench.exhaust(poller)
    assert bench.provider.asked == [["j.0", "j.1", "j.2"]]


async def test_a_backlog_is_worked_off_in_batches_that_others_can_share(bench: Bench) -> None:
    await bench.add(200)
    poller = bench.poller(first_seconds=30)
    assert await poller.poll()
    assert len(bench.provider.asked[0]) < 20
    await asyncio.gather(bench.exhaust(poller), bench.exhaust(bench.poller("other", first_seconds=30)))
    names = [name for batch in bench.provider.asked for name in batch]
    assert len(names) == len(set(names)) == 200


# Answers


async def test_each_answer_ends_in_the_right_state(bench: Bench) -> None:
    await bench.add(6)
    bench.provider.says = {
        "j.0": Finished({"0": 4, "1": 6}, 2.5),
        "j.1": Ended("syntax error"),
        "j.2": Waiting(),
        "j.3": Unclear("state 'meditating'"),
        "j.4": Finished({"boom": 1}, None),
        "j.5": Finished({"1": 10}, None),
    }
    await bench.poller().poll()
    tasks = await bench.tasks()
    assert [task.state for task in tasks] == ["completed", "failed", *["submitted"] * 3, "completed"]
    assert unpack_counts(tasks[0].counts) == [{"0": 4, "1": 6}]
    assert tasks[0].execution_seconds == 2.5
    assert tasks[1].error == "syntax error"
    assert [task.unclear for task in tasks[2:5]] == [0, 1, 1]
    assert bench.settled == ["j"]


async def test_an_answer_that_ends_the_worker_is_not_understood_and_costs_no_other_its_counts(bench: Bench) -> None:
    await bench.add(4)
    bench.provider.default = Finished({"0": 10}, 1)
    bench.provider.says = {"j.2": Finished({"deadly": 1}, None)}
    async with Pool(1) as pool:
        await bench.poller(pool=pool).poll()
    assert await bench.states() == ["completed", "completed", "submitted", "completed"]
    assert [task.unclear for task in await bench.tasks()] == [0, 0, 1, 0]


async def test_each_job_is_looked_at_once_for_all_of_its_tasks(bench: Bench) -> None:
    await bench.add(250, "a")
    await bench.add(5, "b")
    bench.provider.default = Finished({"0": 10}, 1)
    poller = bench.poller()
    await bench.exhaust(poller)
    assert set(await bench.states("a") + await bench.states("b")) == {TaskState.COMPLETED}
    assert len(bench.settled) <= 2 * len(bench.provider.asked)


async def test_what_stays_unclear_is_given_up_loudly_after_a_bound(bench: Bench) -> None:
    await bench.add(2)
    bench.provider.says = {"j.0": Unclear("state 'meditating'")}
    poller = bench.poller()
    for times in range(1, MAX_UNCLEAR):
        await bench.all_due()
        await poller.poll()
        assert (await bench.tasks())[0].unclear == times
    await bench.all_due()
    await poller.poll()
    failed, other = await bench.tasks()
    assert failed.state is TaskState.FAILED
    assert failed.error is not None
    assert f"{MAX_UNCLEAR} answers" in failed.error
    assert "'meditating'" in failed.error
    assert other.state is TaskState.SUBMITTED


async def test_an_answer_that_is_understood_starts_the_count_anew(bench: Bench) -> None:
    await bench.add(1)
    poller = bench.poller()
    answers: list[tuple[Progress, int]] = [(Unclear("?"), 1), (Unclear("?"), 2), (Waiting(), 0), (Unclear("?"), 1)]
    for answer, unclear in answers:
        bench.provider.default = answer
        await bench.all_due()
        await poller.poll()
        assert (await bench.tasks())[0].unclear == unclear


async def test_not_being_able_to_ask_is_no_answer(bench: Bench) -> None:
    await bench.add(1)
    poller = bench.poller()
    for answer in (Unclear("?"), NotNow("502"), NotNow("502")):
        bench.provider.default = answer
        await bench.all_due()
        await poller.poll()
        bench.clock.seconds += 100
    assert (await bench.tasks())[0].unclear == 1


@pytest.mark.parametrize("error", [KeyError("state"), Permanent("no such page")])
async def test_a_fault_in_the_providers_own_code_is_no_answer(bench: Bench, error: Exception) -> None:
    async def fail() -> None:
        raise error

    await bench.add(2)
    poller = bench.poller()
    bench.provider.meanwhile = fail
    await poller.poll()
    assert await bench.states() == [TaskState.SUBMITTED] * 2
    assert poller.trouble is not None
    assert str(error) in str(poller.trouble)
    bench.provider.meanwhile = None
    bench.provider.default = Finished({"00": 10}, 0.1)
    bench.clock.seconds += 100
    await bench.all_due()
    await poller.poll()
    assert await bench.states() == [TaskState.COMPLETED] * 2


@pytest.mark.parametrize("answer", [NotNow("HTTP 500"), NotNow("429", retry_after=0)])
async def test_a_task_that_is_not_told_of_is_never_given_up_though_others_are_answered(
    bench: Bench, answer: NotNow
) -> None:
    await bench.add(3)
    bench.provider.says = {"j.0": Unclear("?"), "j.1": answer}
    poller = bench.poller()
    await poller.poll()
    bench.provider.says["j.0"] = answer
    for _ in range(2 * MAX_UNCLEAR):
        await bench.all_due()
        await poller.poll()
    assert await bench.states() == [TaskState.SUBMITTED] * 3
    assert [task.unclear for task in await bench.tasks()] == [1, 0, 0]


async def test_a_task_that_is_not_told_of_is_asked_about_less_and_less_often(bench: Bench) -> None:
    await bench.add(2)
    bench.provider.says = {"j.1": NotNow("no whole answer within 7.5 s")}
    poller = bench.poller(first_seconds=2, max_seconds=30)
    for polls in range(5):
        await bench.all_due()
        await poller.poll()
        assert (await bench.waits())[1] >= 0.75 * min(2 * GROWTH**polls, 30) - 2


async def test_a_provider_that_asks_for_patience_and_answers_is_not_kept_away_from_for_longer(bench: Bench) -> None:
    """A pause is asked for each time, and something is answered each time: pauses stay as they are asked for."""
    await bench.add(4)
    bench.provider.says = {"j.0": NotNow("429", retry_after=1)}
    poller = bench.poller()
    for turn in range(1, 20):
        await bench.all_due()
        await poller.poll()
        assert len(bench.provider.asked) == turn
        bench.clock.seconds += 1


# A provider in trouble


async def test_a_provider_in_trouble_is_left_alone_and_its_tasks_come_back(bench: Bench) -> None:
    await bench.add(5)
    bench.provider.default = NotNow("connection refused")
    poller, calls = bench.poller(), []
    for _ in range(4):
        await bench.exhaust(poller)
        calls.append(len(bench.provider.asked))
        await bench.all_due()
        await bench.exhaust(poller)
        assert len(bench.provider.asked) == calls[-1]
        bench.clock.seconds += 2.0 ** (len(calls) - 1)
    assert calls == [1, 2, 3, 4]
    bench.provider.default = Finished({"0": 10}, None)
    bench.clock.seconds += 60
    await bench.all_due()
    await bench.exhaust(poller)
    assert set(await bench.states()) == {TaskState.COMPLETED}


async def test_the_store_says_why_a_provider_is_left_alone_until_it_answers(bench: Bench) -> None:
    async def said(poller: RemoteTasks) -> list[tuple[str, str]]:
        await parking.tell_away("cloud", poller.trouble)
        return [(each.provider, each.reason) for each in await bench.store.parked.away()]

    await bench.add(5)
    parking, poller = Parking(bench.store, bench.clock), bench.poller()
    assert await said(poller) == []
    bench.provider.default = NotNow("connection refused")
    await bench.exhaust(poller)
    ((provider, reason),) = await said(poller)
    assert (provider, "connection refused" in reason) == ("cloud", True)
    bench.provider.default = Waiting()
    bench.clock.seconds += 60
    await bench.all_due()
    await bench.exhaust(poller)
    assert await said(poller) == []


async def test_the_metrics_show_a_provider_in_trouble_until_it_answers(bench: Bench) -> None:
    def shown() -> float | None:
        return REGISTRY.get_sample_value("metriq_provider_breaker_open", {"provider": "cloud"})

    await bench.add(5)
    poller = bench.poller()
    assert shown() == 0
    bench.provider.default = NotNow("connection refused")
    await bench.exhaust(poller)
    assert shown() == 1
    bench.clock.seconds += 60  # it may be asked again, which proves nothing
    assert shown() == 1
    bench.provider.default = Waiting()
    await bench.all_due()
    await bench.exhaust(poller)
    assert shown() == 0


async def test_a_pause_that_the_provider_asks_for_is_kept(bench: Bench) -> None:
    await bench.add(5)
    bench.provider.says = {"j.0": Waiting()}
    bench.provider.default = NotNow("429", retry_after=120)
    poller = bench.poller()
    await bench.exhaust(poller)
    waits = (await bench.waits())[1:]
    assert min(waits) > 115
    assert max(waits) <= 150
    await bench.all_due()
    bench.clock.seconds += 119
    await bench.exhaust(poller)
    assert len(bench.provider.asked) == 1
    bench.clock.seconds += 2
    await bench.exhaust(poller)
    assert len(bench.provider.asked) == 2


async def test_a_provider_that_answers_nothing_in_time_is_in_trouble(bench: Bench) -> None:
    await bench.add(20)
    bench.provider.default = None
    poller = bench.poller()
    await bench.exhaust(poller)
    assert len(bench.provider.asked) == 1
    assert await bench.states() == [TaskState.SUBMITTED] * 20


async def test_what_there_was_no_time_for_is_asked_about_next(bench: Bench) -> None:
    await bench.add(6)
    bench.provider.says = {f"j.{n}": None for n in range(3)}
    poller = bench.poller(first_seconds=30)
    await poller.poll()
    bench.provider.says = {}
    await bench.exhaust(poller)
    assert bench.provider.asked[1] == ["j.0", "j.1", "j.2"]


# Overviews


def overview(waiting: range, ended: range = range(0)) -> Overview:
    return Overview(frozenset(f"j.{n}" for n in waiting), frozenset(f"j.{n}" for n in ended))


async def test_one_overview_stands_for_questions_about_all_tasks_that_wait(bench: Bench) -> None:
    await bench.add(500)
    bench.provider.seen = overview(range(490), range(490, 500))
    await bench.exhaust(bench.poller())
    assert bench.provider.overviews == 1
    assert bench.provider.all_asked == {f"j.{n}" for n in range(490, 500)}
    assert min(await bench.waits()) > 0


async def test_tasks_that_an_overview_shows_waiting_are_left_alone_until_the_next_one(bench: Bench) -> None:
    await bench.add(40)
    bench.provider.seen = overview(range(40))
    await bench.exhaust(bench.poller(first_seconds=4, max_seconds=60))
    assert min(await bench.waits()) > 0.75 * 20 - 2


async def test_an_overview_that_grows_old_in_the_middle_of_a_batch_still_serves(bench: Bench) -> None:
    await bench.add(40)
    bench.provider.seen = overview(range(40))
    poller = bench.poller()
    await poller.poll()
    await bench.all_due()
    due = bench.store.tasks.due

    async def slowly(*args: Any, **options: Any) -> list[DueTask]:
        bench.clock.seconds += 100
        return await due(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.store.tasks, "due", slowly)
        await poller.poll()
    assert bench.provider.asked == []


async def test_what_an_overview_shows_as_ended_is_asked_about_before_its_time(bench: Bench) -> None:
    await bench.add(50)
    bench.provider.seen = overview(range(50))
    poller = bench.poller(first_seconds=1, max_seconds=60)
    await bench.exhaust(poller)
    assert bench.provider.asked == []
    bench.provider.seen, bench.provider.default = overview(range(45), range(45, 50)), Finished({"0": 10}, 1.0)
    bench.clock.seconds += 6
    # None of them is due by itself.
    await bench.raw[bench.database].tasks.update_many({}, {"$set": {"next_poll_at": datetime(2100, 1, 1, tzinfo=UTC)}})
    await bench.exhaust(poller)
    assert bench.provider.all_asked == {f"j.{n}" for n in range(45, 50)}
    assert (await bench.states()).count(TaskState.COMPLETED) == 5


async def test_ids_of_others_in_an_overview_do_no_harm(bench: Bench) -> None:
    await bench.add(WORTH_FROM)
    bench.provider.seen = Overview(frozenset(), frozenset(f"theirs.{n}" for n in range(25_000)))
    await bench.exhaust(bench.poller())
    assert len(bench.provider.all_asked) == WORTH_FROM


async def test_few_tasks_are_asked_about_one_by_one(bench: Bench) -> None:
    await bench.add(WORTH_FROM - 1)
    await bench.exhaust(bench.poller())
    assert bench.provider.overviews == 0
    assert len(bench.provider.all_asked) == WORTH_FROM - 1


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("an answer of more than 67,108,864 bytes"),
        RateLimited("429", retry_after=9),
        KeyError("a fault in the provider's own code"),
    ],
)
async def test_without_an_overview_tasks_are_asked_about_one_by_one(bench: Bench, error: Exception) -> None:
    await bench.add(40)
    bench.provider.seen = error
    poller = bench.poller(first_seconds=30)
    await bench.exhaust(poller)
    if isinstance(error, RateLimited):
        assert bench.provider.asked == []
        bench.clock.seconds += 30  # the shortest pause, longer than what was asked for
    await bench.exhaust(poller)
    await bench.exhaust(poller)
    assert bench.provider.overviews == 1
    assert len(bench.provider.all_asked) == 40


async def test_a_list_that_shows_tasks_waiting_for_ever_does_not_cost_their_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CHECK_EVERY", 5)
    await bench.add(20)
    bench.provider.seen, bench.provider.default = overview(range(20)), Finished({"0": 10}, 1.0)
    poller = bench.poller()
    asked = []
    for _ in range(10):
        await bench.all_due()
        await bench.exhaust(poller)
        asked.append(len(bench.provider.all_asked))
    assert asked[:5] == [0] * 5
    assert len(set(asked[5:])) > 2  # not all at once
    assert set(await bench.states()) == {TaskState.COMPLETED}


async def test_an_overview_that_lags_behind_loses_nothing(bench: Bench) -> None:
    """It says that a task has ended, whose detail says that it runs, and never says so again."""
    await bench.add(20)
    bench.provider.seen = overview(range(19), range(19, 20))
    poller = bench.poller()
    await bench.exhaust(poller)
    assert bench.provider.all_asked == {"j.19"}
    bench.provider.default = Finished({"0": 10}, 1.0)
    await bench.all_due()
    await bench.exhaust(poller)
    assert (await bench.states())[19] is TaskState.COMPLETED


# Leases


async def test_a_poller_that_loses_its_lease_writes_nothing(bench: Bench) -> None:
    await bench.add(5)
    bench.provider.says = {
        "j.0": Finished({"0": 10}, 1),
        "j.1": Ended("no"),
        "j.2": Unclear("?"),
        "j.3": Waiting(),
        "j.4": NotNow("502"),
    }

    async def another_takes_over() -> None:
        bench.provider.meanwhile = None
        assert len(await bench.store.tasks.claim("cloud", owner="other", limit=10, lease_seconds=300)) == 5

    def losses() -> float:
        return REGISTRY.get_sample_value("metriq_lease_losses_total", {"of": "task"}) or 0

    bench.provider.meanwhile = another_takes_over
    before = losses()
    await bench.poller(lease_seconds=0).poll()
    assert losses() == before + 2  # a result and a failure; the others had nothing to lose
    tasks = await bench.tasks()
    assert {task.state for task in tasks} == {TaskState.SUBMITTED}
    assert {task.lease.owner.split("/")[0] for task in tasks if task.lease} == {"other"}
    assert [task.unclear for task in tasks] == [0] * 5
    assert min(await bench.waits()) > 200


async def test_a_cancelled_job_is_polled_no_more_and_keeps_no_late_counts(bench: Bench) -> None:
    await bench.add(3)
    bench.provider.default = Finished({"0": 10}, 1)

    async def cancelled() -> None:
        await bench.store.tasks.cancel("j")

    bench.provider.meanwhile = cancelled
    poller = bench.poller()
    await bench.exhaust(poller)
    assert await bench.states() == [TaskState.CANCELLED] * 3
    assert {task.counts for task in await bench.tasks()} == {b""}
    await bench.exhaust(poller)
    assert len(bench.provider.asked) == 1


async def test_when_a_poller_dies_its_batch_goes_to_another_after_the_lease(bench: Bench) -> None:
    await bench.add(8)

    async def die() -> None:
        raise KeyboardInterrupt

    bench.provider.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        await bench.poller(lease_seconds=0.3).poll()
    bench.provider.meanwhile, bench.provider.default = None, Finished({"0": 10}, 1)
    other = bench.poller("other")
    async with asyncio.timeout(PATIENCE):
        while set(await bench.states()) != {TaskState.COMPLETED}:
            await other.poll()
    assert len(bench.provider.asked) >= 2
