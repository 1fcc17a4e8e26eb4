"""Debug files of metriq-gym's own tool, and the names of its command line that scripts import."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metriq_gym import cli
from metriq_gym.benchmarks.mirror_circuits import MirrorCircuitsResult
from metriq_gym.benchmarks.qml_kernel import QMLKernelResult
from metriq_gym.errors import InvalidRequest, NotFound, Unsupported
from metriq_gym.job_manager import JobManager, MetriqGymJob
from metriq_gym.jobs.replay import replay
from metriq_gym.run import replay_from_debug_file

KERNEL: dict[str, Any] = {
    "job_id": "one",
    "job_type": "QML Kernel",
    "params": {"benchmark_name": "QML Kernel", "num_qubits": 4, "shots": 10},
    "job_data": {"provider_job_ids": ["t1"]},
    "raw_results": [{"measurement_counts": {"0000": 9, "0100": 1}, "shots": 10, "num_measured_qubits": 4}],
}
MIRROR: dict[str, Any] = {
    "job_type": "Mirror Circuits",
    "params": {"benchmark_name": "Mirror Circuits", "width": 2, "num_layers": 1, "num_circuits": 2, "shots": 10},
    "job_data": {"provider_job_ids": ["t1", "t2"], "num_qubits": 2, "expected_bitstrings": ["01", "10"], "seed": 3},
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_metriq_gyms_own_tool_is_scored(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "debug.json"
    path.write_text(json.dumps(KERNEL), encoding=encoding)
    result = replay_from_debug_file(path)

    assert isinstance(result, QMLKernelResult)
    assert result.accuracy_score.value == 0.9
    assert replay(KERNEL)["accuracy_score"]["value"] == 0.9


@pytest.mark.parametrize(
    "raw",
    [
        [{"measurement_counts": [{"01": 10}, {"10": 5, "00": 5}]}],
        [{"measurement_counts": {"01": 10}}, {"measurement_counts": {"10": 5, "00": 5}}],
    ],
    ids=["one task with all circuits", "a task for each"],
)
def test_circuits_are_told_apart_however_they_were_sent(raw: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "debug.json"
    path.write_text(json.dumps(MIRROR | {"raw_results": raw}), encoding="utf-8")
    result = replay_from_debug_file(path)

    assert isinstance(result, MirrorCircuitsResult)
    assert result.record()["success_probability"]["value"] == 0.75


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"job_type": None}, "$.job_type"),
        ({"params": []}, "$.params"),
        ({"job_data": None}, "$.job_data"),
        ({"raw_results": [{"measurement_counts": None}]}, "$.raw_results[0].measurement_counts"),
        ({"raw_results": [7]}, "$.raw_results[0].measurement_counts"),
        ({"raw_results": []}, "$"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises((InvalidRequest, IndexError)) as refused:
        replay(KERNEL | changes)
    assert isinstance(refused.value, InvalidRequest)
    assert refused.value.problems[0].path.startswith(path)


def test_a_benchmark_whose_circuits_are_the_other_tools_own_is_refused() -> None:
    with pytest.raises(Unsupported, match="only by the tool that wrote it"):
        replay(KERNEL | {"job_type": "EPLG"})


def test_a_file_that_cannot_be_read_is_an_error_of_the_standard_library(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replay_from_debug_file(tmp_path / "absent.json")
    path = tmp_path / "bad.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is not JSON"):
        replay_from_debug_file(path)


def job(name: str, **changes: Any) -> MetriqGymJob:
    known: dict[str, Any] = {
        "id": name,
        "job_type": "WIT",
        "params": {"num_qubits": 6},
        "provider_name": "local",
        "device_name": "aer_simulator",
        "dispatch_time": datetime(2026, 8, 1, 12, 30, tzinfo=UTC),
    }
    return MetriqGymJob(**known | changes)


def test_a_script_lists_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    cli.list_jobs([job("one"), job("two", params={}, suite_id="night")], show_index=True)
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]

    assert cells[0] == ["", "Suite ID", *cli.LIST_JOBS_HEADERS]
    assert cells[1] == ["0", "", "one", "local", "aer_simulator", "WIT", "6", "2026-08-01T12:30:00"]
    assert cells[2] == ["1", "night", "two", "local", "aer_simulator", "WIT", "", "2026-08-01T12:30:00"]

    cli.list_jobs([job("one")], show_suite_id=False)
    assert "Suite ID" not in capsys.readouterr().out
    cli.list_jobs([])
    assert capsys.readouterr().out == "No jobs found.\n"


def test_a_script_asks_which_job_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = JobManager(jobs_file=tmp_path / "jobs.jsonl")
    assert cli.prompt_for_job(None, manager) is None
    manager.add_job(job("one"))
    manager.add_job(job("two"))
    chosen = iter([7, 0])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(chosen))

    assert cli.prompt_for_job("latest", manager).id == "two"
    assert cli.prompt_for_job("one", manager).id == "one"
    assert cli.prompt_for_job(None, manager).id == "one"
    assert "a number from 0 to 1" in capsys.readouterr().out
    with pytest.raises(NotFound):
        cli.prompt_for_job("three", manager)


def test_the_command_line_has_no_other_names_than_it_has() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cli.no_such_name
