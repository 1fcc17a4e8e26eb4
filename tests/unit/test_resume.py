"""A job that failed goes on where its end found it: what its provider has is never submitted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import IllegalTransition, LeaseLost, NotYet
from metriq_gym.exporters.targets import plan_pull_request
from metriq_gym.jobs import ExportState, Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Checked, Completed, Dispatched, Failed, Planned, Scored
from metriq_gym.jobs.documents import CheckedCircuit
from metriq_gym.service.lifecycle import announce
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from metriq_gym.testing.system import InlinePool
from services.exporter import Exporter

FAILED = Failed(failure=Failure(outcome="error", reason="no credit", source="dispatch"))


def tasks(count: int) -> list[Task]:
    fields: dict[str, Any] = {
        "job_id": "j",
        "provider": "cloud",
        "device": "d",
        "run": 0,
        "circuit_count": 1,
        "seed": 0,
    }
    return [
        Task(id=f"j:{n}", state=TaskState.STORED, first=n, shots=10, circuits=b"q", plan=1, **fields)
        for n in range(count)
    ]


async def failed(store: Store, *, for_good: bool = False) -> list[Task]:
    """A job with a task the provider has, two that it may have, and one that it has not; then its end."""
    await store.jobs.accept("j", Accepted(provider="cloud"), owner="first", lease_seconds=60)
    await store.tasks.insert(tasks(4))
    taken = await store.tasks.take_up("j", 1)
    await store.tasks.submitted(await store.tasks.intend(taken[0]), "id-0")
    await store.tasks.intend(taken[1])
    await store.tasks.doubt(await store.tasks.intend(taken[2]), "two may be it", [{"id": "x"}])
    await store.jobs.move("j", FAILED, service="dispatcher")
    await store.tasks.cancel("j", for_good=for_good)
    return taken


async def resumed(store: Store) -> int:
    """Resume the job and take it up; return the fencing token of the dispatcher that did."""
    token = await store.tasks.newest_token("j")
    await store.jobs.resume("j", "resumed", token=token, deadline_seconds=60, resumed=0)
    job = await store.jobs.accept("j", Accepted(), owner="second", lease_seconds=60)
    assert job.lease is not None
    return job.lease.token


async def test_each_task_goes_on_where_the_end_found_it() -> None:
    async with memory_store() as store:
        await failed(store)
        token = await resumed(store)
        assert token > 1
        assert await store.tasks.reopen("j", token) == 0
        states = [task.state for task in await store.tasks.of_job("j")]
        assert states == [TaskState.SUBMITTED, TaskState.SUBMITTING, TaskState.SUBMITTING, TaskState.STORED]
        open_tasks = await store.tasks.take_up("j", token)
        assert [task.id for task in open_tasks] == ["j:1", "j:2", "j:3"]
        assert [task.intended_at is not None for task in open_tasks] == [True, True, False]
        assert [task.id for task in await store.tasks.due("cloud", limit=10)] == ["j:0"]


async def test_a_dispatcher_from_before_the_end_can_submit_nothing_of_a_resumed_job() -> None:
    async with memory_store() as store:
        taken = await failed(store)
        await store.tasks.reopen("j", await resumed(store))
        with pytest.raises(LeaseLost):
            await store.tasks.intend(taken[3])
        assert await store.tasks.take_up("j", 1) == []


async def test_only_a_job_that_failed_is_resumed_and_only_once_for_the_same_request() -> None:
    async with memory_store() as store:
        await failed(store)
        job = await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60, resumed=0)
        assert (job.state, job.resumed, job.failure) == (JobState.DISPATCHING, 1, None)
        with pytest.raises(IllegalTransition):
            await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60)
        await store.jobs.move("j", FAILED, service="dispatcher")
        with pytest.raises(IllegalTransition):
            await store.jobs.resume("j", "resumed", token=1, deadline_seconds=60, resumed=0)
        assert (await store.jobs.get("j")).state is JobState.FAILED


async def test_what_is_still_to_do_about_the_end_leaves_a_resumed_job_alone() -> None:
    async with memory_store() as store, MemoryBus() as bus:
        await failed(store)
        ended = await store.jobs.get("j")
        token = await resumed(store)
        await announce(store, bus, ended)  # by a service that read the job before
        await store.tasks.reopen("j", token)
        before = {task.id: task.state for task in await store.tasks.of_job("j")}
        await store.tasks.cancel("j", for_good=False, token=token - 1)  # by one that read its tasks before as well
        assert {task.id: task.state for task in await store.tasks.of_job("j")} == before
        assert TaskState.CANCELLED not in before.values()


async def test_an_answer_from_before_the_end_changes_no_task_of_a_resumed_job() -> None:
    async with memory_store() as store:
        await store.jobs.accept("j", Accepted(provider="cloud"), owner="first", lease_seconds=60)
        await store.tasks.insert(tasks(1))
        (task,) = await store.tasks.take_up("j", 1)
        await store.tasks.submitted(await store.tasks.intend(task), "id-0")
        due = await store.tasks.due("cloud", limit=1)
        (asked,) = await store.tasks.claim_of("cloud", due, owner="poller", limit=1, lease_seconds=60)
        await store.jobs.move("j", FAILED, service="reconciler")
        await store.tasks.cancel("j", for_good=False)
        await store.tasks.reopen("j", await resumed(store))
        with pytest.raises(LeaseLost):
            await store.tasks.fail(asked, "cancelled")
        due = await store.tasks.due("cloud", limit=1)
        (anew,) = await store.tasks.claim_of("cloud", due, owner="poller", limit=1, lease_seconds=60)
        assert asked.lease is not None
        assert anew.lease is not None
        assert anew.lease.token > asked.lease.token


async def test_what_failed_before_ends_no_job_that_was_resumed_since() -> None:
    async with memory_store() as store:
        await failed(store)
        await resumed(store)
        for end in (
            store.jobs.move("j", FAILED, service="poller", resumed=0),
            store.upkeep.expire("j", FAILED.failure, 1, resumed=0),
        ):
            with pytest.raises(IllegalTransition):
                await end
        assert (await store.jobs.move("j", FAILED, service="poller", resumed=1)).state is JobState.FAILED


async def to_a_result(store: Store) -> Job:
    """Take a job that failed to its result, and have that exported."""
    await resumed(store)
    await store.jobs.move("j", Dispatched(plan=Planned(task_count=4)), service="dispatcher")
    await store.jobs.move("j", Completed(), service="poller")
    await store.jobs.move("j", Scored(result={"score": 1.0}), service="scorer")
    job = await store.exports.settle(["j"], "json", ExportState.DONE, wanted=["json"])
    assert job is not None
    return job


async def test_a_failures_record_that_is_written_late_is_replaced_by_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is resumed and has its result exported while one exporter still writes the record of its failure."""
    async with memory_store() as store, MemoryBus() as bus:
        await failed(store)
        exporter = Exporter(Context(Settings(export_dir=tmp_path, data_dir=tmp_path), bus, store, InlinePool()))
        settle = store.exports.settle

        async def late(*args: Any, **about: Any) -> Job | None:
            monkeypatch.setattr(store.exports, "settle", settle)
            assert (await to_a_result(store)).state is JobState.EXPORTED
            return await settle(*args, **about)

        monkeypatch.setattr(store.exports, "settle", late)
        body = {"job_id": "j", "outcome": "error", "reason": "no credit"}
        with pytest.raises(NotYet):
            await exporter.handle(Delivery("job.failed", json.dumps(body).encode()))
        assert "outcome" in json.loads((tmp_path / "j.json").read_text())
        await exporter.handle(Delivery("job.failed", json.dumps(body).encode()))  # as it comes again
        record = json.loads((tmp_path / "j.json").read_text())
        assert record["results"] == {"score": 1.0}
        assert "outcome" not in record
        assert (await store.jobs.get("j")).state is JobState.EXPORTED


async def test_a_failures_record_that_is_written_late_leaves_a_job_under_way_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_store() as store, MemoryBus() as bus:
        await failed(store)
        exporter = Exporter(Context(Settings(export_dir=tmp_path, data_dir=tmp_path), bus, store, InlinePool()))
        settle = store.exports.settle

        async def late(*args: Any, **about: Any) -> Job | None:
            await resumed(store)
            return await settle(*args, **about)

        monkeypatch.setattr(store.exports, "settle", late)
        body = {"job_id": "j", "outcome": "error", "reason": "no credit"}
        await exporter.handle(Delivery("job.failed", json.dumps(body).encode()))
        job = await store.jobs.get("j")
        assert (job.state, job.exports) == (JobState.DISPATCHING, {})


async def test_the_result_of_a_resumed_job_has_a_pull_request_beside_that_of_its_failure() -> None:
    async with memory_store() as store:
        settings = Settings(github_repos="o/r")
        await failed(store)
        first = plan_pull_request([await store.jobs.get("j")], settings)
        then = plan_pull_request([await to_a_result(store)], settings)
        assert (first.branch, then.branch) == ("mgym/upload-j", "mgym/upload-j-resumed-1")


async def test_tasks_whose_circuits_are_gone_are_counted_and_stay_as_they_are() -> None:
    async with memory_store() as store:
        await failed(store, for_good=True)
        assert await store.tasks.reopen("j", await resumed(store)) == 4
        assert {task.state for task in await store.tasks.of_job("j")} == {TaskState.CANCELLED}


async def test_the_end_of_a_dry_run_is_announced_until_it_was() -> None:
    async with memory_store() as store, MemoryBus() as bus:
        await store.jobs.accept("j", Accepted(provider="cloud", dry=True), owner="first", lease_seconds=60)
        await store.jobs.move("j", Dispatched(plan=Planned(task_count=1)), service="dispatcher")
        said = [CheckedCircuit(run=0, first=0, said={"depth": 3})]
        job = await store.jobs.move("j", Checked(checked=said), service="poller")
        assert (job.has_ended, job.checked) == (True, said)
        assert [each.id for each in await store.upkeep.unrecorded(0)] == ["j"]
        await announce(store, bus, job)
        assert await store.upkeep.unrecorded(0) == []


async def test_what_is_parked_is_said_until_it_is_released() -> None:
    async with memory_store() as store:
        await store.parked.park("tyxonq", "HTTP 401", 60)
        (first,) = await store.parked.all()
        await store.parked.park("tyxonq", "HTTP 403", 60)
        assert [(each.reason, each.since) for each in await store.parked.all()] == [("HTTP 403", first.since)]
        await store.parked.park("other", "HTTP 401", -1)  # not said again in time
        assert [each.provider for each in await store.parked.all()] == ["tyxonq"]
        await store.parked.release("tyxonq")
        assert await store.parked.all() == []


async def test_a_provider_that_is_kept_away_from_is_told_apart_from_a_parked_credential() -> None:
    async with memory_store() as store:
        await store.parked.keep_away("tyxonq", "HTTP 503", 60)
        assert await store.parked.all() == []
        assert [(each.provider, each.reason) for each in await store.parked.away()] == [("tyxonq", "HTTP 503")]
        await store.parked.park("tyxonq", "HTTP 401", 60)
        await store.parked.come_back("tyxonq")
        assert await store.parked.away() == []
        assert [each.reason for each in await store.parked.all()] == ["HTTP 401"]
