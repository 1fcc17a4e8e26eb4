"""What is taken over of an imported job's parameters."""

from __future__ import annotations

import json
from typing import Any

from metriq_gym.operations.importing import parse

LINE: dict[str, Any] = {
    "id": "j1",
    "job_type": "WIT",
    "params": {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10, "colour": "blue"},
    "dispatch_time": "2026-01-01T00:00:00",
    "provider_name": "ibm",
    "device_name": "ibm_torino",
}


def test_a_parameter_that_the_benchmark_does_not_have_is_left_out_and_told() -> None:
    job, notes = parse(json.dumps(LINE))
    assert job.params == {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
    assert notes == ["parameters that WIT does not have were left out: colour"]


def test_parameters_of_a_benchmark_of_others_stay_as_they_are() -> None:
    job, _ = parse(json.dumps(LINE | {"job_type": "Theirs"}))
    assert job.params == LINE["params"]
