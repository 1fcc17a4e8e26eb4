"""What crosses the border to the dataset's own tool, a line of its job file, loses nothing and is given nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.errors import Permanent
from metriq_gym.exporters.json_exporter import JSONExporter
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.upload_path import encode, upload_path
from metriq_gym.job_manager import to_document
from metriq_gym.operations.importing import BadLine, parse

LINE: dict[str, Any] = {
    "id": "abc",
    "job_type": "WIT",
    "params": {"num_qubits": 7, "benchmark_name": "WIT", "shots": 100},
    "data": {
        "provider_job_ids": ["x"],
        "input_two_qubit_gate_counts": [24],
        "transpiled_two_qubit_gate_counts": [40],
    },
    "provider_name": "aws",
    "device_name": "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1",
    "platform": {"provider": "ionq", "device": "aria_1", "device_metadata": {"num_qubits": 25}},
    "dispatch_time": "2026-08-12T10:11:12.123456+00:00",
    "app_version": "0.8.0",
    "suite_id": None,
    "suite_name": None,
    "runtime_seconds": 1.5,
    "result_data": {"expectation_value": {"value": 0.9, "uncertainty": 0.01}},
}


def imported(**changes: Any) -> Any:
    return parse(json.dumps(LINE | changes))[0]


def test_gates_and_the_canonical_platform_reach_the_record_and_its_path() -> None:
    record = make_record(to_document(imported(), "imported"))
    assert record["platform"] == LINE["platform"]
    assert record["circuit_metadata"] == {
        "input_two_qubit_gate_counts": [24],
        "transpiled_two_qubit_gate_counts": [40],
    }
    assert record["timestamp"] == LINE["dispatch_time"]
    assert "/ionq/aria_1/" in upload_path(record, encode(record))


def test_a_failure_keeps_its_words_and_its_source() -> None:
    error = {"source": "dispatch", "message": "queue closed\nfor the night"}
    record = make_record(to_document(imported(result_data=None, error=error), "imported"))
    assert (record["outcome"], record["results"]) == ("error", None)
    assert record["outcome_detail"] == {
        "reason": "queue closed",
        "error_message": "queue closed\nfor the night",
        "source": "dispatch",
    }


def test_a_job_that_still_waits_has_no_record() -> None:
    with pytest.raises(Permanent, match="no result yet"):
        make_record(to_document(imported(result_data=None), "imported"))


def test_a_record_is_not_taken_for_a_job() -> None:
    record = make_record(to_document(imported(), "imported"))
    with pytest.raises(BadLine, match="record of the dataset"):
        parse(json.dumps(record))


RESULTS = st.dictionaries(st.text(min_size=1, max_size=8), st.floats(allow_nan=False, allow_infinity=False), min_size=1)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


@given(
    results=RESULTS,
    at=st.datetimes().map(lambda time: time.isoformat() + "+00:00"),
    runtime=st.none() | st.floats(0, 1e6),
    suite=st.none() | WORDS,
    provider=WORDS,
    device=WORDS,
    counts=st.lists(st.integers(0, 1000), min_size=1, max_size=3),
)
def test_both_ways_of_exporting_write_the_same_bytes_and_all_that_both_tools_know(
    results: dict[str, float],
    at: str,
    runtime: float | None,
    suite: str | None,
    provider: str,
    device: str,
    counts: list[int],
) -> None:
    changes: dict[str, Any] = {
        "result_data": results,
        "dispatch_time": at,
        "runtime_seconds": runtime,
        "suite_id": suite,
        "suite_name": suite,
        "platform": {"provider": provider, "device": device},
        "data": {"input_two_qubit_gate_counts": counts, "transpiled_two_qubit_gate_counts": counts},
    }
    job = imported(**changes)
    document = to_document(job, "imported")
    record = make_record(document)
    assert encode(record) == encode(make_record(job))
    assert record["results"] == results
    assert record["timestamp"] == job.dispatch_time.isoformat()
    assert record.get("runtime_seconds") == runtime
    assert record["suite_id"] == suite
    assert (record["platform"]["provider"], record["platform"]["device"]) == (provider, device)
    assert record["circuit_metadata"] == changes["data"]
    assert record["params"] == LINE["params"]
    # Imported again from what was kept, it is the same job.
    again, notes = parse(str(document.imported))
    assert (again, notes) == (job, [])


def test_the_exporter_writes_what_the_command_does(tmp_path: Path) -> None:
    job = imported()
    path = JSONExporter(job).export(tmp_path / "record.json")
    assert path.read_bytes() == encode(make_record(to_document(job, "imported")))
