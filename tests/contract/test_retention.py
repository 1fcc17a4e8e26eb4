"""Retention: what is old and exported goes, each time the same, and what may still be needed stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.jobs import Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.states import ExportState
from metriq_gym.store import Store
from tests.support.jobs import ended_job, to

DAY = 86400
NOW = datetime.now(UTC).replace(microsecond=0)


def export(state: ExportState) -> dict[str, Any]:
    return {"state": state, "attempts": 1, "at": NOW}


def old(job_id: str, state: JobState = JobState.EXPORTED, days: float = 100, **changes: Any) -> Job:
    """A job that last changed so many days ago, and is exported unless the changes say else."""
    fields = {"exports": {"json": export(ExportState.DONE)}} | changes
    return ended_job(job_id, state=state, updated_at=NOW - timedelta(days=days), **fields)


def task(job_id: str) -> Task:
    fields = {"job_id": job_id, "provider": "cloud", "device": "d", "run": 0, "first": 0, "circuit_count": 1}
    packed = {"shots": 1, "seed": 1, "circuits": b"circuits", "counts": b"counts"}
    return Task.model_validate({"_id": f"{job_id}:0", "state": TaskState.COMPLETED} | fields | packed)


async def stored(store: Store, *jobs: Job) -> None:
    for job in jobs:
        await store.records.add(job)
        await store.tasks.insert([task(job.id)])


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.EXPORTED])
async def test_counts_are_forgotten_of_exported_jobs_only(store: Store, state: JobState) -> None:
    await stored(store, old("done"), old("other", state))
    assert await store.retention.exported(90 * DAY, limit=9) == ["done"]


@pytest.mark.parametrize("state", JobState)
async def test_only_jobs_that_nothing_leads_on_from_are_deleted(store: Store, state: JobState) -> None:
    await stored(store, old("j", state))
    over = {JobState.EXPORTED, JobState.CANCELLED, JobState.REJECTED, JobState.CHECKED}
    assert await store.retention.jobs(90 * DAY, limit=9) == (["j"] if state in over else [])


@pytest.mark.parametrize(
    "kept",
    [
        old("kept", days=89),
        old("kept", imported="{}"),
        old("kept", exports={"json": export(ExportState.DONE), "github": export(ExportState.PENDING)}),
        old("kept", exports={"json": export(ExportState.DONE), "github": export(ExportState.FAILED)}),
        old("kept", exports={"json": export(ExportState.DONE), "webhook": export(ExportState.PENDING)}),
    ],
    ids=["younger", "imported", "still to be exported", "not exported everywhere", "still to be told"],
)
async def test_what_is_young_imported_or_not_exported_stays(store: Store, kept: Job) -> None:
    await stored(store, kept, old("told", exports={"json": export(ExportState.DONE)}))
    assert await store.retention.exported(90 * DAY, limit=9) == ["told"]
    assert await store.retention.jobs(90 * DAY, limit=9) == ["told"]


async def test_a_cancelled_job_whose_end_is_not_recorded_yet_stays(store: Store) -> None:
    accepted = Accepted.model_validate({"provider": "local", "device": "aer_simulator"})
    await store.jobs.accept("j", accepted, owner="me", lease_seconds=60)
    await store.jobs.move("j", to(JobState.CANCELLED), service="test")
    assert await store.retention.jobs(0, limit=9) == []


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


async def test_jobs_are_found_page_by_page_and_a_deleted_id_stays_taken(store: Store) -> None:
    await stored(store, *(old(name) for name in "abc"))
    assert await store.retention.jobs(90 * DAY, limit=2) == ["a", "b"]
    assert await store.retention.jobs(90 * DAY, after="b", limit=2) == ["c"]
    assert await store.retention.delete("a")
    assert not await store.retention.delete("a")
    assert await store.retention.jobs(90 * DAY, limit=9) == ["b", "c"]
    assert await store.records.is_deleted("a")
