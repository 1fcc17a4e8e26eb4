"""One document that this version cannot read harms itself only, and is never changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs import Job, JobState, Task
from metriq_gym.jobs.changes import Cancelled
from metriq_gym.service import oddities
from metriq_gym.store import Store
from metriq_gym.store.mongo import OPTIONS, connect
from metriq_gym.telemetry.metrics import REGISTRY
from tests.contract.test_store import task

PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
EXPORT = {"state": "pending", "attempts": 0, "at": PAST}
GOOD_JOB: dict[str, Any] = {
    "state": "scored",
    "created_at": PAST,
    "updated_at": PAST,
    "suite_id": "s",
    "suite_size": 2,
    "deadline_at": PAST,
    "record_due": PAST,
    "exports": {"json": EXPORT},
    "history": [{"state": "dispatching", "at": PAST, "service": "dispatcher"}],
}
ODD_JOBS: dict[str, dict[str, Any]] = {
    "state": {"state": "paused"},
    "export": {"exports": {"json": EXPORT | {"state": "embargoed"}}},
    "exports": {"exports": ["json"]},
    "ages": {"updated_at": "yesterday", "history": {"at": "once"}},
    "held": {"held": {"by": "operator", "since": PAST}},
    "time": {"updated_at": "yesterday"},
    "failure": {"state": "failed", "failure": {"outcome": "expired", "reason": "late", "source": "poll"}},
    "history": {"history": [{"state": "embargoed", "at": PAST, "service": "exporter"}]},
    "lease": {"state": "dispatching", "lease": {"owner": "me", "token": "seven"}},
    "none": {"created_at": None},
}
GOOD_TASK: dict[str, Any] = {
    **task(0, "good").model_dump(by_alias=True, exclude={"circuits", "counts"}),
    "state": "submitted",
    "next_poll_at": PAST,
}
ODD_TASKS: dict[str, dict[str, Any]] = {
    "seed": {"seed": ...},
    "shots": {"shots": "many"},
    "state": {"state": "embargoed"},
    "lease": {"lease": {"owner": "me"}},
}


@pytest.fixture(params=["motor", "pymongo"])
async def store(request: pytest.FixtureRequest, mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    client: Any = connect(mongo_url) if request.param == "motor" else AsyncMongoClient(mongo_url, **OPTIONS)
    async with Store(client, mongo_database) as store:
        await store._database.jobs.insert_many(
            [
                {"_id": "good"} | GOOD_JOB,
                {"_id": "still"} | GOOD_JOB | {"state": "completed", "held": None, "suite_id": None},
                *({"_id": name} | GOOD_JOB | changes for name, changes in ODD_JOBS.items()),
            ]
        )
        await store._database.tasks.insert_many(
            [
                GOOD_TASK,
                *(
                    {
                        key: value
                        for key, value in (GOOD_TASK | {"_id": f"{name}:0", "job_id": name} | changes).items()
                        if value is not ...
                    }
                    for name, changes in ODD_TASKS.items()
                ),
            ]
        )
        yield store


async def everything(store: Store) -> list[Any]:
    found = [[each async for each in store._database[name].find().sort("_id")] for name in ("jobs", "tasks")]
    return [each for documents in found for each in documents if each["_id"] not in ("good", "still", "good:0")]


def passed_over(collection: str) -> float:
    return REGISTRY.get_sample_value("metriq_unreadable_documents_total", {"collection": collection}) or 0


async def test_whatever_reads_many_jobs_reads_those_that_it_can(store: Store) -> None:
    oddities.heed()
    before, counted = await everything(store), passed_over("jobs")
    assert {job.id for job in await store.catalogue.find()} == {"good", "still"}
    assert [job.id for job in await store.jobs.suite("s")] == ["good"]
    assert [job.id for job in await store.catalogue.standing_still(60)] == ["still"]
    assert await store.catalogue.held() == []
    assert await store.catalogue.stuck() == []
    assert {job.id for job in await store.upkeep.unfinished()} == {"good", "still", "history"}  # which it does not read
    assert {job.id for job in await store.upkeep.unmoved(60)} == {"good", "still", "history"}  # which it does not read
    assert {job.id for job in await store.upkeep.unrecorded(60)} == {
        "good",
        "still",
        "history",
    }  # which it does not read
    assert {job.id for job in await store.upkeep.overdue()} == {"good", "still", "history"}  # which it does not read
    assert {each.state for each in await store.catalogue.by_state()} >= {JobState.SCORED}
    assert await store.catalogue.state_counts()
    assert await store.catalogue.undecided_counts()
    assert passed_over("jobs") > counted
    assert await everything(store) == before


async def test_whatever_reads_many_tasks_reads_those_that_it_can_and_claims_no_other(store: Store) -> None:
    before = await everything(store)
    claimed = await store.tasks.claim("local", owner="me", limit=10, lease_seconds=60)
    assert [each.id for each in claimed] == ["good:0"]
    due = await store.tasks.due("local", limit=10)
    await store.tasks.pass_over("local", due, first_seconds=1, growth=1, max_seconds=1)
    assert [each.id for each in await store.catalogue.outline("good")] == ["good:0"]
    assert await store.catalogue.outline("seed") == []
    assert await everything(store) == before


@pytest.mark.parametrize("job_id", sorted(ODD_JOBS))
async def test_one_job_that_cannot_be_read_is_said_to_be_and_stays_as_it_is(store: Store, job_id: str) -> None:
    before = await everything(store)
    with pytest.raises(UnreadableDocument, match=job_id):
        await store.jobs.get(job_id)
    with pytest.raises(UnreadableDocument, match=job_id):
        await store.jobs.move(job_id, Cancelled(), service="test")
    assert await everything(store) == before


async def test_a_job_one_of_whose_tasks_cannot_be_read_is_not_judged_by_the_others(store: Store) -> None:
    with pytest.raises(UnreadableDocument):
        await store.tasks.of_job("seed")
    with pytest.raises(UnreadableDocument):
        await store.tasks.states("state")


@pytest.mark.parametrize("newest", [None, 1000])
async def test_each_document_that_cannot_be_read_is_listed_once_with_the_reason(
    store: Store, newest: int | None
) -> None:
    listed = await store.catalogue.unreadable(newest=newest)
    found = {(each.collection, each.id): each.reason for each in listed}
    assert len(found) == len(listed)
    assert found.keys() == {
        *(("jobs", name) for name in ODD_JOBS),
        *(("tasks", f"{name}:0") for name in ODD_TASKS),
    }
    assert found["jobs", "export"].startswith("exports.json.state: Input should be 'pending'")
    assert found["tasks", "seed:0"] == "seed: Field required"


async def test_of_many_documents_the_newest_and_those_on_their_way_are_looked_at(store: Store) -> None:
    """What has ended is told of by `mgym doctor`, which looks at all there is."""
    ended = GOOD_JOB | {"state": "exported"}
    await store._database.jobs.insert_one({"_id": "old"} | ended | {"tags": 7})
    await store._database.jobs.insert_many([{"_id": f"n{number}"} | ended for number in range(20)])
    await store._database.jobs.insert_one({"_id": "new"} | ended | {"tags": 7})
    found = {each.id for each in await store.catalogue.unreadable(newest=10) if each.collection == "jobs"}
    assert found == {*ODD_JOBS, "new"} - {"failure"}  # which has ended, too
    assert "old" in {each.id for each in await store.catalogue.unreadable()}
    for name, changes in (("unknown", {"state": "unknown"}), ("when", {"next_poll_at": "soon"})):
        odd = {"_id": f"good:{name}", "job_id": "good", "seed": "none"} | changes
        await store._database.tasks.insert_one(GOOD_TASK | odd)
    await store._database.tasks.insert_many(
        [GOOD_TASK | {"_id": f"n{n}:0", "job_id": f"n{n}", "state": "completed"} for n in range(20)]
    )
    assert {"good:unknown", "good:when"} <= {each.id for each in await store.catalogue.unreadable(newest=10)}


async def test_whatever_the_services_write_is_readable(store: Store) -> None:
    """The database's own idea of what can be read is no narrower than the model's."""
    full = Job.model_validate({"_id": "full"} | GOOD_JOB).model_dump(by_alias=True)
    await store._database.jobs.insert_one(full)
    tasks = [task(number, "full") for number in range(3)]
    await store.tasks.insert(tasks)
    await store._database.tasks.insert_one(Task.model_validate(task(4, "full")).model_dump(by_alias=True))
    odd = {each.id for each in await store.catalogue.unreadable()}
    assert not {name for name in odd if name.startswith("full")}


async def test_a_suites_plan_that_cannot_be_read_is_passed_over(store: Store) -> None:
    await store.suites.keep("good", [], 60)
    plan = await store._database.suites.find_one()
    await store._database.suites.insert_many(
        [plan | {"_id": "odd", "requests": b"later"}, {"_id": "none", "updated_at": PAST, "deadline_at": PAST}]
    )
    assert [each.id for each in await store.suites.unfinished()] == ["good"]


LATER = datetime(2200, 1, 1, tzinfo=UTC)


async def test_schedules_and_devices_that_cannot_be_read_harm_no_other_and_are_told_of(store: Store) -> None:
    await store.devices.see("tyxonq", "good", num_qubits=1, simulator=False, status="online", metadata={})
    point = {"device_id": "tyxonq/good", "at": PAST, "metadata": 7}
    for collection, document in (
        ("devices", {"_id": "tyxonq/odd", "num_qubits": "many"}),
        ("calibrations", {"_id": "odd", **point}),
        ("schedules", {"_id": "odd", "look_at": PAST, "looked_at": PAST, "open": [{"id": "t", "state": "hovering"}]}),
        ("parked", {"_id": "tyxonq", "expires_at": LATER, "why": "a later version's word"}),
    ):
        await getattr(store._database, collection).insert_many([document])
    await store.parked.park("ibm", "refused", 60)
    assert [each.device for each in await store.devices.all()] == ["good"]
    assert [each.metadata for each in await store.devices.calibrations("tyxonq", "good")] == [{}]
    assert await store.schedules.all() == await store.schedules.due() == []
    assert await store.schedules.of_tick("t") is None
    assert [each.provider for each in await store.parked.all()] == ["ibm"]
    with pytest.raises(UnreadableDocument):
        await store.schedules.get("odd")
    told = {(each.collection, each.id) for each in await store.unreadable()}
    assert {("devices", "tyxonq/odd"), ("schedules", "odd")} <= told
