"""Finding, comparing, running again and cancelling what has been run, without servers, as typed."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.client.session import Session
from metriq_gym.jobs import Job
from metriq_gym.settings import Settings
from tests.support.jobs import ended_job
from tests.support.terminal import MGYM, mgym, mgym_here

SLOW = {"benchmark_name": "BSEQ", "shots": 200_000, "max_colors": 8}


def at(day: int, **changes: Any) -> dict[str, Any]:
    return {"state": "exported", "created_at": datetime(2026, 11, day, 12, tzinfo=UTC), **changes}


OLD = [
    ended_job("first", **at(1, tags=["cold", "nightly"])),
    ended_job("second", **at(2, tags=["nightly"], result={"score": {"value": 0.97, "uncertainty": 0.001}})),
    ended_job("third", **at(3, suite_id="tonight", suite_name="small")),
    ended_job("other", **at(4, benchmark_name="EPLG", result={"eplg_10": 0.01})),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Session]:
    """Its open store keeps the private database up, so that no command need start it."""
    session = Session(Settings(data_dir=folder, workers=1))
    for job in OLD:
        keep(session, job)
    yield session
    session.close()


def keep(session: Session, job: Job) -> None:
    session.on_store(lambda store: store.records.add(job))


@pytest.fixture(scope="module")
def environment(folder: Path, session: Session) -> dict[str, str]:
    return {**os.environ, "METRIQ_DATA_DIR": str(folder), "METRIQ_WORKERS": "1", "METRIQ_LEASE_SECONDS": "3"}


def listed(environment: dict[str, str], *arguments: str) -> list[str]:
    done = mgym_here(environment, "job", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [job["id"] for job in json.loads(done.stdout)]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tag", "nightly"], ["second", "first"]),
        (["--tag", "nightly", "--tag", "cold"], ["first"]),
        (["--since", "2026-11-03"], ["other", "third"]),
        (["--until", "2026-11-02"], ["second", "first"]),
        (["--since", "2026-11-02", "--until", "2026-11-03"], ["third", "second"]),
        (["--since", "2026-11-02T12:00:01", "--until", "2026-11-03T12:00+00:00"], []),
        (["--suite", "tonight"], ["third"]),
        (["--benchmark", "EPLG", "--tag", "nightly"], []),
    ],
    ids=" ".join,
)
def test_jobs_are_found_by_time_tag_and_suite(
    environment: dict[str, str], options: list[str], found: list[str]
) -> None:
    assert listed(environment, *options) == found


def test_a_time_may_be_how_long_ago_it_was(environment: dict[str, str], session: Session) -> None:
    keep(session, ended_job("fresh", state="exported", created_at=datetime.now(UTC)))
    assert listed(environment, "--since", "10min") == ["fresh"]
    assert "fresh" not in listed(environment, "--until", "12h")
    session.on_store(lambda store: store.records.delete("fresh"))


@pytest.mark.parametrize("wrong", [["--since", "yesterday"], ["--until", "2026-13-01"], ["--since", "9" * 30 + "d"]])
def test_what_is_no_time_is_said_to_be_none(environment: dict[str, str], wrong: list[str]) -> None:
    done = mgym_here(environment, "job", "list", *wrong)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_lists_are_printed_as_csv(environment: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(mgym_here(environment, "job", "list", "--csv", "--tag", "nightly").stdout)))
    assert [(row["job_id"], row["score"], row["score_uncertainty"], row["tags"]) for row in rows] == [
        ("second", "0.97", "0.001", "nightly"),
        ("first", "0.99", "0.001", "cold,nightly"),
    ]
    (suite,) = csv.DictReader(io.StringIO(mgym_here(environment, "suite", "list", "--csv").stdout))
    assert (suite["suite_id"], suite["suite_name"], suite["done"]) == ("tonight", "small", "True")
    assert mgym_here(environment, "suite", "list", "--csv", "--since", "2026-11-04").stdout.count("\n") == 1


def test_two_jobs_are_compared_in_units_of_their_error(environment: dict[str, str]) -> None:
    done = mgym_here(environment, "job", "compare", "first", "second")
    assert done.returncode == 0, done.stderr
    assert "-0.0200 ± 0.0014  -14.1 σ" in done.stdout
    found = json.loads(mgym_here(environment, "job", "compare", "first", "second", "--json").stdout)
    assert found["metrics"]["score"]["in_errors"] == pytest.approx(-14.14, abs=0.01)
    refused = mgym_here(environment, "job", "compare", "first", "other")
    assert (refused.returncode, "mean different things" in refused.stderr) == (1, True)


def test_what_was_asked_is_asked_again_with_its_tags_which_the_record_has(environment: dict[str, str]) -> None:
    config = "wit.example.json"
    tags = ["--tag", "cold", "--tag", "cold", "--tag", "new"]
    first = mgym(environment, "job", "dispatch", config, "--id", "once", "--compilation", "1", *tags)
    assert first.returncode == 0, first.stderr
    again = mgym(environment, "job", "rerun", "once", "--id", "twice")
    assert (again.returncode, again.stdout) == (0, "twice\n"), again.stderr
    record = json.loads(mgym(environment, "job", "poll", "twice", "--json").stdout)
    assert record["tags"] == ["cold", "new"]
    view, other = (json.loads(mgym_here(environment, "job", "view", job, "--json").stdout) for job in ("once", "twice"))
    for name in ("config", "provider", "target", "tags", "compilation"):
        assert view[name] == other[name]
    lines = mgym_here(environment, "job", "view", "twice").stdout.splitlines()
    assert ["tags", "cold,", "new"] in [line.split() for line in lines]
    refused = mgym(environment, "job", "rerun", "nothing")
    assert refused.returncode == 3


def test_a_suite_is_cancelled_and_only_once(environment: dict[str, str], tmp_path: Path) -> None:
    suite = {"name": "slow", "benchmarks": [{"name": name, "config": SLOW} for name in ("a", "b")]}
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(suite))
    dispatched = mgym(environment, "suite", "dispatch", str(path), "--id", "slow", "--tag", "doomed")
    assert dispatched.returncode == 0, dispatched.stderr
    cancelled = mgym(environment, "suite", "cancel", "slow", "--yes")
    assert (cancelled.returncode, "cancelled 2 jobs of suite slow" in cancelled.stderr) == (0, True), cancelled.stderr
    assert sorted(listed(environment, "--tag", "doomed", "--state", "cancelled")) == ["slow.001-a", "slow.002-b"]
    late = mgym(environment, "suite", "cancel", "slow", "--yes")
    assert (late.returncode, "too late" in late.stderr) == (1, True)


def test_pictures_are_found_under_plot(environment: dict[str, str], tmp_path: Path) -> None:
    for words in (["suite", "tonight"], ["history"]):
        target = tmp_path / f"{words[0]}.svg"
        done = mgym_here(environment, "plot", *words, str(target))
        assert done.returncode == 0, done.stderr
        assert "<svg" in target.read_text()
    assert mgym_here(environment, "plot", "history", str(tmp_path / "history.txt")).returncode == 2
    nothing = mgym_here(environment, "plot", "job", "first", str(tmp_path / "job.png"))
    assert (nothing.returncode, "no counts" in nothing.stderr) == (1, True)


def test_a_list_is_watched_on_a_terminal_until_ctrl_c(environment: dict[str, str], session: Session) -> None:
    refused = mgym_here(environment, "job", "list", "--watch")
    assert (refused.returncode, "terminal" in refused.stderr) == (2, True)
    ours, theirs = pty.openpty()
    shown = {**environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40"}
    watching = subprocess.Popen(
        [*MGYM, "job", "list", "--watch", "-n", "30"], env=shown, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        read_until(ours, "second")
        keep(session, ended_job("come-lately", state="exported", created_at=datetime.now(UTC)))
        read_until(ours, "come-lately")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)


def read_until(terminal: int, word: str) -> None:
    said = ""
    while word not in said:
        said += os.read(terminal, 65536).decode(errors="replace")
