"""The command line without any server: what a newcomer types first, and what becomes of it when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.patience import PATIENCE

MGYM = [sys.executable, "-m", "metriq_gym"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "METRIQ_DATA_DIR": str(tmp_path / "data"), "METRIQ_WORKERS": "1", "METRIQ_LEASE_SECONDS": "2"}


def mgym(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MGYM, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE)


def users_of(environment: dict[str, str]) -> Iterator[psutil.Process]:
    """All processes that were started for this data folder."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("METRIQ_DATA_DIR") == environment["METRIQ_DATA_DIR"]:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def nothing_is_left(environment: dict[str, str], seconds: float = PATIENCE) -> bool:
    left = list(users_of(environment))
    _, alive = psutil.wait_procs(left, timeout=seconds)
    return not alive


def configuration(folder: Path, **config: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return str(path)


def test_the_published_example_prints_its_record_with_progress(environment: dict[str, str], tmp_path: Path) -> None:
    done = mgym(environment, "run", "wit.example.json", "-p", "local", "-d", "aer_simulator")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["results"]["expectation_value"]["value"] == pytest.approx(0.996, abs=0.004)
    assert 0 < record["results"]["score"]["uncertainty"] < 0.002
    assert record["params"]["shots"] == 8192
    for stage in ("building and compiling circuits", "running", "exported"):
        assert stage in done.stderr
    (file,) = (tmp_path / "data" / "results").glob("*.json")
    assert json.loads(file.read_text()) == record
    assert nothing_is_left(environment)
    seen = mgym(environment, "job", "view", file.stem, "--json")
    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout)["state"] == "exported"


def test_a_bad_configuration_says_what_is_wrong_and_where(environment: dict[str, str], tmp_path: Path) -> None:
    path = configuration(tmp_path, benchmark_name="WIT", num_qubits=9, shots="x")
    done = mgym(environment, "run", path)
    assert done.returncode == 1
    assert "$.config.num_qubits" in done.stderr
    assert "$.config.shots" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_the_device_cannot_run_says_why_and_leaves_an_outcome_record(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = configuration(tmp_path, benchmark_name="QML Kernel", num_qubits=9)
    done = mgym(environment, "run", path, "--device", "fake_manila")
    assert done.returncode == 1
    assert "unsupported" in done.stderr
    assert "9 qubits" in done.stderr
    (file,) = (tmp_path / "data" / "results").glob("*.json")
    assert json.loads(file.read_text())["outcome"] == "unsupported"


@pytest.mark.parametrize("text", [None, "{", "[]", "\x00"])
def test_a_file_that_is_no_configuration_is_refused_by_name(
    environment: dict[str, str], tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    done = mgym(environment, "run", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_after_a_crash_nothing_runs_on_and_the_next_run_finishes_the_job(
    environment: dict[str, str], tmp_path: Path
) -> None:
    slow = configuration(tmp_path, benchmark_name="BSEQ", shots=5000, max_colors=6)
    crashed = subprocess.Popen([*MGYM, "run", slow], env=environment, stderr=subprocess.PIPE, text=True)
    assert crashed.stderr is not None
    for line in crashed.stderr:
        if "running" in line:
            break
    crashed.send_signal(signal.SIGKILL)
    crashed.wait()
    assert nothing_is_left(environment)

    done = mgym(environment, "run", "wit.example.json")
    assert done.returncode == 0, done.stderr
    results = tmp_path / "data" / "results"
    deadline = time.monotonic() + PATIENCE
    while len(list(results.glob("*.json"))) < 2 and time.monotonic() < deadline:
        assert mgym(environment, "run", "wit.example.json").returncode == 0
    kinds = [json.loads(path.read_text())["job_type"] for path in results.glob("*.json")]
    assert kinds.count("BSEQ") == 1


def test_interrupted_by_ctrl_c_it_leaves_no_traceback_and_no_process(
    environment: dict[str, str], tmp_path: Path
) -> None:
    slow = configuration(tmp_path, benchmark_name="BSEQ", shots=1_000_000)
    running = subprocess.Popen([*MGYM, "run", slow], env=environment, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    said = ""
    for line in running.stderr:
        said += line
        if "running" in line:
            break
    running.send_signal(signal.SIGINT)
    said += running.stderr.read()
    assert running.wait(PATIENCE) == 130
    assert "Traceback" not in said
    assert "mgym job view" in said
    assert nothing_is_left(environment)


def test_two_runs_at_once_share_the_data_folder(environment: dict[str, str], tmp_path: Path) -> None:
    both = [
        subprocess.Popen([*MGYM, "run", "wit.example.json"], env=environment, stdout=subprocess.PIPE) for _ in range(2)
    ]
    records = [json.loads(each.communicate(timeout=PATIENCE)[0]) for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert {record["job_type"] for record in records} == {"WIT"}
    assert len(list((tmp_path / "data" / "results").glob("*.json"))) == 2
    assert nothing_is_left(environment)


WAITS = """
import sys
from pymongo import MongoClient
from pymongo.synchronous import monitor
monitor._shutdown_executors = lambda: print("waits for the driver's threads", file=sys.stderr)
"""
PLAIN = "MongoClient('mongodb://127.0.0.1:1').close()"
COMMAND = "from metriq_gym.cli import main; sys.argv = ['mgym', 'job', 'list']; main()"


@pytest.mark.parametrize(("code", "waits"), [(PLAIN, True), (COMMAND, False)], ids=["plain", "command"])
def test_a_command_does_not_wait_for_threads_of_a_closed_client(
    environment: dict[str, str], code: str, waits: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS + code], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert ("waits for the driver's threads" in done.stderr) is waits


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *MGYM[1:], "--help"], capture_output=True, text=True, check=True
    )
    assert "benchmark" in done.stdout
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded.isdisjoint({"qiskit", "numpy", "aio_pika", "pymongo", "motor", "jsonschema", "aiohttp", "httpx"})
