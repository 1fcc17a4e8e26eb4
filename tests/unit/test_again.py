"""What failed is found by why and when, and begun anew in bulk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Export, ExportState, Job
from metriq_gym.messages import JobResumeRequested, JobScored, Message
from metriq_gym.operations.again import Again, failed_exports, failed_jobs
from metriq_gym.operations.suites import DROPPED
from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from tests.support.jobs import AT, ended_job, failed_job

FULL = "cannot write /r/x.json: No space left on device"


class Recorder(MemoryBus):
    """A bus that remembers what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Message] = []

    async def publish(self, message: Message) -> None:
        self.sent.append(message)


def export(state: ExportState, error: str | None = None) -> Export:
    return Export(state=state, error=error, attempts=1, at=AT)


def on(day: int, **changes: Any) -> dict[str, Any]:
    return {"created_at": datetime(2026, 11, day, tzinfo=UTC), **changes}


FAILED = ExportState.FAILED
JOBS = [
    ended_job("full", **on(1, exports={"json": export(FAILED, FULL)})),
    ended_job("refused", **on(2, exports={"json": export(ExportState.DONE), "github": export(FAILED, "422: no")})),
    ended_job("both", **on(3, exports={"json": export(FAILED, FULL), "github": export(FAILED, "422: no")})),
    ended_job("pending", **on(4, exports={"json": export(ExportState.PENDING, FULL)})),
    ended_job("dropped", **on(5, exports={"github": export(FAILED, DROPPED)})),
    failed_job("broke", reason="out of memory", **on(6, exports={"json": export(FAILED, FULL)})),
    failed_job("late", reason="no result by its deadline", **on(7)),
]


@pytest_asyncio.fixture
async def store() -> AsyncIterator[Store]:
    async with memory_store() as opened:
        for job in JOBS:
            await opened.records.add(job)
        yield opened


def names(found: list[Again]) -> list[tuple[str, str | None]]:
    return [(each.job.id, each.target) for each in found]


@pytest.mark.parametrize(
    ("target", "reason", "expected"),
    [
        (
            None,
            None,
            [("broke", "json"), ("both", "github"), ("both", "json"), ("refused", "github"), ("full", "json")],
        ),
        ("github", None, [("both", "github"), ("refused", "github")]),
        (None, "no space LEFT", [("broke", "json"), ("both", "json"), ("full", "json")]),
        ("github", "space", []),
    ],
)
async def test_exports_that_failed_are_found_by_target_and_reason_but_for_those_an_operator_dropped(
    store: Store, target: str | None, reason: str | None, expected: list[tuple[str, str]]
) -> None:
    assert names(await failed_exports(store, {}, target, reason)) == expected


async def test_what_is_chosen_can_be_narrowed_by_what_is_known_of_the_job(store: Store) -> None:
    since = {"created_at": {"$gte": datetime(2026, 11, 3, tzinfo=UTC)}}
    assert names(await failed_exports(store, since)) == [("broke", "json"), ("both", "github"), ("both", "json")]
    assert names(await failed_jobs(store, since)) == [("late", None), ("broke", None)]
    assert names(await failed_jobs(store, {}, "deadline")) == [("late", None)]


async def test_an_export_begins_anew_at_once_and_a_job_is_asked_to_go_on(store: Store) -> None:
    bus = Recorder()
    for each in [*await failed_exports(store, {"_id": "full"}), *await failed_jobs(store, {"_id": "late"})]:
        await each.begin(store, bus)
    assert bus.sent == [JobScored(job_id="full"), JobResumeRequested(job_id="late", resumed=0)]
    assert (await store.jobs.get("full")).exports["json"].state is ExportState.PENDING


async def test_an_export_that_waits_for_its_suite_says_so(store: Store) -> None:
    of_suite = on(8, suite_id="s", suite_size=2, exports={"github": export(FAILED, "422: no")})
    await store.records.add(ended_job("s.1", **of_suite))
    (each,) = await failed_exports(store, {"_id": "s.1"})
    with pytest.raises(Permanent, match="suite s has not ended"):
        await each.begin(store, Recorder())


def test_it_has_begun_once_an_attempt_has_had_its_end_or_the_job_was_resumed() -> None:
    first: Job = JOBS[0]
    anew = Again(first, "json", FULL)
    assert not anew.has_begun(ended_job("full", exports={"json": export(ExportState.PENDING)}))
    assert anew.has_begun(ended_job("full", exports={"json": export(ExportState.PENDING, FULL)}))
    assert anew.has_begun(ended_job("full", exports={"json": export(ExportState.DONE)}))
    job = Again(JOBS[-1], None, "late")
    assert not job.has_begun(JOBS[-1])
    assert job.has_begun(JOBS[-1].model_copy(update={"resumed": 1}))
