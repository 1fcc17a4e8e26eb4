"""Retention: what is old and exported goes, each time the same, and what may still be needed stays."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

from metriq_gym.jobs import Job, JobState, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.jobs.states import ExportState
from metriq_gym.messages import JobRequested, ScheduleRequested
from metriq_gym.store import Store
from metriq_gym.store.retention import Place
from tests.support.jobs import counted_task, ended_job, failed_job, to

NOW = datetime.now(UTC).replace(microsecond=0)
BEFORE = NOW - timedelta(days=90)


def export(state: ExportState) -> dict[str, Any]:
    return {"state": state, "attempts": 1, "at": NOW}


def old(job_id: str, state: JobState = JobState.EXPORTED, days: float = 100, **changes: Any) -> Job:
    """A job that last changed so many days ago, and is exported unless the changes say else."""
    fields = {"exports": {"json": export(ExportState.DONE)}} | changes
    return ended_job(job_id, state=state, updated_at=NOW - timedelta(days=days), **fields)


async def stored(store: Store, *jobs: Job) -> None:
    for job in jobs:
        await store.records.add(job)
        await store.tasks.insert([counted_task(job.id)])


async def gone(store: Store, before: datetime = BEFORE) -> list[str]:
    """The jobs that would be deleted."""
    return list((await store.retention.jobs(before, limit=20)).ids)


async def forgotten(store: Store) -> list[str]:
    """The jobs whose circuits and counts would be."""
    return list((await store.retention.exported(BEFORE, limit=20)).ids)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.EXPORTED])
async def test_counts_are_forgotten_of_exported_jobs_only(store: Store, state: JobState) -> None:
    await stored(store, old("done"), old("other", state))
    assert await forgotten(store) == ["done"]


@pytest.mark.parametrize("state", JobState)
async def test_only_jobs_that_nothing_leads_on_from_are_deleted(store: Store, state: JobState) -> None:
    await stored(store, old("j", state))
    over = {JobState.EXPORTED, JobState.CANCELLED, JobState.REJECTED, JobState.CHECKED}
    assert await gone(store) == (["j"] if state in over else [])


@pytest.mark.parametrize(
    "kept",
    [
        old("kept", days=89),
        old("kept", imported="{}"),
        old("kept", exports={"json": export(ExportState.DONE), "github": export(ExportState.PENDING)}),
        old("kept", exports={"json": export(ExportState.DONE), "github": export(ExportState.FAILED)}),
        old("kept", exports={"json": export(ExportState.DONE), "webhook": export(ExportState.PENDING)}),
        old("kept", to_notify=[{"number": 1, "at": NOW, "reason": "why"}]),
    ],
    ids=["younger", "imported", "still to be exported", "not exported everywhere", "still to be told", "was held"],
)
async def test_what_is_young_imported_or_not_exported_stays(store: Store, kept: Job) -> None:
    await stored(store, kept, old("told", exports={"json": export(ExportState.DONE)}))
    assert await forgotten(store) == await gone(store) == ["told"]


async def test_a_cancelled_job_whose_end_is_not_recorded_yet_stays(store: Store) -> None:
    accepted = Accepted.model_validate({"provider": "local", "device": "aer_simulator"})
    await store.jobs.accept("j", accepted, owner="me", lease_seconds=60)
    await store.jobs.move("j", to(JobState.CANCELLED), service="test")
    assert await gone(store, NOW + timedelta(days=1)) == []


async def test_a_job_of_a_later_version_stays(store: Store, database: Any) -> None:
    await stored(store, old("a"), old("b"))
    database.jobs.update_one({"_id": "a"}, {"$set": {"history": "somewhere else"}})
    assert await gone(store) == await forgotten(store) == ["b"]
    assert not await store.retention.delete("a")


def of_suite(job_id: str, size: int | None, state: JobState = JobState.EXPORTED, **changes: Any) -> Job:
    return old(job_id, state, suite_id="s", suite_name="s", suite_size=size, **changes)


@pytest.mark.parametrize(
    ("jobs", "goes"),
    [
        ([of_suite("s.1", 2), of_suite("s.2", 2)], ["s.1", "s.2"]),
        ([of_suite("s.1", 2), of_suite("s.2", 2, JobState.DISPATCHED)], []),
        ([of_suite("s.1", 2), of_suite("s.2", 2, JobState.SCORED)], []),
        ([of_suite("s.1", 2), of_suite("s.2", 2, days=80)], []),
        ([of_suite("s.1", 2), of_suite("s.2", 2, JobState.FAILED)], ["s.1"]),
        ([of_suite("s.1", 2)], []),
        ([of_suite("s.1", 2, suite_closed=True)], ["s.1"]),
        ([of_suite("s.1", None)], ["s.1"]),
    ],
    ids=["over", "one runs", "one is not exported", "one is young", "one failed", "one is unseen", "closed", "no size"],
)
async def test_jobs_of_a_suite_stay_until_all_of_it_is_over_and_old(
    store: Store, jobs: list[Job], goes: list[str]
) -> None:
    await stored(store, *jobs)
    assert await gone(store) == goes


async def test_jobs_of_a_suite_stay_until_each_that_its_plan_has_was_seen(store: Store) -> None:
    request = JobRequested(job_id="s.2", suite_id="s", provider="cloud", device="d", config={})
    await store.suites.keep("s", [request], 60)
    await stored(store, of_suite("s.1", None))
    assert await gone(store) == []
    await store.suites.finish("s", 1)
    assert await gone(store) == ["s.1"]


async def test_a_suite_that_went_in_part_goes_on(store: Store) -> None:
    await stored(store, of_suite("s.1", 2), of_suite("s.2", 2))
    assert await store.retention.delete("s.1")
    assert await gone(store) == ["s.2"]


async def test_forgetting_leaves_the_result_and_is_done_once(store: Store) -> None:
    job = old("a")
    await stored(store, job, old("b"))
    assert await store.retention.bulky(["a"]) == 1
    assert await store.retention.forget(["a"]) == 1
    assert await store.retention.forget(["a"]) == await store.retention.bulky(["a"]) == 0
    assert await store.jobs.get("a") == job
    tasks = {each.job_id: each for name in "ab" for each in await store.tasks.of_job(name)}
    assert (tasks["a"].circuits, tasks["a"].counts, tasks["a"].state) == (b"", b"", TaskState.COMPLETED)
    assert tasks["b"].counts == b"counts"
    assert await forgotten(store) == ["b"]
    assert await gone(store) == ["a", "b"]


async def test_jobs_are_found_page_by_page_also_those_of_one_moment_and_a_deleted_id_stays_taken(store: Store) -> None:
    await stored(store, old("young", days=91), *(old(name) for name in "cab"), old("oldest", days=200))
    after, pages = None, []
    while True:
        found = await store.retention.jobs(BEFORE, after=after, limit=2)
        pages.append(list(found.ids))
        if (after := found.place) is None:
            break
    assert pages == [["a", "oldest"], ["b", "c"], ["young"]]
    assert await store.retention.delete("a")
    assert not await store.retention.delete("a")
    assert await gone(store) == ["b", "c", "oldest", "young"]
    assert await store.records.is_deleted("a")


async def test_a_job_that_is_to_be_exported_once_more_since_it_was_found_is_not_deleted(store: Store) -> None:
    await stored(store, old("j"))
    assert await gone(store) == ["j"]
    await store.exports.again("j", "github")
    assert not await store.retention.delete("j")
    assert [task.counts for task in await store.tasks.of_job("j")] == [b"counts"]


async def test_a_job_needs_no_message_once_it_has_ended_with_all_that_is_to_be_told(store: Store) -> None:
    await store.records.add(old("exported"))
    await store.records.add(failed_job("failed"))
    await store.records.add(failed_job("to be recorded"))
    await store.exports.again("to be recorded", "json")
    await store.records.add(old("held", JobState.COMPLETED, held="a message was given up"))
    await store.records.add(old("gone"))
    await store.records.delete("gone")
    names = {"exported", "failed", "to be recorded", "held", "gone", "never seen"}
    assert await store.retention.done_with(names) == {"exported", "failed", "gone"}


async def test_schedules_are_read_page_by_page(store: Store) -> None:
    asked = ScheduleRequested(name="x", cron="0 3 * * *", provider="local", device="d", config={})
    for name in "cab":
        await store.schedules.add(Schedule(name=name, asked=asked, created_at=NOW, next_at=NOW))
    assert [each.name for each in await store.schedules.page(limit=2)] == ["a", "b"]
    assert [each.name for each in await store.schedules.page(after="b", limit=2)] == ["c"]


class _Finds(monitoring.CommandListener):
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "find":
            left = {"lsid", "$clusterTime", "$db"}
            self.sent.append({name: value for name, value in event.command.items() if name not in left})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


PLACE = Place(NOW - timedelta(days=150), "kept-000100")
LOOKS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "jobs": lambda store: store.retention.jobs(BEFORE, limit=10),
    "jobs, further on": lambda store: store.retention.jobs(BEFORE, after=PLACE, limit=10),
    "counts": lambda store: store.retention.exported(BEFORE, limit=10),
    "counts, further on": lambda store: store.retention.exported(BEFORE, after=PLACE, limit=10),
    "ticks": lambda store: store.schedules.page(limit=10),
}


@pytest.mark.slow
async def test_a_look_costs_the_same_however_much_is_stored_young_forgotten_or_kept(
    server_store: Store, mongo_url: str, mongo_database: str
) -> None:
    """Whatever is kept for another reason, as what was exported in part, costs a look no more than its bound."""
    finds, examined = _Finds(), list[dict[str, list[Any]]]()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[finds]) as client:
        database: Any = client[mongo_database]
        asked = ScheduleRequested(name="x", cron="0 3 * * *", provider="local", device="d", config={})
        like = {
            "young": old("x", days=1).model_dump(by_alias=True),
            "forgotten": old("x", days=200).model_dump(by_alias=True) | {"forgotten": True},
            "kept": old("x", days=150, exports={"json": export(ExportState.FAILED)}).model_dump(by_alias=True),
            "rejected": old("x", JobState.REJECTED, days=150).model_dump(by_alias=True),
            "running": old("x", JobState.DISPATCHED, days=150).model_dump(by_alias=True),
        }
        first = 0
        for each_kind in (200, 5000):
            for kind, document in like.items():
                names = [f"{kind}-{number:06}" for number in range(first, each_kind)]
                await database.jobs.insert_many([document | {"_id": name} for name in names])
            schedule = Schedule(name="x", asked=asked, created_at=NOW, next_at=NOW).model_dump(by_alias=True)
            await database.schedules.insert_many([schedule | {"_id": f"{n:06}"} for n in range(first, each_kind)])
            first = each_kind
            examined.append({})
            for name, look in LOOKS.items():
                finds.sent.clear()
                await look(Store(client, mongo_database))
                told = [await database.command("explain", each, verbosity="executionStats") for each in [*finds.sent]]
                counts = [re.findall(r"'total(?:Keys|Docs)Examined': (\d+)", str(each)) for each in told]
                examined[-1][name] = counts
                assert all(int(count) <= 40 for each in counts for count in each), (name, counts)
    assert examined[0] == examined[1]
    assert all(examined[0].values())
