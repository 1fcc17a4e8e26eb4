"""A backup is the store of one moment, and what is restored from it goes on and submits nothing twice."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument

from metriq_gym.errors import Permanent
from metriq_gym.jobs import JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.messages import ScheduleRequested
from metriq_gym.store import Store
from metriq_gym.store.backups import FORMAT, NoBackup, checked
from tests.integration.test_submission import TASKS, Cloud, Crash, ids, planned, until_submitted
from tests.sandbox.fixture import SandboxControl
from tests.support.inprocess import dispatcher_and_poller
from tests.support.jobs import ended_job

CIRCUITS = 4
CONFIG = {
    "benchmark_name": "Bernstein-Vazirani",
    "min_qubits": 5,
    "max_qubits": 5,
    "max_circuits": CIRCUITS,
    "shots": 50,
}
AT = datetime(2026, 11, 21, tzinfo=UTC)


@asynccontextmanager
async def new_store(mongo_url: str, name: str) -> AsyncIterator[Store]:
    """Open a store beside the test's own, which goes with it."""
    async with Store.at(mongo_url, name) as opened:
        yield opened
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(name)


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    """One at a server: a snapshot is the server's."""
    async with Store.at(mongo_url, mongo_database) as opened:
        yield opened


@pytest.fixture
async def other(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    """The store that a backup is restored into."""
    async with new_store(mongo_url, f"{mongo_database}_r") as opened:
        yield opened


async def test_a_store_is_restored_as_it_was(store: Store, other: Store, tmp_path: Path) -> None:
    await store.records.add(ended_job("ended"))
    asked = ScheduleRequested(name="nightly", cron="0 3 * * *", provider="local", device="d", config={})
    await store.schedules.add(Schedule(name="nightly", asked=asked, created_at=AT, next_at=AT))
    file = tmp_path / "b.gz"
    counts = await store.backups.write(file)
    assert (counts["jobs"], counts["schedules"]) == (1, 1)
    assert await other.backups.restore(file) == counts
    assert await other.jobs.get("ended") == ended_job("ended")
    assert await other.schedules.all() == await store.schedules.all()
    with pytest.raises(Permanent, match="not empty"):
        await other.backups.restore(file)
    with pytest.raises(FileExistsError):
        await store.backups.write(file)
    await store.backups.write(file, replace=True)
    assert os.listdir(tmp_path) == ["b.gz"]


async def test_a_backup_between_a_submission_and_its_record_submits_nothing_twice(
    store: Store, other: Store, tmp_path: Path
) -> None:
    job, cloud = await planned(store, "j"), Cloud()

    def crash(_: object) -> None:
        raise Crash

    cloud.answer = crash
    with pytest.raises(Crash):
        await until_submitted(store, job, cloud)
    await store.backups.write(tmp_path / "b.gz")
    cloud.answer = lambda _: None
    await other.backups.restore(tmp_path / "b.gz", ["local"])
    assert await until_submitted(other, job, cloud) is None
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}
    assert await ids(other, "j") == [f"id-j:{n}" for n in range(TASKS)]


async def test_what_was_submitted_since_an_older_backup_is_adopted_by_its_tag(
    store: Store, other: Store, tmp_path: Path
) -> None:
    job, cloud = await planned(store, "j"), Cloud()
    await store.backups.write(tmp_path / "b.gz")
    assert await until_submitted(store, job, cloud) is None
    del cloud.accepted[f"j:{TASKS - 1}"]  # which was not sent before the store was lost
    await other.backups.restore(tmp_path / "b.gz", ["local"])
    assert {task.state for task in await other.tasks.of_job("j")} == {TaskState.SUBMITTING}
    assert await until_submitted(other, job, cloud) is None
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}
    assert await ids(other, "j") == [f"id-j:{n}" for n in range(TASKS)]


async def test_a_job_whose_circuits_the_backup_does_not_have_waits_for_an_operator_where_they_cost(
    store: Store, other: Store, tmp_path: Path
) -> None:
    for name in ("cloud", "local"):
        fields = {"provider": name, "device": "d", "target": "d"}
        await store.jobs.accept(name, Accepted.model_validate(fields), owner="me", lease_seconds=60)
    await store.backups.write(tmp_path / "b.gz")
    await other.backups.restore(tmp_path / "b.gz", ["local"])
    assert "may have been submitted since" in ((await other.jobs.get("cloud")).held or "")
    assert [each.id for each in await other.notices.held()] == ["cloud"]  # which is told
    assert (await other.jobs.get("local")).held is None


async def test_what_was_sent_right_before_a_restore_is_given_the_settling_time(
    store: Store, other: Store, tmp_path: Path
) -> None:
    """However old the backup is: a provider's list need not show it yet."""
    await planned(store, "j")
    await store.backups.write(tmp_path / "b.gz")
    await other.backups.restore(tmp_path / "b.gz", ["local"])
    (task, *_) = await other.tasks.of_job("j")
    assert task.sent_until is not None
    assert await other.tasks.intended_before(task, 0)
    assert not await other.tasks.intended_before(task, 600)
    long_ago = task.model_copy(update={"id": "long ago"})
    await other.tasks.insert([long_ago.model_copy(update={"intended_at": AT, "sent_until": None})])
    assert await other.tasks.intended_before(long_ago, 600)
    assert not await other.tasks.intended_before(task, 600)


def copied(url: str, source: str, target: str) -> None:
    """Copy a database as mongodump and mongorestore do: each document as it is, and each collection's indexes."""
    with pymongo.MongoClient[RawBSONDocument](url, document_class=RawBSONDocument) as client:
        for name in client[source].list_collection_names():
            if found := list(client[source][name].find()):
                client[target][name].insert_many(found)
            for index, about in client[source][name].index_information().items():
                options = {key: value for key, value in about.items() if key not in ("v", "key", "ns")}
                if index != "_id_":
                    client[target][name].create_index(about["key"], name=index, **options)


async def test_what_another_tool_has_restored_is_settled_in_place_and_again(
    store: Store, other: Store, mongo_url: str
) -> None:
    job, cloud = await planned(store, "j"), Cloud()
    for name in ("cloud", "local"):
        fields = {"provider": name, "device": "d", "target": "d"}
        await store.jobs.accept(name, Accepted.model_validate(fields), owner="me", lease_seconds=60)
    copied(mongo_url, store._database.name, other._database.name)
    assert await until_submitted(store, job, cloud) is None
    del cloud.accepted[f"j:{TASKS - 1}"]  # which was not sent before the store was lost
    assert await other.backups.settle(["local"]) == (TASKS, 1)
    tasks = await other.tasks.of_job("j")
    assert {(task.state, task.intended_at) for task in tasks} == {(TaskState.SUBMITTING, job.updated_at)}
    assert await other.backups.settle(["local"]) == (TASKS, 0)
    assert "may have been submitted since" in ((await other.jobs.get("cloud")).held or "")
    assert [each.id for each in await other.notices.held()] == ["cloud"]  # which is told
    assert (await other.jobs.get("local")).held is None
    assert await until_submitted(other, job, cloud) is None
    assert cloud.accepted == {f"j:{n}": 1 for n in range(TASKS)}
    assert await ids(other, "j") == [f"id-j:{n}" for n in range(TASKS)]


@pytest.mark.slow
@pytest.mark.parametrize("echo", ["field", "no"])
async def test_a_copy_of_a_server_goes_on_where_it_stood_at_the_sandbox_and_submits_nothing_twice(
    store: Store, other: Store, mongo_url: str, tyxonq_sandbox: SandboxControl, echo: str
) -> None:
    """It is made after the first of a job's circuits was submitted; the others are before the store is lost.

    Where the list does not show the remarks, several of them cannot be told apart, and an operator decides.
    """
    tyxonq_sandbox.set(pending_seconds=0.1, running_seconds=0.1, results="ideal", echo_remarks=echo)
    tyxonq_sandbox.freeze()
    submitted = store.tasks.submitted

    async def then_copied(task: Task, provider_job_id: str) -> Task:
        written = await submitted(task, provider_job_id)
        if not await asyncio.to_thread(copied_already):
            await asyncio.to_thread(copied, mongo_url, store._database.name, other._database.name)
            tyxonq_sandbox.freeze(False)
        return written

    def copied_already() -> bool:
        with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
            return client[other._database.name]["jobs"].find_one() is not None

    store.tasks.submitted = then_copied  # type: ignore[method-assign]
    async with dispatcher_and_poller(store, tyxonq_sandbox) as pair:
        await pair.request("j", CONFIG)
        await pair.until("j", lambda job: job.state is not JobState.DISPATCHING)
    tags = tyxonq_sandbox.submissions()["by_remarks"]
    assert {name: len(each) for name, each in tags.items()} == dict.fromkeys((f"j:{n}" for n in range(CIRCUITS)), 1)
    found = [task.state for task in await other.tasks.of_job("j")]
    assert sorted(Counter(found).items()) == [(TaskState.STORED, CIRCUITS - 1), (TaskState.SUBMITTED, 1)]
    assert await other.backups.settle(["local"]) == (CIRCUITS - 1, 0)
    async with dispatcher_and_poller(other, tyxonq_sandbox) as pair:
        await pair.until("j", lambda job: job.held is not None or job.state is JobState.COMPLETED)
    assert tyxonq_sandbox.submissions()["by_remarks"] == tags
    job, tasks = await other.jobs.get("j"), await other.tasks.of_job("j")
    if echo == "no":
        assert "several new tasks may be the one" in (job.held or "")
    else:
        assert [task.provider_job_id for task in tasks] == [tags[task.id][0] for task in tasks]


async def test_a_restore_that_was_interrupted_goes_on_with_the_same_file_only(
    store: Store, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.records.add(ended_job("one"))
    await store.backups.write(tmp_path / "one.gz")
    await store.records.add(ended_job("two"))
    await store.backups.write(tmp_path / "two.gz")

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr("metriq_gym.store.backups._as_restored", crash)
        with pytest.raises(Crash):
            await other.backups.restore(tmp_path / "two.gz")
    with pytest.raises(Permanent, match="another backup has not ended"):
        await other.backups.restore(tmp_path / "one.gz")
    assert (await other.backups.restore(tmp_path / "two.gz"))["jobs"] == 2


async def test_a_file_that_is_foreign_damaged_or_newer_is_refused_before_anything_is_written(
    store: Store, other: Store, tmp_path: Path
) -> None:
    await store.records.add(ended_job("ended"))
    whole = tmp_path / "b.gz"
    await store.backups.write(whole)
    packed, plain = whole.read_bytes(), gzip.decompress(whole.read_bytes())
    changed = plain.replace(b"ended", b"bended"[1:].replace(b"e", b"E", 1), 1)
    assert changed != plain
    newer = bson.encode({"format": FORMAT, "version": 2, "made_at": AT, "by": "9"})
    files = {
        "is no backup": b"name,value\n",
        "is no backup of": gzip.compress(b"\x00\x00\x00\x00 something"),
        "of this store": gzip.compress(bson.encode({"format": "another"})),
        "or is damaged": packed[:-20],
        "is damaged": gzip.compress(plain[: plain.rindex(b"end") - 5]),
        "not what was written": gzip.compress(changed),
        "a later version, 9": gzip.compress(newer),
        "not enough data": b"",
    }
    for words, content in files.items():
        whole.write_bytes(content)
        with pytest.raises(NoBackup, match=words):
            await other.backups.restore(whole)
    assert await other.jobs.unseen(["ended"])
    whole.write_bytes(packed)
    assert checked(whole)[1]["jobs"] == 1
