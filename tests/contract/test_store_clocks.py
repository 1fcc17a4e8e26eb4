"""Times that the server's clock has left too far ahead, as after it was set back, are brought back; others stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from metriq_gym.errors import LeaseLost
from metriq_gym.jobs import ExportState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.store import Store
from tests.support.jobs import failed_job

HOUR = 3600
LEASE = 30.0
WITHIN: dict[str, Any] = {"lease_seconds": LEASE, "longest_seconds": 75, "deadline_seconds": 7 * 86400}


def queued(number: int) -> Task:
    fields: dict[str, Any] = {
        "job_id": "j",
        "provider": "cloud",
        "device": "d",
        "run": 0,
        "circuit_count": 1,
        "seed": 0,
    }
    return Task(id=f"j:{number}", state=TaskState.STORED, first=number, shots=10, circuits=b"q", plan=1, **fields)


def ahead(collection: Any, seconds: float, *fields: str) -> None:
    """Let times lie ahead as if the clock had been set back since they were written."""
    later = {field: {"$add": [f"${field}", int(1000 * seconds)]} for field in fields}
    collection.update_many({}, [{"$set": later}])


async def bring_back(store: Store, *, set_back: bool = False) -> int:
    token = await store.leases.take("reconciler", owner="me", lease_seconds=LEASE)
    assert token is not None
    now = (await store.clocks.look("reconciler", token, longest_gap=600)).now
    return await store.clocks.bring_back(now, **WITHIN, set_back=set_back)


async def test_a_task_that_is_due_further_ahead_than_the_longest_pause_is_due_in_a_lease_at_most(
    store: Store, database: Any
) -> None:
    await store.jobs.accept("j", Accepted(provider="cloud"), owner="me", lease_seconds=LEASE)
    await store.tasks.insert([queued(0), queued(1)])
    await store.tasks.release("j")
    (claimed,) = await store.tasks.claim("cloud", owner="poller", limit=1, lease_seconds=LEASE)
    assert await bring_back(store) == 0
    ahead(database.tasks, HOUR, "next_poll_at")
    assert HOUR - LEASE < await store.catalogue.furthest_ahead("cloud") <= HOUR + LEASE
    assert await store.tasks.due("cloud", limit=10) == []
    assert await bring_back(store) == 2
    assert await store.catalogue.furthest_ahead("cloud") <= LEASE
    await store.tasks.renew(claimed, LEASE)  # who holds it keeps it


async def test_a_job_in_the_hands_of_a_dispatcher_that_is_gone_is_taken_over_in_a_lease_at_most(
    store: Store, database: Any
) -> None:
    await store.jobs.accept("j", Accepted(), owner="gone", lease_seconds=LEASE)
    assert await bring_back(store) == 0
    ahead(database.jobs, HOUR, "updated_at", "lease.expires_at")
    assert await bring_back(store) == 2  # both times
    job = database.jobs.find_one()
    assert job["lease"]["expires_at"] - job["updated_at"] <= timedelta(seconds=LEASE + 5)


async def test_what_ended_is_recorded_although_its_end_lies_ahead(store: Store, database: Any) -> None:
    await store.records.add(failed_job("j"))
    await store.exports.again("j", "json")
    ahead(database.jobs, HOUR, "record_due")
    assert await store.upkeep.unrecorded(0) == []
    assert await bring_back(store) == 1
    assert [job.id for job in await store.upkeep.unrecorded(0)] == ["j"]


@pytest.mark.parametrize("set_back", [False, True])
async def test_a_clock_that_was_certainly_set_back_lets_every_job_be_looked_at(
    store: Store, database: Any, set_back: bool
) -> None:
    await store.jobs.accept("j", Accepted(), owner="me", lease_seconds=0)
    token = await store.leases.take("reconciler", owner="me", lease_seconds=LEASE)
    assert token is not None
    await store.upkeep.checked(["j"], token)
    ahead(database.jobs, HOUR / 2, "check_at")
    assert await bring_back(store, set_back=set_back) == int(set_back)
    assert len(await store.upkeep.unmoved(0)) == int(set_back)


async def test_deadlines_are_put_off_by_what_the_clock_jumped_and_never_beyond_a_full_one(
    store: Store, database: Any
) -> None:
    await store.jobs.accept("j", Accepted(), owner="me", lease_seconds=LEASE, deadline_seconds=0)
    assert await store.clocks.put_off_deadlines(8 * 86400, 7 * 86400) == 1
    assert await store.upkeep.overdue() == []
    job = database.jobs.find_one()
    assert job["deadline_at"] - job["created_at"] < timedelta(days=7, hours=1)


async def test_a_look_tells_how_long_ago_the_last_one_was_by_the_servers_clock(store: Store, database: Any) -> None:
    token = await store.leases.take("reconciler", owner="me", lease_seconds=LEASE)
    assert token is not None
    first = (await store.clocks.look("reconciler", token, longest_gap=600)).elapsed
    assert first == 0
    ahead(database.leases, HOUR, "looked_at")
    elapsed = (await store.clocks.look("reconciler", token, longest_gap=600)).elapsed
    assert -HOUR <= elapsed < 0
    with pytest.raises(LeaseLost):
        await store.clocks.look("reconciler", token + 1, longest_gap=600)


async def test_a_lease_that_was_taken_at_a_time_to_come_has_run_out(store: Store, database: Any) -> None:
    assert await store.leases.take("reconciler", owner="gone", lease_seconds=LEASE) is not None
    assert await store.leases.take("reconciler", owner="me", lease_seconds=LEASE) is None
    ahead(database.leases, HOUR, "taken_at", "expires_at")
    assert await store.leases.take("reconciler", owner="me", lease_seconds=LEASE) is not None


async def test_an_export_that_was_put_off_at_a_time_to_come_is_due(store: Store, database: Any) -> None:
    await store.records.add(failed_job("j"))
    await store.exports.again("j", "json")
    assert await store.exports.begin("j", "json") == 0
    await store.exports.settle(["j"], "json", ExportState.PENDING, error="away", retry_after=60)
    assert await store.exports.begin("j", "json") not in (0, None)
    ahead(database.jobs, HOUR, "exports.json.at", "exports.json.not_before")
    assert await store.exports.begin("j", "json") == 0


@pytest.mark.parametrize(
    ("passed", "steady"), [(HOUR, True), (2 * HOUR + 1, False), (8 * 24 * HOUR, False), (-HOUR, False)]
)
async def test_the_clock_is_steady_since_it_was_set_or_nobody_looked_for_long(
    store: Store, database: Any, passed: float, steady: bool
) -> None:
    token = await store.leases.take("reconciler", owner="me", lease_seconds=LEASE)
    assert token is not None
    gap = 2 * HOUR
    assert await store.clocks.noted("reconciler") is None
    assert (await store.clocks.look("reconciler", token, longest_gap=gap)).steady_seconds == 0
    ahead(database.leases, -HOUR, "looked_at", "steady_since")
    assert (await store.clocks.look("reconciler", token, longest_gap=gap)).steady_seconds >= HOUR
    ahead(database.leases, -passed, "looked_at", "steady_since")
    look = await store.clocks.look("reconciler", token, longest_gap=gap, noted={"jobs": 9})
    assert look.steady_seconds == (pytest.approx(HOUR + passed, abs=300) if steady else 0)
    assert await store.clocks.noted("reconciler") == ({"jobs": 9}, look.steady_seconds)
