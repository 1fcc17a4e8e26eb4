"""Scripts written for metriq-gym: jobs and suites in a file of their own, run by the embedded runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from metriq_gym import run
from metriq_gym.errors import InvalidRequest, NotFound, Permanent
from metriq_gym.job_manager import JobManager
from metriq_gym.settings import Settings
from metriq_gym.suite_parser import NoSuite
from tests.fake_github.server import MAINTAINER, FakeGitHub
from tests.fake_github.server import serving as serving_github

METRIQ_DATA = "unitaryfoundation/metriq-data"
DEVICE = {"provider": "local", "device": "aer_simulator"}
WIT = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 50}


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with serving_github() as server:
        server.state.add(METRIQ_DATA, writers={MAINTAINER})
        yield server


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Settings:
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        workers=1,
        github_token=SecretStr(github.token(MAINTAINER)),
        github_api_url=github.url,
        github_repos=(METRIQ_DATA,),
        github_pause_seconds=0,
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs") / "jobs.jsonl"


@pytest.fixture(scope="module")
def manager(settings: Settings, file: Path) -> Iterator[JobManager]:
    manager = JobManager(jobs_file=file, settings=settings)
    yield manager
    manager.session.close()


def test_a_job_is_noted_in_the_file_of_its_script(
    manager: JobManager, settings: Settings, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wit.json").write_text(json.dumps(WIT))
    job_id = run.dispatch_job(SimpleNamespace(config=str(tmp_path / "wit.json"), **DEVICE), manager)
    assert [job.id for job in JobManager(file).get_jobs()] == [job_id]

    record = tmp_path / "record.json"
    polled = run.poll_job(SimpleNamespace(job_id="latest", no_cache=True, json=str(record), include_raw=True), manager)
    assert polled.id == job_id
    assert JobManager(file).get_job(job_id).result_data == polled.result_data
    assert json.loads(record.read_text())["results"] == polled.result_data
    assert "expectation_value" in capsys.readouterr().out
    scored_again = run.replay_from_debug_file(tmp_path / "record_debug.json")
    assert scored_again.record() == polled.result_data

    assert run.view_job(SimpleNamespace(job_id=job_id[:12]), manager).id == job_id
    config = SimpleNamespace(job_id=job_id, dry_run=True, repo=METRIQ_DATA, base_branch="dev", pr_title="Mine")
    plan = run.upload_job(config, manager)
    assert "base branch: dev\n" in plan
    assert "title: Mine\n" in plan

    elsewhere = SimpleNamespace(job_id=job_id, repo="some/where")
    with pytest.raises(Permanent, match="not in METRIQ_GITHUB_REPOS"):
        run.upload_job(elsewhere, manager)
    run.delete_job(SimpleNamespace(job_id=job_id), manager)
    assert JobManager(file).get_jobs() == []
    assert JobManager(settings=settings).get_job(job_id).result_data == polled.result_data


def test_a_suite_is_dispatched_polled_uploaded_and_deleted(
    manager: JobManager, file: Path, tmp_path: Path, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"name": name, "component": part, "config": WIT} for name, part in (("a", "x"), ("b", "x"), ("c", "y"))]
    (tmp_path / "suite.json").write_text(json.dumps({"name": "night", "benchmarks": entries}))
    config = SimpleNamespace(suite_config=str(tmp_path / "suite.json"), components=["X"], **DEVICE)
    suite_id = run.dispatch_suite(config, manager)
    assert [job.suite_id for job in JobManager(file).get_jobs()] == [suite_id] * 2

    records = tmp_path / "records.json"
    jobs = run.poll_suite(SimpleNamespace(suite_id="latest", json=str(records)), manager)
    assert [job.suite_name for job in jobs] == ["night"] * 2
    assert [each["results"] for each in json.loads(records.read_text())] == [job.result_data for job in jobs]
    assert [job.result_data for job in run.view_suite(SimpleNamespace(suite_id=suite_id[:8]), manager)] == [
        job.result_data for job in jobs
    ]
    assert "2 of 2 jobs ended" in capsys.readouterr().out

    uploaded = run.upload_suite(SimpleNamespace(suite_id=suite_id, commit_message="Add the night"), manager)
    assert len(uploaded) == 1
    assert next(iter(uploaded.values())).endswith("/pull/1")
    run.delete_suite(SimpleNamespace(suite_id=suite_id), manager)
    assert JobManager(file).get_jobs() == []
    with pytest.raises(ValueError, match="no suite"):
        run.view_suite(SimpleNamespace(suite_id=suite_id), manager)


def test_a_job_that_only_the_file_knows_is_shown_as_the_file_has_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {
        "id": "theirs",
        "job_type": "WIT",
        "params": WIT,
        "data": {"provider_job_ids": ["t1"]},
        "provider_name": "local",
        "device_name": "aer_simulator",
        "dispatch_time": "2026-08-01T12:30:00",
        "result_data": {"expectation_value": {"value": 0.25, "uncertainty": None}},
    }
    (tmp_path / "jobs.jsonl").write_text(json.dumps(line) + "\n")
    manager = JobManager(tmp_path / "jobs.jsonl", settings=settings)

    assert run.poll_job(SimpleNamespace(job_id="the"), manager) == manager.get_job("theirs")
    assert "0.25" in capsys.readouterr().out
    assert run.view_job(SimpleNamespace(job_id="theirs"), manager).id == "theirs"


def test_what_is_not_there_is_named(manager: JobManager) -> None:
    with pytest.raises(NoSuite):
        run.dispatch_suite(SimpleNamespace(suite_config="no such", **DEVICE), manager)
    with pytest.raises(InvalidRequest, match="no component"):
        run.dispatch_suite(SimpleNamespace(suite_config="lr_qaoa", components=["no such"], **DEVICE), manager)
    for ask in (run.poll_job, run.view_job, run.delete_job):
        with pytest.raises(NotFound):
            ask(SimpleNamespace(job_id="no such"), manager)


@pytest.mark.parametrize("name", [None, ""])
def test_a_job_or_suite_that_is_not_named_is_asked_for_and_none_is_deleted(
    name: str | None, manager: JobManager, tmp_path: Path
) -> None:
    line = {"id": "only", "job_type": "WIT", "params": WIT, "data": {}, "provider_name": "local"}
    line |= {"device_name": "aer_simulator", "dispatch_time": "2026-08-01T12:30:00"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(line) + "\n")
    one_job = JobManager(tmp_path / "jobs.jsonl", settings=manager.settings)
    for ask in (run.poll_job, run.view_job, run.upload_job, run.delete_job):
        with pytest.raises(NotFound, match="which job is meant"):
            ask(SimpleNamespace(job_id=name), one_job)
    for ask_suite in (run.poll_suite, run.view_suite, run.upload_suite, run.delete_suite):
        with pytest.raises(NotFound, match="which suite is meant"):
            ask_suite(SimpleNamespace(suite_id=name), one_job)
    assert [job.id for job in one_job.get_jobs()] == ["only"]


def test_a_script_asks_for_providers_and_estimates(
    manager: JobManager, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"local", "tyxonq"} <= set(run.get_providers())
    found = run.estimate_job(SimpleNamespace(config="wit", **DEVICE), manager)

    assert (found.benchmark_name, len(found.circuits)) == ("WIT", 1)
    assert "two-qubit gates" in capsys.readouterr().out
