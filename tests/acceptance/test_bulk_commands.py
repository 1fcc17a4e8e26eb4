"""After an outage: one command for all exports and jobs that failed, and for a suite that cannot complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metriq_gym.client.session import Session
from metriq_gym.jobs import Export, ExportState, Job
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from tests.support.jobs import AT, ended_job
from tests.support.terminal import mgym_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Session]:
    session = Session(Settings(data_dir=folder, workers=1))
    yield session
    session.close()


@pytest.fixture
def environment(folder: Path, session: Session) -> dict[str, str]:
    return {**os.environ, "METRIQ_DATA_DIR": str(folder), "METRIQ_WORKERS": "1"}


def keep(session: Session, *jobs: Job) -> None:
    async def add(store: Store) -> None:
        for job in jobs:
            await store.records.add(job)

    session.on_store(add)


def export(state: ExportState, error: str | None = None, attempts: int = 1) -> Export:
    return Export(state=state, error=error, attempts=attempts, at=AT)


def test_all_exports_that_failed_for_a_reason_are_made_again_with_one_command(
    environment: dict[str, str], session: Session, folder: Path
) -> None:
    full = {"json": export(ExportState.FAILED, "cannot write: No space left on device")}
    other = {"json": export(ExportState.FAILED, "the id is not a file name")}
    keep(session, ended_job("one", exports=full), ended_job("two", exports=full), ended_job("three", exports=other))
    shown = mgym_here(environment, "job", "upload", "--reason", "no space", "--dry-run", "--json")
    assert {each["job_id"] for each in json.loads(shown.stdout)} == {"one", "two"}
    done = mgym_here(environment, "job", "upload", "--reason", "no space", "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{job_id} to json: {folder / 'results' / job_id}.json" for job_id in ("one", "two")
    )
    (left,) = json.loads(mgym_here(environment, "job", "retry", "--all", "--dry-run", "--json").stdout)
    assert (left["job_id"], left["target"]) == ("three", "json")


def test_a_retry_of_everything_has_to_be_asked_for(environment: dict[str, str]) -> None:
    refused = mgym_here(environment, "job", "retry", "--yes")
    assert refused.returncode == 2
    assert "--all" in refused.stderr


def test_a_suite_that_cannot_complete_is_dropped_by_an_operator(environment: dict[str, str], session: Session) -> None:
    waits = {"github": export(ExportState.PENDING, attempts=0), "json": export(ExportState.DONE)}
    keep(session, ended_job("half.001-a", suite_id="half", suite_name="half", suite_size=2, exports=waits))
    environment["METRIQ_GITHUB_TOKEN"] = "not asked for"
    closed = mgym_here(environment, "suite", "close", "half", "--drop", "--yes")
    assert closed.returncode == 0, closed.stderr
    assert "dropped half: 1 results waited" in closed.stderr
    job = session.on_store(lambda store: store.jobs.get("half.001-a"))
    assert job.exports["github"].state is ExportState.FAILED
    again = mgym_here(environment, "suite", "close", "half", "--yes")
    assert again.returncode == 1
    assert "no result of suite half waits" in again.stderr
    chosen = mgym_here(environment, "job", "upload", "--all", "--to", "github", "--dry-run", "--json")
    assert json.loads(chosen.stdout) == []
