"""What the command line shows of TyxonQ's cloud: tasks, a task, and devices with their calibration."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.sandbox.fixture import SandboxControl
from tests.support.terminal import mgym_here

BELL = (
    'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nh q[0];\ncx q[0],q[1];\n'
    "measure q[0] -> c[0];\nmeasure q[1] -> c[1];"
)
"""The page's own."""


@pytest.fixture
def environment(tyxonq_sandbox: SandboxControl, tmp_path: Path) -> dict[str, str]:
    tyxonq_sandbox.set(pending_seconds=0, running_seconds=0, results="ideal")
    return {
        **os.environ,
        "METRIQ_DATA_DIR": str(tmp_path),
        "METRIQ_TYXONQ_TOKEN": tyxonq_sandbox.token,
        "METRIQ_TYXONQ_BASE_URL": tyxonq_sandbox.url,
    }


def test_tasks_are_listed_with_those_of_others_and_chosen_by_device_and_state(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl
) -> None:
    (flagged,) = tyxonq_sandbox.add_tasks(1, device="homebrew_s2?o=3", shots=100, source=BELL)
    tyxonq_sandbox.set(pending_seconds=600)
    (waiting,) = tyxonq_sandbox.add_tasks(1, device="homebrew_s2", shots=100, source=BELL)
    tyxonq_sandbox.set(stranger_rows=True)
    shown = mgym_here(environment, "tyxonq", "tasks")
    assert shown.returncode == 0
    assert flagged in shown.stdout
    assert waiting in shown.stdout
    assert "my favourite job" in shown.stdout
    done = mgym_here(environment, "tyxonq", "tasks", "--device", "homebrew_s2", "--state", "completed", "--json")
    assert flagged in (names := {row.get("job_name") for row in json.loads(done.stdout)})
    assert waiting not in names
    only = mgym_here(environment, "tyxonq", "tasks", "-d", "homebrew_s2?o=3", "--json")
    assert [row["job_name"] for row in json.loads(only.stdout)] == [flagged]


def test_a_task_is_shown_with_times_as_times_and_counts_each_by_itself(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl
) -> None:
    (task_id,) = tyxonq_sandbox.add_tasks(1, device="homebrew_s2?o=3", shots=100, source=BELL)
    shown = mgym_here(environment, "tyxonq", "task", task_id)
    assert shown.returncode == 0
    facts = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in shown.stdout.splitlines()[1:]}
    assert facts["id"] == task_id
    assert (facts["device"], facts["qubits"], facts["shots"], facts["state"]) == (
        "homebrew_s2?o=3",
        "2",
        "100",
        "completed",
    )
    assert int(facts["result.00"]) + int(facts["result.11"]) == 100
    for name in ("at", "ts.completed", "ts.scheduled", "runAt", "atChip"):
        assert facts[name].startswith("20")
        assert facts[name].endswith("+00:00")
    assert facts["runDur"].endswith(" s")
    exact = json.loads(mgym_here(environment, "tyxonq", "task", task_id, "--json").stdout)
    assert sum(exact["result"].values()) == 100
    assert isinstance(exact["runDur"], int)


def test_a_task_that_does_not_exist_is_an_error(environment: dict[str, str]) -> None:
    missing = mgym_here(environment, "tyxonq", "task", "job_x")
    assert missing.returncode != 0
    assert "there is no such task" in missing.stderr


def test_devices_are_shown_with_their_calibration_and_marked_when_out_of_use(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl
) -> None:
    tyxonq_sandbox.set(device_state="maintenance", stranger_devices=True)
    shown = mgym_here(environment, "devices", "-p", "tyxonq")
    assert shown.returncode == 0
    head, *lines = shown.stdout.splitlines()
    assert head.split()[-8:] == ["T1", "(µs)", "T2", "(µs)", "SQ", "CZ", "F0", "F1"]
    (line,) = [line for line in lines if "homebrew_s2" in line]
    assert "maintenance (out of use)" in line
    assert line.split()[-6:] == ["84.4", "45.4", "0.000784", "0.00901", "0.0165", "0.0412"]


WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}


def test_a_dry_run_is_a_result_of_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "wit.json"
    config.write_text(json.dumps(WIT))
    ran = mgym_here(environment, "run", str(config), "-p", "tyxonq", "-d", "homebrew_s2?o=3&dry")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    (circuit,) = told["circuits"]
    assert (told["state"], circuit["qubits"]) == ("checked", 7)
    assert circuit["depth"] > 0
    assert "results" not in told
    assert not list(tmp_path.rglob(f"{told['job_id']}.json"))
    upload = mgym_here(environment, "job", "upload", told["job_id"], "--to", "json")
    assert upload.returncode == 1
    assert "dry run" in upload.stderr
    compared = mgym_here(
        environment, "job", "estimate", str(config), "-p", "tyxonq", "-d", "homebrew_s2?o=3", "--at-provider", "--json"
    )
    assert compared.returncode == 0, compared.stderr
    found = json.loads(compared.stdout)
    assert found["circuit_count"] == len(found["at_provider"]["circuits"]) == 1
    assert found["at_provider"]["circuits"][0]["qubits"] == found["compiled"]["qubits"] == 7


def test_a_provider_that_compiles_nothing_itself_is_not_asked_to(environment: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "wit.json"
    config.write_text(json.dumps(WIT))
    asked = mgym_here(environment, "job", "estimate", str(config), "--at-provider")
    assert asked.returncode == 1
    assert "compiles nothing itself" in asked.stderr


def test_the_pages_bell_pair_is_run_and_its_counts_are_printed(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl, tmp_path: Path
) -> None:
    file = tmp_path / "bell.qasm"
    file.write_text(BELL)
    command = ("circuit", str(file), "-p", "tyxonq", "-d", "homebrew_s2?o=3", "--shots", "100", "--observable", "ZZ")
    ran = mgym_here(environment, *command)
    assert ran.returncode == 0, ran.stderr
    record = json.loads(ran.stdout)
    assert record["job_type"] == "Circuit"
    assert set(record["results"]["counts"]) == {"00", "11"}
    assert sum(record["results"]["counts"].values()) == 100
    assert record["results"]["expectation_values"]["ZZ"]["value"] == 1
    assert "score" not in record["results"]
    assert tyxonq_sandbox.submissions()["total"] == 1
    shown = mgym_here(environment, "job", "view", "latest")
    assert "█" in shown.stdout


def test_a_job_that_failed_is_resumed_by_a_command_and_pays_for_nothing_twice(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl, tmp_path: Path
) -> None:
    config = tmp_path / "bv.json"
    several = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 4, "max_qubits": 4, "max_circuits": 3, "shots": 10}
    config.write_text(json.dumps(several))
    tyxonq_sandbox.add_fault("refused", "submit", after=1, times=1, message="no shots left")
    ran = mgym_here(environment, "run", str(config), "-p", "tyxonq", "-d", "homebrew_s2?o=3")
    assert ran.returncode == 1
    assert "no shots left" in ran.stderr
    assert tyxonq_sandbox.submissions()["total"] == 1
    resumed = mgym_here(environment, "job", "resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    polled = mgym_here(environment, "job", "poll", "latest", "--json")
    assert polled.returncode == 0, polled.stderr
    assert "outcome" not in json.loads(polled.stdout)
    by_remarks = tyxonq_sandbox.submissions()["by_remarks"]
    assert [len(ids) for ids in by_remarks.values()] == [1, 1, 1]
    again = mgym_here(environment, "job", "resume", "latest")
    assert again.returncode == 1
    assert "only one that failed" in again.stderr
