"""The command line without servers, as typed: what it prints, what it says when something is wrong, its exit codes."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.client.session import Session
from metriq_gym.jobs import ExportState, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted, Planned
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from tests.sandbox.fixture import SandboxControl
from tests.support.jobs import to
from tests.support.patience import PATIENCE, until
from tests.support.terminal import MGYM, mgym, mgym_here, on_terminal

SLOW = {"benchmark_name": "BSEQ", "shots": 1_000_000, "max_colors": 8}
"""Runs until it is cancelled."""
SUITE = {
    "name": "small",
    "benchmarks": [
        {"name": "teleport", "component": "WIT", "config": {"benchmark_name": "WIT", "num_qubits": 7}},
        {"name": "kernel", "config": {"benchmark_name": "QML Kernel", "num_qubits": 3}},
        {"name": "too wide", "config": {"benchmark_name": "QML Kernel", "num_qubits": 200}},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Session]:
    """Its open store keeps the private database up, so that no command need start it."""
    session = Session(Settings(data_dir=folder, workers=1))
    session.on_store(lambda store: store.answers())
    yield session
    session.close()


@pytest.fixture(scope="module")
def environment(folder: Path, session: Session) -> dict[str, str]:
    return {**os.environ, "METRIQ_DATA_DIR": str(folder), "METRIQ_WORKERS": "1", "METRIQ_LEASE_SECONDS": "3"}


@pytest.fixture(scope="module")
def wit(environment: dict[str, str]) -> str:
    """The id of a job that was dispatched and polled."""
    job_id = "wit-0123456789"
    config = "wit.example.json"
    dispatched = mgym(environment, "job", "dispatch", config, "--id", job_id)
    assert dispatched.returncode == 0, dispatched.stderr
    assert dispatched.stdout.split() == [job_id]
    assert f"mgym job poll {job_id}" in dispatched.stderr
    polled = mgym(environment, "job", "poll", job_id)
    assert polled.returncode == 0, polled.stderr
    assert "expectation_value  0.99" in polled.stdout
    return job_id


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    return str(path)


def hold(session: Session, job_id: str) -> None:
    """Leave a job of one doubtful submission behind, as a dispatcher does."""
    task = Task(
        id=f"{job_id}:0",
        job_id=job_id,
        provider="tyxonq",
        device="homebrew_s2",
        state=TaskState.STORED,
        run=0,
        first=0,
        circuit_count=1,
        shots=1,
        seed=0,
        circuits=b"qpy",
    )

    async def work(store: Store) -> None:
        fields = {"provider": "tyxonq", "device": "homebrew_s2", "target": "homebrew_s2", "benchmark_name": "WIT"}
        await store.jobs.accept(job_id, Accepted.model_validate(fields), owner="me", lease_seconds=60)
        await store.tasks.insert([task])
        await store.jobs.plan(job_id, 1, Planned(task_count=1))
        await store.tasks.doubt(await store.tasks.intend(task), "two tasks look like it (candidates: a, b)")
        await store.jobs.hold(job_id, 1, f"task {job_id}:0: two tasks look like it (candidates: a, b)")

    session.on_store(work)


class TestJobs:
    def test_view_list_and_history_agree(self, environment: dict[str, str], wit: str) -> None:
        seen = mgym(environment, "job", "view", wit)
        for fact in (wit, "exported", "local/aer_simulator", "shots=8192", "score              0.99"):
            assert fact in seen.stdout
        document = json.loads(mgym_here(environment, "job", "view", wit, "--json").stdout)
        assert (document["id"], document["state"], document["task_count"]) == (wit, "exported", 1)
        listed = mgym_here(environment, "job", "list", "--benchmark", "WIT")
        assert [wit in line for line in listed.stdout.splitlines()].count(True) == 1
        (row,) = json.loads(mgym_here(environment, "job", "list", "--benchmark", "WIT", "--json").stdout)
        assert row["result"] == document["result"]
        past = mgym_here(environment, "job", "history", wit)
        states = ["dispatching", "dispatched", "completed", "scored", "exported"]
        assert [line.split()[4] for line in past.stdout.splitlines()[1:]] == states
        entries = json.loads(mgym_here(environment, "job", "history", wit, "--json").stdout)
        assert [entry["service"] for entry in entries] == ["dispatcher", "dispatcher", "poller", "scorer", "exporter"]

    def test_the_beginning_of_an_id_is_enough_if_no_other_begins_like_it(
        self, environment: dict[str, str], session: Session, wit: str
    ) -> None:
        assert wit in mgym_here(environment, "job", "view", "wit-0").stdout
        for name in ("twin-1", "twin-2"):
            hold(session, name)
        unclear = mgym_here(environment, "job", "view", "twin")
        assert unclear.returncode == 2
        assert "twin-1, twin-2" in unclear.stderr
        assert "Traceback" not in unclear.stderr
        unknown = mgym_here(environment, "job", "view", "nothing")
        assert unknown.returncode == 3
        assert "mgym job list" in unknown.stderr
        latest = mgym_here(environment, "job", "view", "latest", "--json")
        assert json.loads(latest.stdout)["id"] == "twin-2"

    def test_without_an_id_a_person_is_asked_and_a_script_is_told_off(
        self, environment: dict[str, str], wit: str
    ) -> None:
        told = mgym_here(environment, "job", "view")
        assert told.returncode == 2
        assert "say which job" in told.stderr
        assert "say which job" in mgym_here(environment, "job", "delete").stderr
        code, said = on_terminal(environment, ["job", "view"], [("which job", "99\n"), ("please", "1\n")])
        assert code == 0, said
        assert "benchmark" in said
        assert "a number from 1 to" in said

    def test_colours_are_for_terminals_that_want_them(self, environment: dict[str, str], wit: str) -> None:
        _, coloured = on_terminal(environment, ["job", "list", "--benchmark", "WIT"])
        _, plain = on_terminal(environment | {"NO_COLOR": "1"}, ["job", "list", "--benchmark", "WIT"])
        assert "\x1b[32m" in coloured
        assert "\x1b[32m" not in plain
        assert "exported" in plain

    def test_counts_are_kept_drawn_and_scored_again(
        self, environment: dict[str, str], wit: str, tmp_path: Path
    ) -> None:
        raw, picture, record = tmp_path / "raw.json", tmp_path / "counts.svg", tmp_path / "deep" / "record.json"
        options = ["--include-raw", str(raw), "--plot", str(picture), "--output", str(record)]
        polled = mgym(environment, "job", "poll", wit, "--json", *options)
        assert polled.returncode == 0, polled.stderr
        assert json.loads(record.read_text()) == json.loads(polled.stdout)
        assert "<svg" in picture.read_text()
        replayed = mgym_here(environment, "job", "replay", str(raw), "--json")
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout) == json.loads(polled.stdout)["results"]
        again, anew = tmp_path / "again.json", tmp_path / "anew.json"
        written = mgym_here(environment, "job", "poll", wit, "--json", str(again), "--include-raw", "--no-cache")
        assert written.returncode == 0, written.stderr
        assert "WIT" in written.stdout
        assert json.loads(again.read_text()) == json.loads(record.read_text())
        told = mgym_here(environment, "job", "replay", str(tmp_path / "again_debug.json"), "--json", str(anew))
        assert told.returncode == 0, told.stderr
        assert json.loads(anew.read_text()) == json.loads(replayed.stdout)
        another = mgym_here(environment, "job", "replay", str(record))
        assert (another.returncode, "`mgym job poll --include-raw` writes" in another.stderr) == (2, True)
        changed = json.loads(raw.read_text())
        changed["tasks"][0]["counts"][0]["0"] = 4000
        assert mgym_here(environment, "job", "replay", write(raw, changed)).returncode == 1

    def test_a_metric_is_drawn_over_time(self, environment: dict[str, str], wit: str, tmp_path: Path) -> None:
        picture = tmp_path / "time.png"
        drawn = mgym_here(environment, "job", "list", "--benchmark", "WIT", "--plot", str(picture))
        assert drawn.returncode == 0, drawn.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")
        none = mgym_here(environment, "job", "list", "--plot", str(picture), "--metric", "beauty")
        assert (none.returncode, "'beauty'" in none.stderr) == (1, True)

    def test_a_running_job_can_be_looked_at_left_and_cancelled_and_only_then_deleted(
        self, environment: dict[str, str], wit: str, tmp_path: Path
    ) -> None:
        dispatched = mgym(environment, "job", "dispatch", write(tmp_path / "slow.json", SLOW), "--id", "slow-one")
        assert dispatched.returncode == 0, dispatched.stderr
        looked = mgym_here(environment, "job", "poll", "slow-one", "--no-wait")
        assert (looked.returncode, "not finished yet" in looked.stderr) == (5, True)
        polling = subprocess.Popen(
            [*MGYM, "job", "poll", "slow-one"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert polling.stderr is not None
        said = ""
        for line in polling.stderr:
            said += line
            if "running" in line:
                break
        polling.send_signal(signal.SIGINT)
        said += polling.stderr.read()
        assert polling.wait(PATIENCE) == 130
        assert "mgym job poll slow-one" in said.split("interrupted")[1]
        assert "Traceback" not in said
        too_soon = mgym_here(environment, "job", "delete", "slow-one", "--yes")
        assert (too_soon.returncode, "cancel it first" in too_soon.stderr) == (1, True)
        assert mgym(environment, "job", "cancel", "slow-one").returncode == 0
        assert "too late" in mgym(environment, "job", "cancel", wit).stderr
        polled = mgym(environment, "job", "poll", "slow-one")
        assert (polled.returncode, "was cancelled" in polled.stderr) == (1, True)
        assert mgym_here(environment, "job", "delete", "slow-one", "--yes").returncode == 0
        assert mgym_here(environment, "job", "view", "slow-one").returncode == 3

    def test_a_held_job_is_shown_and_decided_about(self, environment: dict[str, str], session: Session) -> None:
        hold(session, "held-1")
        status = json.loads(mgym_here(environment, "status", "--json").stdout)
        assert "held-1" in [each["job_id"] for each in status["held"]]
        assert "mgym job resolve held-1" in mgym_here(environment, "status").stdout
        for command in (["job", "poll", "held-1"], ["watch", "held-1"]):
            waited = mgym(environment, *command)
            assert waited.returncode == 6, waited.stderr
            assert "mgym job resolve held-1" in waited.stderr
        shown = mgym_here(environment, "job", "resolve", "held-1")
        assert shown.returncode == 0
        assert "candidates: a, b" in shown.stdout
        both = mgym_here(environment, "job", "resolve", "held-1", "--resubmit", "--fail")
        assert both.returncode == 2
        failed = mgym(environment, "job", "resolve", "held-1", "--fail")
        assert failed.returncode == 0, failed.stderr
        assert session.on_store(lambda store: store.jobs.get("held-1")).state is JobState.FAILED
        again = mgym(environment, "job", "resolve", "held-1", "--resubmit")
        assert (again.returncode, "does not wait" in again.stderr) == (1, True)

    def test_an_upload_to_the_folder_of_results_writes_the_record_again(
        self, environment: dict[str, str], wit: str, folder: Path
    ) -> None:
        path = folder / "results" / f"{wit}.json"
        before = path.read_text()
        path.unlink()
        uploaded = mgym(environment, "job", "upload", wit, "--to", "json")
        assert uploaded.returncode == 0, uploaded.stderr
        assert uploaded.stdout == f"{wit}: {path}\n"
        assert path.read_text() == before
        rehearsed = mgym_here(environment, "job", "upload", wit, "--dry-run")
        assert rehearsed.returncode == 0, rehearsed.stderr
        assert "mgym upload: WIT on local/aer_simulator" in rehearsed.stdout
        (plan,) = json.loads(mgym_here(environment, "job", "upload", wit, "--dry-run", "--json").stdout)
        assert (plan["branch"], plan["labels"]) == (f"mgym/upload-{wit}", ["data", "source:metriq-gym"])
        nowhere = mgym(environment, "job", "upload", wit, "--to", "moon")
        assert (nowhere.returncode, "json" in nowhere.stderr) == (3, True)


class TestRefusals:
    @pytest.mark.parametrize(("picture", "reason"), [("x.pdf", ".png or .svg"), ("none/x.png", "there is no folder")])
    def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
        self, environment: dict[str, str], tmp_path: Path, picture: str, reason: str
    ) -> None:
        refused = mgym_here(environment, "run", "wit.example.json", "--plot", str(tmp_path / picture))
        assert (refused.returncode, refused.stdout) == (2, "")
        assert reason in refused.stderr

    def test_a_file_that_cannot_be_written_is_named(
        self, environment: dict[str, str], wit: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        refused = mgym_here(environment, "job", "poll", wit, "--no-wait", "--output", str(tmp_path / "file" / "x.json"))
        assert refused.returncode == 1
        assert refused.stderr.splitlines()[-1].startswith(f"error: cannot use {tmp_path / 'file'}: ")

    @pytest.mark.parametrize("command", [["run"], ["job", "dispatch"]])
    def test_a_wrong_configuration_is_refused_with_every_error_and_no_traceback(
        self, environment: dict[str, str], tmp_path: Path, command: list[str]
    ) -> None:
        path = write(tmp_path / "wrong.json", {"benchmark_name": "WIT", "num_qubits": 9, "shots": 0})
        refused = mgym(environment, *command, path)
        assert refused.returncode == 1
        assert "num_qubits" in refused.stderr
        assert "shots" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stdout == ""

    def test_a_traceback_is_there_for_those_who_ask(self, environment: dict[str, str]) -> None:
        plain = mgym(environment, "schema", "WITT")
        assert (plain.returncode, plain.stderr.count("\n")) == (3, 1)
        assert "did you mean 'WIT'" in plain.stderr
        assert "Traceback" in mgym(environment, "--debug", "schema", "WITT").stderr
        assert "did you mean 'WIT'" in mgym_here(environment, "schema", "wit").stderr

    def test_settings_that_cannot_be_used_are_named(self, environment: dict[str, str]) -> None:
        wrong = mgym_here(environment | {"METRIQ_WORKERS": "many"}, "job", "list")
        assert wrong.returncode == 2
        assert "METRIQ_WORKERS" in wrong.stderr
        half = mgym_here(environment | {"METRIQ_AMQP_URL": "amqp://localhost"}, "job", "list")
        assert half.returncode == 1
        assert "METRIQ_MONGO_URL" in half.stderr

    def test_a_server_that_is_away_has_an_exit_code_of_its_own(self, environment: dict[str, str]) -> None:
        away = {"METRIQ_AMQP_URL": "amqp://127.0.0.1:1", "METRIQ_MONGO_URL": "mongodb://127.0.0.1:1"}
        done = mgym(environment | away, "job", "list")
        assert done.returncode == 4
        assert done.stderr.splitlines() == [
            "error: the store is away: 127.0.0.1:1: [Errno 111] Connection refused",
            "try again later; `mgym doctor` says what is away",
        ]


class TestExports:
    def test_a_result_that_waits_for_a_held_job_of_its_suite_is_printed(
        self, environment: dict[str, str], session: Session
    ) -> None:
        fields = {"benchmark_name": "WIT", "provider": "local", "device": "d", "suite_id": "both", "suite_size": 2}

        async def work(store: Store) -> None:
            for name in ("both.001-a", "both.002-b"):
                await store.jobs.accept(name, Accepted.model_validate(fields), owner="me", lease_seconds=600)
            await store.jobs.hold("both.002-b", 1, "look")
            for state in (JobState.DISPATCHED, JobState.COMPLETED):
                await store.jobs.move("both.001-a", to(state), service="test")
            scored = to(JobState.SCORED, result={"score": {"value": 0.5, "uncertainty": 0.1}})
            await store.jobs.move("both.001-a", scored, service="test")
            await store.exports.take_up("both.001-a", ["github"], [])

        session.on_store(work)
        to_github = environment | {"METRIQ_EXPORT_TARGETS": "github", "METRIQ_GITHUB_TOKEN": "not asked for"}
        printed = mgym(to_github, "job", "poll", "bo.001", "--json")
        assert printed.returncode == 0, printed.stderr
        assert json.loads(printed.stdout)["results"]["score"]["value"] == 0.5
        assert "of which a job is held: mgym suite view both" in printed.stderr
        assert mgym_here(environment, "job", "poll", "both.001", "--no-wait").returncode == 5
        session.on_store(lambda store: store.exports.settle(["both.001-a"], "github", ExportState.DONE))
        assert mgym_here(environment, "job", "poll", "both.001", "--no-wait").returncode == 0
        assert mgym(environment, "job", "cancel", "both.002").returncode == 0
        assert mgym(environment, "suite", "delete", "both", "--yes").returncode == 0

    def test_a_result_that_could_be_exported_nowhere_is_shown_with_what_to_do(
        self, environment: dict[str, str], session: Session, tmp_path: Path
    ) -> None:
        nowhere = environment | {"METRIQ_EXPORT_DIR": str(tmp_path / ("x" * 300))}  # no folder has such a name
        done = mgym(nowhere, "run", "wit.example.json", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["results"]["score"]["value"] > 0.9
        (job,) = session.on_store(lambda store: store.catalogue.find({"state": "scored"}))
        assert f"mgym job upload {job.id} --to json" in done.stderr
        assert f"mgym job upload {job.id} --to json" in mgym_here(environment, "status").stdout
        (stuck,) = json.loads(mgym_here(environment, "status", "--json").stdout)["stuck"]
        assert (stuck["job_id"], stuck["target"]) == (job.id, "json")
        mended = environment | {"METRIQ_EXPORT_DIR": str(tmp_path / "results")}
        again = mgym(mended, "job", "upload", job.id, "--to", "json", "--json")
        assert json.loads(again.stdout) == [
            {"job_id": job.id, "location": str(tmp_path / "results" / f"{job.id}.json")}
        ]
        assert session.on_store(lambda store: store.jobs.get(job.id)).state is JobState.EXPORTED

    def test_while_a_result_waits_for_its_folder_it_is_said_why(
        self, environment: dict[str, str], session: Session, tmp_path: Path
    ) -> None:
        folder = tmp_path / "results"
        folder.touch()  # a file where the folder should be

        def postponed() -> bool:
            scored = session.on_store(lambda store: store.catalogue.find({"state": "scored"}))
            return any(str(folder) in str(job.exports.get("json")) for job in scored)

        with ThreadPoolExecutor() as pool:
            waiting = environment | {"METRIQ_EXPORT_DIR": str(folder)}
            running = pool.submit(mgym, waiting, "run", "wit.example.json", "--json")
            until(postponed)
            folder.unlink()
            done = running.result()
        assert done.returncode == 0
        assert "exporting, tried again by itself (json: cannot write" in done.stderr
        assert [each.suffix for each in folder.iterdir()] == [".json"]


class TestCompletion:
    @pytest.mark.parametrize(
        ("typed", "completed"),
        [
            ("mgym job d", {"dispatch", "delete"}),
            ("mgym run wi", {"wit.example.json", "wide.json"}),
            ("mgym run folder/", {"folder/mine.json"}),
            ("mgym devices --provider ty", {"tyxonq"}),
            ("mgym schema Q", {"QML Kernel", "Quantum Volume", "Quantum Fourier Transform", "QAT OLE"}),
        ],
    )
    def test_a_shell_completes_what_is_typed(
        self, environment: dict[str, str], tmp_path: Path, typed: str, completed: set[str]
    ) -> None:
        (tmp_path / "folder").mkdir()
        for name in ("wide.json", "wide.txt", "folder/mine.json"):
            (tmp_path / name).touch()
        asked = {"_MGYM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        done = mgym(environment | asked, folder=tmp_path)
        assert set(done.stdout.splitlines()) == completed


class TestLooking:
    @pytest.mark.parametrize("group", [[], ["job"], ["suite"], ["dead"], ["service"], ["tyxonq"]])
    def test_what_a_command_is_for_is_told_in_one_line(self, environment: dict[str, str], group: list[str]) -> None:
        helped = mgym_here(environment | {"COLUMNS": "80"}, *group, "--help").stdout
        commands = helped.split("Commands:")[1]
        assert commands.strip()
        assert "..." not in commands

    def test_a_state_that_there_is_not_is_named_with_those_there_are(self, environment: dict[str, str]) -> None:
        wrong = mgym_here(environment, "job", "list", "--state", "held")
        assert wrong.returncode == 2
        assert "dispatching, dispatched" in wrong.stderr

    def test_devices_benchmarks_and_schemas_are_printed(self, environment: dict[str, str]) -> None:
        devices = mgym(environment, "devices")
        assert devices.returncode == 0
        assert "fake_manila" in devices.stdout
        assert "METRIQ_TYXONQ_TOKEN" in devices.stderr
        (ideal, *_) = json.loads(mgym(environment, "devices", "-p", "local", "--json").stdout)
        assert (ideal["id"], ideal["status"]) == ("aer_simulator", "online")
        found = json.loads(mgym_here(environment, "benchmarks", "--json").stdout)
        assert {"benchmark_name": "WIT", "parameters": ["num_qubits", "shots"], "example": "wit.example.json"} in found
        assert json.loads(mgym_here(environment, "schema", "WIT").stdout)["$id"] == "metriq-gym/wit.schema.json"

    def test_an_estimate_submits_nothing(self, environment: dict[str, str]) -> None:
        before = mgym_here(environment, "status", "--json").stdout
        estimate = mgym(environment, "job", "estimate", "wit.example.json", "-d", "fake_manila")
        assert estimate.returncode == 1
        assert "fake_manila" in estimate.stderr
        estimate = mgym(environment, "job", "estimate", "qml_kernel.example.json", "--json")
        found = json.loads(estimate.stdout)
        assert (found["circuit_count"], found["compiled"]["qubits"]) == (1, 10)
        table = mgym(environment, "job", "estimate", "qml_kernel.example.json")
        assert f"two-qubit gates  {found['built']['two_qubit_gates']}" in table.stdout
        after = mgym_here(environment, "status", "--json").stdout
        earlier, later = ({row["state"]: row["count"] for row in json.loads(each)["jobs"]} for each in (before, after))
        assert earlier == later

    def test_the_doctor_finds_nothing_wrong_here(self, environment: dict[str, str]) -> None:
        seen = mgym(environment, "doctor")
        assert seen.returncode == 0, seen.stdout
        assert "private mongod" in seen.stdout
        findings = json.loads(mgym(environment, "doctor", "--json").stdout)
        assert {each["verdict"] for each in findings} <= {"ok", "note"}


class TestSuites:
    def test_a_suite_is_dispatched_polled_viewed_and_deleted(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = write(tmp_path / "suite.json", SUITE)
        dispatched = mgym(environment, "suite", "dispatch", path, "--id", "night")
        assert dispatched.returncode == 0, dispatched.stderr
        assert dispatched.stdout.split() == ["night"]
        picture = tmp_path / "suite.png"
        polled = mgym(environment, "suite", "poll", "night", "--plot", str(picture))
        assert polled.returncode == 1, polled.stderr  # one of them cannot run
        assert "3 of 3 jobs ended (2 exported, 1 failed)" in polled.stdout
        assert picture.read_bytes().startswith(b"\x89PNG")
        described = json.loads(mgym_here(environment, "suite", "view", "nig", "--json").stdout)
        assert (described["size"], described["done"]) == (3, True)
        assert [job["state"] for job in described["jobs"]] == ["exported", "exported", "failed"]
        assert described["jobs"][2]["failure"]["outcome"] == "unsupported"
        uploaded = mgym(environment, "suite", "upload", "night", "--to", "json")
        assert uploaded.returncode == 0, uploaded.stderr
        assert [line.split(":")[0][:9] for line in uploaded.stdout.splitlines()] == [
            "night.001",
            "night.002",
            "night.003",
        ]
        (listed,) = json.loads(mgym_here(environment, "suite", "list", "--json").stdout)
        assert listed["suite_id"] == "night"
        assert mgym_here(environment, "suite", "delete", "latest", "--yes").returncode == 0
        assert mgym_here(environment, "suite", "view", "night").returncode == 3

    def test_parts_are_chosen_and_costly_suites_want_a_word(self, environment: dict[str, str], tmp_path: Path) -> None:
        costly = mgym(environment, "suite", "dispatch", "metriq_score_1_0")
        assert (costly.returncode, "--all" in costly.stderr) == (1, True)
        path = write(tmp_path / "suite.json", SUITE)
        wrong = mgym(environment, "suite", "dispatch", path, "-c", "wit", "-c", "kernl")
        assert (wrong.returncode, "did you mean 'kernel'" in wrong.stderr) == (1, True)
        assert mgym(environment, "suite", "dispatch", "nothing").returncode == 3


class TestImport:
    def test_a_job_file_is_taken_over_once_and_bad_lines_are_named(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        good = {
            "id": "old-1",
            "job_type": "WIT",
            "params": {"benchmark_name": "WIT", "num_qubits": 6, "shots": 1000},
            "data": {"provider_job_ids": ["remote-1"]},
            "provider_name": "ibm",
            "device_name": "ibm_sherbrooke",
            "dispatch_time": "2025-01-15T12:00:00",
            "app_version": "0.3.1",
            "result_data": {"score": {"value": 0.9, "uncertainty": 0.01}},
        }
        lines = [json.dumps(good), "{", "", json.dumps(good | {"id": "old-2", "params": None})]
        path = tmp_path / "jobs.jsonl"
        path.write_text("\n".join(lines))
        first = mgym_here(environment, "import", str(path))
        assert first.returncode == 1
        assert "1 added, 0 updated, 0 there already, 2 bad" in first.stderr
        assert f"{path}, line 2: is not JSON" in first.stderr
        assert f"{path}, line 4: lacks params" in first.stderr
        again = json.loads(mgym_here(environment, "import", str(path), "--json").stdout)
        assert (again["added"], again["unchanged"], len(again["bad"])) == (0, 1, 2)
        seen = mgym_here(environment, "job", "view", "old-1")
        assert "0.900 ± 0.010" in seen.stdout
        assert "ibm/ibm_sherbrooke" in seen.stdout
        assert mgym_here(environment, "import", str(tmp_path / "none")).returncode == 2


class TestWatch:
    def test_a_job_that_has_ended_is_told_of_and_left(self, environment: dict[str, str], wit: str) -> None:
        told = mgym(environment, "watch", wit, "--json")
        assert told.returncode == 0, told.stderr
        (event,) = [json.loads(line) for line in told.stdout.splitlines()]
        assert (event["job_id"], event["state"], event["service"]) == (wit, "exported", "exporter")

    def test_what_happens_is_told_as_it_happens(
        self, environment: dict[str, str], session: Session, tmp_path: Path
    ) -> None:
        watching = subprocess.Popen([*MGYM, "watch"], env=environment, stdout=subprocess.PIPE, text=True)
        stdout = watching.stdout
        assert stdout is not None

        async def add(store: Store, name: str) -> None:
            at = datetime.now(UTC)
            entry = {"state": "exported", "at": at, "service": "import", "cause": "test"}
            fields = {"_id": name, "state": "exported", "created_at": at, "updated_at": at, "history": [entry]}
            await store.records.add(Job.model_validate(fields))

        names = (f"watched-{n}" for n in itertools.count())

        def seen() -> bool:
            """Whether one job more is told of: the stream opens some time after its command has started."""
            assert watching.poll() is None
            name = next(names)
            session.on_store(lambda store: add(store, name))
            return bool(select.select([stdout], [], [], 0.2)[0])

        until(seen)
        line = stdout.readline()
        assert "watched-" in line
        assert "exported" in line
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == 130


class TestProbe:
    def test_it_says_what_it_costs_and_sends_nothing_without_a_yes(
        self, environment: dict[str, str], tyxonq_sandbox: SandboxControl
    ) -> None:
        tyxonq_sandbox.set(pending_seconds=0.02, running_seconds=0.02)
        without_token = mgym_here(environment, "tyxonq", "probe")
        assert (without_token.returncode, "METRIQ_TYXONQ_TOKEN" in without_token.stderr) == (1, True)
        sandbox = {"METRIQ_TYXONQ_TOKEN": tyxonq_sandbox.token, "METRIQ_TYXONQ_BASE_URL": tyxonq_sandbox.url}
        unsure = mgym_here(environment | sandbox, "tyxonq", "probe")
        assert (unsure.returncode, "3 tasks" in unsure.stderr, tyxonq_sandbox.calls()) == (1, True, {})
        done = mgym_here(environment | sandbox, "tyxonq", "probe", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["counts_order"] == "measured-first"
        assert tyxonq_sandbox.token not in done.stdout + done.stderr
