"""The exported record says what was run where, and how it went, whichever kind of job it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from metriq_gym.benchmarks.benchmark import BenchmarkResult, BenchmarkScore
from metriq_gym.constants import JobType
from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import make_record
from metriq_gym.jobs import JobState
from tests.support.jobs import SCORE, ended_job, failed_job


@dataclass
class Value(BenchmarkResult):
    expectation_value: BenchmarkScore

    def compute_score(self) -> BenchmarkScore:
        return self.expectation_value


@dataclass
class ApiJob:
    """The fields that the documentation of the Python API shows, and one that it does not."""

    id: str = "unique-id"
    job_type: JobType = JobType.QUANTUM_VOLUME
    params: dict[str, Any] = field(default_factory=lambda: {"num_qubits": 5, "shots": 1000})
    provider_name: str = "ibm"
    device_name: str = "ibm_sherbrooke"
    provider_job_ids: list[str] = field(default_factory=list)
    dispatch_time: str | datetime = "2025-01-15T12:00:00"
    app_version: str = "0.3.1"
    runtime_seconds: float | None = None


RECORD = {
    "app_version": "0.3.1",
    "timestamp": "2026-11-20T12:34:56+00:00",
    "suite_id": None,
    "job_type": "WIT",
    "results": {"expectation_value": SCORE, "score": SCORE},
    "runtime_seconds": 1.2,
    "platform": {
        "provider": "tyxonq",
        "device": "homebrew_s2",
        "device_metadata": {"num_qubits": 13, "simulator": False},
    },
    "circuit_metadata": {"input_two_qubit_gate_counts": [24], "transpiled_two_qubit_gate_counts": [40]},
    "params": {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192},
}


def test_a_record_has_exactly_what_the_dataset_expects() -> None:
    assert make_record(ended_job()) == RECORD


def test_suite_and_runtime_are_there_only_when_known() -> None:
    of_suite = make_record(ended_job(suite_id="s", suite_name="nightly", runtime_seconds=None))
    assert of_suite["suite"] == {"id": "s", "name": "nightly"}
    assert of_suite["suite_id"] == "s"
    assert "runtime_seconds" not in of_suite


def test_a_result_given_as_a_dataclass_is_recorded_with_its_score() -> None:
    record = make_record(ended_job(result=None), Value(BenchmarkScore(0.99, 0.001)))
    assert record == RECORD


@pytest.mark.parametrize("at", ["2025-01-15T12:00:00", datetime.fromisoformat("2025-01-15T12:00:00")])
def test_a_job_of_the_python_api_gives_a_record_too(at: str | datetime) -> None:
    record = make_record(ApiJob(dispatch_time=at), {"log_fidelity": 1})
    assert record["timestamp"] == "2025-01-15T12:00:00"
    assert record["job_type"] == "Quantum Volume"
    assert record["platform"] == {"provider": "ibm", "device": "ibm_sherbrooke", "device_metadata": {}}
    assert record["params"] == {"benchmark_name": "Quantum Volume", "num_qubits": 5, "shots": 1000}
    assert record["results"] == {"log_fidelity": 1}
    assert set(RECORD) - set(record) == {"runtime_seconds"}


def test_a_job_of_the_python_api_without_a_result_has_no_record() -> None:
    with pytest.raises(Permanent, match="no result yet"):
        make_record(ApiJob())


def test_a_failure_is_recorded_with_its_verbatim_text_and_its_first_line_as_reason() -> None:
    reason = '\ndevice "x" is on fire\n  Traceback: …\n'
    record = make_record(failed_job(reason=reason))
    assert record["outcome"] == "error"
    detail = {"reason": 'device "x" is on fire', "error_message": reason, "source": "poll"}
    assert record["outcome_detail"] == detail
    assert record["results"] is None


@pytest.mark.parametrize(("source", "told"), [("dispatch", "dispatch"), ("poll", "poll"), ("score", "poll")])
def test_a_failure_says_whether_it_was_before_or_after_dispatch(source: str, told: str) -> None:
    assert make_record(failed_job(of={"source": source}))["outcome_detail"]["source"] == told


def test_what_the_device_cannot_run_is_unsupported() -> None:
    record = make_record(failed_job(outcome="unsupported", reason="needs 20 qubits", dispatch_time=None))
    assert record["outcome"] == "unsupported"
    assert record["timestamp"] == datetime(2026, 11, 20, 12, 0, tzinfo=UTC).isoformat()


def test_a_cancelled_job_is_an_outcome() -> None:
    record = make_record(ended_job(state=JobState.CANCELLED, result=None))
    assert record["outcome"] == "error"
    assert record["outcome_detail"]["reason"] == "cancelled"


@pytest.mark.parametrize("state", [JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED, JobState.REJECTED])
def test_a_job_that_has_not_ended_or_never_was_one_has_no_record(state: JobState) -> None:
    with pytest.raises(Permanent, match="wit-1"):
        make_record(ended_job(state=state, result=None))
