"""The exported record: what the Metriq dataset keeps of a job."""

from __future__ import annotations

from typing import Any

from metriq_gym.store import Job, JobState


def make_record(job: Job) -> dict[str, Any]:
    """Return the record of a job that has ended, with its result or with the outcome of a failed attempt."""
    at = job.dispatch_time or job.created_at
    record: dict[str, Any] = {
        "app_version": job.app_version,
        "timestamp": at.isoformat(),
        "suite_id": job.suite_id,
        "job_type": job.benchmark_name,
        "results": job.result,
    }
    if job.runtime_seconds is not None:
        record["runtime_seconds"] = job.runtime_seconds
    if job.suite_id is not None and job.suite_name is not None:
        record["suite"] = {"id": job.suite_id, "name": job.suite_name}
    record["platform"] = {
        "provider": job.provider,
        "device": job.device,
        "device_metadata": job.device_metadata,
    }
    record["circuit_metadata"] = {
        "input_two_qubit_gate_counts": job.input_two_qubit_gate_counts,
        "transpiled_two_qubit_gate_counts": job.transpiled_two_qubit_gate_counts,
    }
    record["params"] = job.config
    if job.result is None:
        record |= _outcome(job)
    return record


def _outcome(job: Job) -> dict[str, Any]:
    if job.failure is None:
        reason = "cancelled" if job.state is JobState.CANCELLED else f"no result: the job is {job.state}"
        detail = {"reason": reason, "error_message": reason, "source": "poll"}
        return {"outcome": "error", "outcome_detail": detail}
    failure = job.failure
    detail = {
        "reason": failure.reason.splitlines()[0] if failure.reason else failure.outcome,
        "error_message": failure.reason,
        "source": "dispatch" if failure.source == "dispatch" else "poll",
    }
    return {"outcome": "unsupported" if failure.outcome == "unsupported" else "error", "outcome_detail": detail}
