"""Configurations are found by path or by an example's name, and bring along the circuit files they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.client import tracker
from metriq_gym.client.configurations import NoConfiguration, examples, read_configuration
from metriq_gym.schema_validator import validate


def written(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize("name", ["wit.example.json", "wit", "metriq_gym/schemas/examples/wit.example.json"])
def test_an_example_has_several_names(name: str) -> None:
    assert read_configuration(name)["benchmark_name"] == "WIT"


def test_every_example_is_valid_without_a_warning() -> None:
    assert len(examples()) >= 13
    for name in examples():
        assert validate(read_configuration(name))[1] == [], name


def test_a_circuit_file_is_read_from_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "echo.qasm").write_text("OPENQASM 3.0; qubit[2] q; h q[0];")
    path = written(tmp_path, {"benchmark_name": "QAT OLE", "qasm_path": "echo.qasm", "observable_qubits": [0]})
    config = read_configuration(path)
    assert config["qasm"].startswith("OPENQASM 3.0")
    assert "qasm_path" not in config
    validate(config)


def test_a_circuit_file_that_is_missing_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"benchmark_name": "QAT OLE", "qasm_path": "nowhere.qasm"})
    with pytest.raises(NoConfiguration, match=r"nowhere\.qasm"):
        read_configuration(path)


def test_a_circuit_of_the_tracker_is_fetched_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracker.FILES.values():
        (tmp_path / name).write_text(f"OPENQASM 3.0; // {name}")
    fetch = tracker.fetch
    monkeypatch.setattr(tracker, "fetch", lambda circuit: fetch(circuit, tmp_path.as_uri()))
    config = read_configuration(written(tmp_path, {"benchmark_name": "QAT OLE", "circuit": "49Q_L6"}))
    assert config["qasm"] == "OPENQASM 3.0; // 49Q_OLE_circuit_L_6_b_0.25_delta0.15.qasm"
    assert config["observable_qubits"] == [52, 59, 72]
    validate(config)


def test_a_tracker_that_cannot_be_reached_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(tracker.TrackerUnavailable, match="give its text as 'qasm'"):
        tracker.fetch("70Q_L6", (tmp_path / "away").as_uri())
