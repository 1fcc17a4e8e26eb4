"""What the exporter may rely on from the store, on a server and in memory."""

from __future__ import annotations

import pytest

from metriq_gym.errors import NotFound
from metriq_gym.jobs import Export, ExportState, JobState
from metriq_gym.store import Store
from tests.support.jobs import ended_job


@pytest.fixture(autouse=True)
async def job(store: Store) -> None:
    await store.records.add(ended_job("j"))


async def export(store: Store, target: str = "json") -> Export:
    return (await store.jobs.get("j")).exports[target]


async def test_wanting_a_target_again_keeps_how_far_it_is(store: Store) -> None:
    await store.exports.take_up("j", ["json"], [])
    assert await store.exports.begin("j", "json") == 0
    await store.exports.settle(["j"], "json", ExportState.DONE, location="here")
    job, _ = await store.exports.take_up("j", ["json", "github"], [])
    assert job.exports["json"].location == "here"
    assert (job.exports["github"].state, job.exports["github"].attempts) == (ExportState.PENDING, 0)


async def test_an_attempt_begins_only_when_one_is_due(store: Store) -> None:
    assert await store.exports.begin("j", "json") is None
    await store.exports.take_up("j", ["json"], [])
    assert await store.exports.begin("j", "json") == 0
    await store.exports.settle(["j"], "json", ExportState.PENDING, error="later", retry_after=60)
    assert 0 < (await store.exports.begin("j", "json") or 0) <= 60
    assert (await export(store)).attempts == 1
    await store.exports.again("j", "json")
    assert await store.exports.begin("j", "json") == 0
    assert ((await export(store)).attempts, (await export(store)).error) == (1, None)


async def test_how_an_attempt_ended_is_stored_with_what_else_is_wanted(store: Store) -> None:
    job = await store.exports.settle(["j"], "json", ExportState.DONE, location="here", wanted=["json", "github"])
    assert job is not None
    assert (job.state, job.exports["json"].state, job.exports["json"].attempts) == (
        JobState.SCORED,
        ExportState.DONE,
        1,
    )
    assert (job.exports["github"].state, job.exports["github"].attempts) == (ExportState.PENDING, 0)
    job = await store.exports.settle(["j"], "github", ExportState.DONE, wanted=["json", "github"])
    assert job is not None
    assert (job.state, job.exports["json"].location) == (JobState.EXPORTED, "here")
    assert await store.exports.settle(["gone"], "json", ExportState.DONE) is None


@pytest.mark.parametrize("late", [ExportState.PENDING, ExportState.FAILED])
async def test_what_is_done_stays_done(store: Store, late: ExportState) -> None:
    await store.exports.take_up("j", ["json"], [])
    await store.exports.settle(["j"], "json", ExportState.DONE, location="$here")
    done = await export(store)
    await store.exports.settle(["j"], "json", late, error="too late")
    await store.exports.again("j", "json")
    assert await export(store) == done
    assert (done.location, done.attempts) == ("$here", 1)
    assert await store.exports.begin("j", "json") is None


async def test_what_is_done_and_lost_may_begin_anew(store: Store) -> None:
    await store.exports.take_up("j", ["json"], [])
    await store.exports.settle(["j"], "json", ExportState.DONE, location="here")
    assert (await store.jobs.get("j")).state is JobState.EXPORTED
    await store.exports.again("j", "json", if_done=True)
    assert [job.id for job in await store.upkeep.unrecorded(0)] == ["j"]
    assert await store.exports.begin("j", "json") == 0
    await store.exports.settle(["j"], "json", ExportState.DONE, location="there")
    job = await store.jobs.get("j")
    assert (job.state, job.exports["json"].location) == (JobState.EXPORTED, "there")


async def test_what_failed_may_begin_anew(store: Store) -> None:
    await store.exports.take_up("j", ["json"], [])
    await store.exports.settle(["j", "gone"], "json", ExportState.FAILED, error="$no")
    assert (await export(store)).error == "$no"
    assert await store.exports.begin("j", "json") is None
    await store.exports.again("j", "json")
    assert await store.exports.begin("j", "json") == 0


async def test_exports_of_a_job_that_is_not_there_are_not_found(store: Store) -> None:
    for call in (store.exports.take_up("nobody", ["json"], []), store.exports.again("nobody", "json")):
        with pytest.raises(NotFound, match="nobody"):
            await call


async def test_taking_up_counts_a_first_attempt_at_new_targets_only(store: Store) -> None:
    await store.exports.take_up("j", ["json"], [])
    job, begun = await store.exports.take_up("j", ["json", "github", "slow"], ["json", "github"])
    assert begun == {"github"}
    assert {name: export.state for name, export in job.exports.items()} == dict.fromkeys(
        ("json", "github", "slow"), ExportState.PENDING
    )
    stored = (await store.jobs.get("j")).exports
    assert {name: export.attempts for name, export in stored.items()} == {"json": 0, "github": 1, "slow": 0}
    assert (await store.exports.take_up("j", ["github"], ["github"]))[1] == frozenset()


async def test_a_scored_job_is_exported_by_the_write_that_ends_its_last_export(store: Store) -> None:
    await store.exports.take_up("j", ["json", "github"], [])
    await store.exports.settle(["j"], "json", ExportState.DONE, location="here")
    assert (await store.jobs.get("j")).state is JobState.SCORED
    await store.exports.settle(["j"], "github", ExportState.FAILED, error="no")
    job = await store.jobs.get("j")
    assert job.state is JobState.EXPORTED
    assert [entry.state for entry in job.history].count(JobState.EXPORTED) == 1
    await store.exports.settle(["j"], "github", ExportState.DONE, location="there")
    assert (await store.jobs.get("j")).history == job.history


@pytest.mark.parametrize(("seconds", "set_back"), [(1, False), (3600, True)])
async def test_what_was_put_off_at_a_time_to_come_is_due_after_a_clock_was_set_back(
    store: Store, seconds: int, set_back: bool
) -> None:
    await store.exports.take_up("j", ["json"], [])
    await store.exports.settle(["j"], "json", ExportState.PENDING, error="later", retry_after=7200)
    later = {"$add": ["$exports.json.at", 1000 * seconds]}
    await store.jobs._jobs.update_one({"_id": "j"}, [{"$set": {"exports.json.at": later}}])
    assert (await store.exports.begin("j", "json") == 0) is set_back
