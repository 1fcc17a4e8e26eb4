"""A backup is the store of one moment, and what is restored from it goes on and submits nothing twice."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import bson
import pymongo
import pytest

from metriq_gym.errors import Permanent
from metriq_gym.jobs import TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.messages import ScheduleRequested
from metriq_gym.store import Store
from metriq_gym.store.backups import FORMAT, NoBackup, checked
from tests.integration.test_submission import TASKS, Cloud, Crash, ids, planned, until_submitted
from tests.support.jobs import ended_job

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
    assert (await other.jobs.get("local")).held is None


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
