"""What crosses the border to the dataset's own tool, a line of its job file, loses nothing and is given nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.errors import Permanent
from metriq_gym.exporters.json_exporter import JSONExporter
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.upload_path import encode, upload_path
from metriq_gym.job_manager import to_document
from metriq_gym.jobs import JobState
from metriq_gym.operations.importing import BadLine, import_jobs, parse
from metriq_gym.platform import canonical_device_name

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


def test_a_job_that_still_waits_is_no_failure() -> None:
    document = to_document(imported(result_data=None), "imported")
    assert (document.state, document.failure) == (JobState.DISPATCHED, None)
    assert document.waits_elsewhere
    assert document.has_ended  # for the services, which never ran it


def test_a_device_of_amazon_braket_has_the_folder_that_the_dataset_has_for_it() -> None:
    arn = "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1"
    job = imported(provider_name="braket", platform={"provider": "braket", "device": arn, "device_metadata": None})
    record = make_record(to_document(job, "imported"))
    assert record["platform"] == {"provider": "aws", "device": "ionq_aria-1", "device_metadata": {}}
    assert "/aws/ionq_aria-1/" in upload_path(record, encode(record))
    assert job.device_name == arn


@pytest.mark.parametrize(
    ("provider", "device", "named"),
    [
        ("aws", "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald", "iqm_emerald"),
        ("AWS", "Emerald", "emerald"),
        ("ibm", "ibm_Sherbrooke ", "ibm_Sherbrooke"),
        ("azure", "ionq/simulator", "ionq/simulator"),
    ],
)
def test_the_dataset_has_a_name_for_each_device(provider: str, device: str, named: str) -> None:
    assert canonical_device_name(provider, device) == named


@pytest.mark.parametrize(
    ("job_type", "results", "score"),
    [
        ("WIT", {"expectation_value": {"value": 0.9, "uncertainty": 0.1}}, {"value": 0.9, "uncertainty": 0.1}),
        ("BSEQ", {"largest_connected_size": 7, "fraction_connected": 1.0}, {"value": 7.0, "uncertainty": None}),
        ("Linear Ramp QAOA", {"effective_approx_ratio": [0.5, 0.7]}, {"value": 0.6, "uncertainty": None}),
        (
            "QAT OLE",
            {"observable_value": {"value": 0.4, "uncertainty": 0.1}, "noiseless_reference": -0.5},
            {"value": -0.8, "uncertainty": 0.2},
        ),
        ("QAT OLE", {"observable_value": {"value": 0.4, "uncertainty": 0.1}, "noiseless_reference": None}, None),
        ("EPLG", {"eplg_10": 0.1}, None),
    ],
)
def test_a_record_has_the_score_that_the_job_file_leaves_out(
    job_type: str, results: dict[str, Any], score: dict[str, Any] | None
) -> None:
    record = make_record(to_document(imported(job_type=job_type, result_data=results), "imported"))
    assert record["results"] == results | ({} if score is None else {"score": score})


def test_a_chain_of_qubits_reaches_the_record() -> None:
    assert make_record(imported(data={"qubit_chain": [3, 2, 1]}))["circuit_metadata"] == {"qubit_chain": [3, 2, 1]}


_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
RESULTS = st.dictionaries(_names, st.floats(allow_nan=False, allow_infinity=False), min_size=1)
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
    assert {**record["results"], **results} == record["results"]
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


RECORD: dict[str, Any] = {
    "app_version": "0.7.1",
    "timestamp": "2026-08-12T10:11:12+00:00",
    "suite_id": None,
    "job_type": "WIT",
    "results": {"expectation_value": {"value": 0.9, "uncertainty": 0.01}},
    "platform": {"provider": "ibm", "device": "ibm_torino", "device_metadata": {"num_qubits": 133}},
    "circuit_metadata": {},
    "params": {"benchmark_name": "WIT", "shots": 100},
}
FAILED = {
    "results": None,
    "outcome": "unsupported",
    "outcome_detail": {"reason": "no reset", "error_message": "qubit 0: no reset", "source": "dispatch"},
}


@given(
    changes=st.fixed_dictionaries(
        {"results": RESULTS, "timestamp": st.datetimes().map(lambda time: time.isoformat() + "+00:00")},
        optional={"runtime_seconds": st.floats(0, 1e6), "circuit_metadata": st.just({"qubit_chain": [1, 2]})},
    )
    | st.just(FAILED),
    suite=st.none() | st.tuples(WORDS, WORDS),
)
def test_a_record_that_is_imported_and_exported_is_the_same(
    changes: dict[str, Any], suite: tuple[str, str] | None
) -> None:
    in_suite = {} if suite is None else {"suite_id": suite[0], "suite": {"id": suite[0], "name": suite[1]}}
    record = RECORD | changes | in_suite
    job, notes = parse(json.dumps(record))
    assert make_record(to_document(job, "imported")) == record
    assert notes == []
    assert parse(json.dumps(record))[0].id == job.id


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_file_of_the_dataset_is_taken_over(tmp_path: Path, indent: int | None, encoding: str) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps([RECORD, RECORD | FAILED, 7], indent=indent), encoding=encoding)
    added: list[Any] = []

    async def add(job: Any) -> bool:
        added.append(job)
        return True

    store: Any = SimpleNamespace(records=SimpleNamespace(add=add))
    done = await import_jobs(store, path)
    assert [job.state for job in added] == [JobState.EXPORTED, JobState.FAILED]
    assert [(line.unit, line.number, line.reason) for line in done.bad] == [("entry", 3, "is not a JSON object")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"transpiled_two_qubit_gate_counts": [None]}}, "transpiled_two_qubit_gate_counts"),
        ({"params": {"num_qubits": 7, "shots": 10**30}}, "more than 64 bits"),
        ({"suite_name": "\ud800"}, "half a character"),
        ({"params": {"num_qubits": {"\0": 1}}}, "NUL"),
        ({"platform": {"provider": 3, "device": "x"}}, "platform.provider must be text"),
        ({"platform": "ionq"}, "platform must be an object"),
        ({"error": ["it broke"]}, "error must be an object or text or null"),
        ({"runtime_seconds": "1"}, "runtime_seconds must be"),
        ({"dispatch_time": "yesterday"}, "dispatch_time"),
        ({"provider_name": None}, "provider_name must be text"),
        ({"job_type": None}, "lacks job_type"),
    ],
)
async def test_a_line_that_the_store_cannot_hold_is_told_of_and_the_rest_goes_on(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path, added = tmp_path / "jobs.jsonl", []
    path.write_text("\n".join(json.dumps(each) for each in (LINE | changes, LINE)))

    async def add(job: Any) -> bool:
        added.append(job.id)
        return True

    store: Any = SimpleNamespace(records=SimpleNamespace(add=add))
    done = await import_jobs(store, path)
    assert added == ["abc"]
    (bad,) = done.bad
    assert (bad.number, words in bad.reason) == (1, True), bad.reason


def test_numbers_beyond_what_json_has_are_told_of() -> None:
    line = json.dumps(LINE)
    for number, words in (("NaN", "NaN is no JSON number"), ("1e400", "not finite")):
        with pytest.raises(BadLine, match=words):
            parse(line.replace('"runtime_seconds": 1.5', f'"runtime_seconds": {number}'))


def test_a_failure_of_another_kind_of_source_keeps_it() -> None:
    line = imported(result_data=None, error={"source": "provider", "message": "calibrating"})
    assert make_record(to_document(line, "imported"))["outcome_detail"]["source"] == "provider"


def test_a_failure_that_is_words_alone_keeps_them() -> None:
    record = make_record(to_document(imported(result_data=None, error="out of credits"), "imported"))
    assert (record["outcome"], record["outcome_detail"]["error_message"]) == ("error", "out of credits")


@pytest.mark.parametrize("error", [None, "", {}])
def test_an_error_that_says_nothing_is_no_failure(error: object) -> None:
    document = to_document(imported(result_data=None, error=error), "imported")
    assert (document.state, document.failure) == (JobState.DISPATCHED, None)


def test_a_platform_without_names_is_that_of_the_provider_and_the_device() -> None:
    job = imported(provider_name="ionq", device_name="forte_1", platform={"provider": "", "device": ""})
    record = make_record(to_document(job, "imported"))
    assert record["platform"] == {"provider": "ionq", "device": "forte_1", "device_metadata": {}}
