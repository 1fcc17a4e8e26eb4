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
from metriq_gym.jobs.debug_file import as_debug_export
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


def debug_file(name: str, params: dict[str, Any], data: dict[str, Any], counts: list[dict[str, int]]) -> dict[str, Any]:
    raw = [{"measurement_counts": counts}]
    return {"job_type": name, "params": {"benchmark_name": name} | params, "job_data": data, "raw_results": raw}


ONE_WIDTH = {"shots": 10, "max_circuits": 2}


@pytest.mark.parametrize(
    ("name", "params", "identifiers", "counts", "fidelities"),
    [
        (
            "Hidden Shift",
            {"min_qubits": 2, "max_qubits": 4, "skip_qubits": 2},
            [["2", "1"], ["4", "6"]],
            [{"0001": 9, "0011": 1}, {"0110": 8, "0100": 2}],
            [(0.9 - 1 / 4) / (3 / 4), (0.8 - 1 / 16) / (15 / 16)],
        ),
        (
            "Bernstein-Vazirani",
            {"min_qubits": 3, "max_qubits": 4},
            [["3", "2"], ["4", "5"]],
            [{"010": 9, "000": 1}, {"101": 10}],
            [(0.9 - 1 / 4) / (3 / 4), 1],
        ),
        (
            "Phase Estimation",
            {"min_qubits": 3, "max_qubits": 4},
            [["3", "0.25"], ["4", "0.625"]],
            [{"001": 10}, {"101": 9, "100": 1}],
            [1, (0.9 - 1 / 8) / (7 / 8)],
        ),
        (
            "Quantum Fourier Transform",
            {"num_qubits": 3},
            [["3", "7"], ["3", "1"]],
            [{"000": 10}, {"010": 9, "001": 1}],
            [1, (0.9 - 1 / 8) / (7 / 8)],
        ),
        (
            "Quantum Fourier Transform",
            {"num_qubits": 3, "method": 2},
            [["3", "7"], ["3", "1"]],
            [{"111": 10}, {"001": 9, "010": 1}],
            [1, (0.9 - 1 / 8) / (7 / 8)],
        ),
    ],
    ids=["hidden shift", "bernstein-vazirani", "phase estimation", "fourier", "fourier, method 2"],
)
def test_secrets_and_outcomes_that_were_filled_up_with_zeros_are_read(
    name: str, params: dict[str, Any], identifiers: list[Any], counts: list[Any], fidelities: list[float]
) -> None:
    document = debug_file(name, ONE_WIDTH | params, {"circuit_identifiers": identifiers}, counts)
    assert replay(document)["accuracy_score"]["value"] == pytest.approx(sum(fidelities) / 2)


RAMP = {"graph_type": "1D", "num_qubits": 3, "qaoa_layers": [3], "shots": 10, "trials": 1, "num_random_trials": 10}
CHAIN = {"circuit_encoding": "Direct", "graph_info": [[0, 1, 0.2], [1, 2, 1.0]]}


def test_the_leftmost_bit_of_a_cut_is_the_first_node() -> None:
    document = debug_file("Linear Ramp QAOA", RAMP | {"seed": 1}, CHAIN, [{"001": 10}])
    assert replay(document)["approx_ratio"] == pytest.approx([1.0 / 1.2])


def test_a_native_problem_keeps_the_edges_of_the_file() -> None:
    star = CHAIN | {"graph_info": [[0, 1, 0.2], [0, 2, 1.0]]}
    document = debug_file("Linear Ramp QAOA", RAMP | {"seed": 1, "graph_type": "NL"}, star, [{"001": 10}])
    assert replay(document)["approx_ratio"] == pytest.approx([1.0 / 1.2])


def test_a_swap_network_that_lost_track_of_its_nodes_is_refused() -> None:
    with pytest.raises(Unsupported, match="SWAP network"):
        replay(debug_file("Linear Ramp QAOA", RAMP, CHAIN | {"circuit_encoding": "SWAP"}, [{"001": 10}]))


def test_layers_are_read_in_the_order_of_lengths_and_of_the_chain() -> None:
    params = {"num_qubits_in_chain": 4, "lengths": [4, 2], "num_samples": 1, "shots": 3}
    data = {"qubit_chain": [5, 1, 2, 0], "two_disjoint_layers": [[[5, 1], [2, 0]], [[1, 2]]]}
    # Bits are measured for 5, 1, 2, 0 in the first layer and for 1, 2, 5, 0 in the second; the others are unused.
    drawn = [{"000001": 3}, {"000010": 3}, {"000001": 3}, {"000100": 2, "110100": 1}]
    document = debug_file("EPLG", params, data, drawn)
    assert [task["counts"] for task in as_debug_export(document)["tasks"]] == [
        [{"0010": 3}],
        [{"0001": 3}],
        [{"0001": 3}],
        [{"0010": 3}],
    ]
    assert replay(document)["chain_lengths"] == [4]


def test_pairs_are_read_by_colour_with_the_rotated_qubit_first() -> None:
    coloring = {
        "num_nodes": 4,
        "edge_color_map": {"0": 0, "1": 1, "2": 0},
        "edge_index_map": {"0": [0, 1, None], "1": [1, 2, None], "2": [2, 3, None]},
    }
    together, opposite = {"0000": 10}, {"0101": 10}
    only_the_first = [{"0000": 10}, {"0000": 10}, {"0001": 10}, {"0000": 10}]
    counts = [together, together, opposite, together, *only_the_first]
    document = debug_file("BSEQ", {"shots": 10}, {"num_qubits": 4, "coloring": coloring}, counts)
    assert replay(document)["largest_connected_size"] == 4


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Hidden Shift", {}),
        ("Hidden Shift", {"circuit_identifiers": [["2", "x"]]}),
        ("Hidden Shift", {"circuit_identifiers": [["2", "1"], ["2", "2"]]}),
        ("Hidden Shift", {"circuit_identifiers": [["9", "1"]]}),
        ("EPLG", {"qubit_chain": [0, 1, 2, 3], "two_disjoint_layers": [[[0, 1], [2, 3]]]}),
        ("BSEQ", {"coloring": None}),
        ("BSEQ", {"coloring": {"edge_color_map": {}, "edge_index_map": {}, "num_nodes": 2}}),
    ],
)
def test_notes_that_do_not_fit_the_counts_are_named(name: str, data: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        replay(debug_file(name, {"shots": 10, "num_qubits_in_chain": 4}, data, [{"01": 10}]))
    assert [problem.path for problem in refused.value.problems] == ["$.job_data"]


ECHO = {"shots": 10, "num_initial_states": 2, "seed": 42}
STATES = {"observable_qubits": [0, 2], "initial_states": ["0100", "1000"]}
PARITIES = [{"00": 8, "01": 1, "10": 1}, {"11": 2, "01": 8}]
"""Parities +0.6 and -0.6; the second state, whose first character is of qubit 0, has the sign -1."""


@pytest.mark.parametrize("source", [{"qasm_path": "away.qasm", "observable_qubits": [0, 2]}, {"circuit": "49Q_L3"}])
def test_an_echo_is_scored_without_its_circuit(source: dict[str, Any]) -> None:
    found = replay(debug_file("QAT OLE", ECHO | source, STATES | {"noiseless_reference": 0.75}, PARITIES))
    assert found["observable_value"]["value"] == pytest.approx(0.6)
    assert found["noiseless_reference"] == 0.75
    assert found["score"]["value"] == pytest.approx(0.8)


def test_an_echo_too_large_for_a_reference_has_no_score() -> None:
    document = debug_file("QAT OLE", ECHO | {"circuit": "70Q_L6"}, STATES | {"noiseless_reference": None}, PARITIES)
    assert replay(document).keys() == {"observable_value", "noiseless_reference"}


@pytest.mark.parametrize(
    "changes", [{"initial_states": ["0010"]}, {"initial_states": None}, {"observable_qubits": [9]}]
)
def test_states_that_do_not_fit_the_counts_of_an_echo_are_named(changes: dict[str, Any]) -> None:
    data = STATES | {"noiseless_reference": 0.75} | changes
    with pytest.raises(InvalidRequest):
        replay(debug_file("QAT OLE", ECHO | {"circuit": "49Q_L3"}, data, PARITIES))


@pytest.mark.parametrize(("name", "reason"), [("CLOPS", "is a time"), ("Grover", "cannot be scored here")])
def test_a_benchmark_whose_file_lacks_what_the_score_needs_is_refused(name: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        replay(KERNEL | {"job_type": name})


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
