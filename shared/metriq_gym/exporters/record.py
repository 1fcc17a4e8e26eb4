"""The exported record: what the Metriq dataset keeps of a job, its result or the outcome of a failed attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol

from metriq_gym.benchmarks.benchmark import BenchmarkResult
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Failure, Job, JobState
from metriq_gym.jobs.documents import failure_noted
from metriq_gym.platform import canonical_device_name, canonical_provider_name

Record = dict[str, Any]


_OF_CIRCUITS = ("input_two_qubit_gate_counts", "transpiled_two_qubit_gate_counts", "qubit_chain")


class GymJob(Protocol):
    """What a record needs of a `MetriqGymJob`.

    Used as well where the job has them: ``suite_id``, ``suite_name``, ``platform``, ``circuit_metadata``,
    ``runtime_seconds``, ``result_data`` and ``failure``.
    """

    @property
    def id(self) -> str: ...
    @property
    def job_type(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def provider_name(self) -> str: ...
    @property
    def device_name(self) -> str: ...
    @property
    def dispatch_time(self) -> str | datetime: ...
    @property
    def app_version(self) -> str | None: ...


Result = BenchmarkResult | Mapping[str, Any]
"""A result, or its record: metric → value."""


def make_record(job: Job | GymJob, result: Result | None = None) -> Record:
    """Return the record of a job that has ended; `result` is the job's own unless it is given.

    Raises `Permanent` when there is nothing to record: the job has not ended, or never was one.
    """
    results = result.record() if isinstance(result, BenchmarkResult) else result
    return _of_document(job, results) if isinstance(job, Job) else _of_gym_job(job, results)


def what_came_of(job: Job) -> Record:
    """Return a job's record; of a dry run, which has none, what its provider says of each circuit."""
    if job.state is not JobState.CHECKED:
        return make_record(job)
    return {
        "job_id": job.id,
        "state": str(job.state),
        "job_type": job.benchmark_name,
        "platform": {"provider": job.provider, "device": job.device, "device_metadata": job.device_metadata},
        "params": job.config,
        "circuits": [{"run": each.run, "position": each.first, **each.said} for each in job.checked],
    }


def _of_document(job: Job, results: Mapping[str, Any] | None) -> Record:
    if job.dry:
        raise Permanent(f"job {job.id} is a dry run; only one whose circuits were run has a record")
    if job.imported is not None:
        return _of_gym_job(SimpleNamespace(**json.loads(job.imported)), results)
    results = job.result if results is None else results
    at = job.dispatch_time or job.created_at
    platform = {"provider": job.provider, "device": job.device, "device_metadata": job.device_metadata}
    circuits = {
        "input_two_qubit_gate_counts": job.input_two_qubit_gate_counts,
        "transpiled_two_qubit_gate_counts": job.transpiled_two_qubit_gate_counts,
        **({"short_counts": [each.model_dump() for each in job.short_counts]} if job.short_counts else {}),
        **({"compilation": job.compiled_with} if job.compiled_with else {}),
    }
    return {
        "app_version": job.app_version,
        "timestamp": at.isoformat(),
        "suite_id": job.suite_id,
        "job_type": job.benchmark_name,
        "results": results,
        **_known(job.runtime_seconds, job.suite_id, job.suite_name),
        **({"tags": job.tags} if job.tags else {}),
        "platform": platform,
        "circuit_metadata": circuits,
        "params": job.config,
        **({} if results is not None else _outcome_of(job)),
    }


def _of_gym_job(job: GymJob, results: Mapping[str, Any] | None) -> Record:
    def known(name: str) -> Any:
        return getattr(job, name, None)

    results = known("result_data") if results is None else results
    outcome = None
    if results is None:
        failure: Failure | None = known("failure")
        outcome = _outcome(failure) if failure is not None else _noted(known("error"))
        if outcome is None:
            raise Permanent(f"job {job.id} has no result yet")
    # Other tools keep these with what the benchmark noted for scoring.
    noted = known("data") or {}
    circuits = {name: noted[name] for name in _OF_CIRCUITS if isinstance(noted.get(name), list)}
    at = job.dispatch_time
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return {
        "app_version": job.app_version,
        "timestamp": at.isoformat(),
        "suite_id": known("suite_id"),
        "job_type": str(job.job_type),
        "results": results,
        **_known(known("runtime_seconds"), known("suite_id"), known("suite_name")),
        "platform": canonical_platform(job),
        "circuit_metadata": circuits | (known("circuit_metadata") or {}),
        "params": {**({} if "benchmark_name" in job.params else {"benchmark_name": str(job.job_type)}), **job.params},
        **(outcome or {}),
    }


def canonical_platform(job: GymJob) -> dict[str, Any]:
    """Return provider, device and the device's metadata by the names that the dataset has for them."""
    noted = {name: value for name, value in (getattr(job, "platform", None) or {}).items() if value not in (None, "")}
    platform = {"provider": job.provider_name, "device": job.device_name, "device_metadata": {}} | noted
    provider = canonical_provider_name(str(platform["provider"]))
    return platform | {"provider": provider, "device": canonical_device_name(provider, str(platform["device"]))}


def _known(runtime_seconds: float | None, suite_id: str | None, suite_name: str | None) -> Record:
    runtime = {} if runtime_seconds is None else {"runtime_seconds": runtime_seconds}
    in_suite = suite_id is not None and suite_name is not None
    return runtime | ({"suite": {"id": suite_id, "name": suite_name}} if in_suite else {})


def _outcome_of(job: Job) -> Record:
    if job.state is JobState.FAILED and job.failure is not None:
        return _outcome(job.failure)
    if job.state is JobState.CANCELLED:
        source = "dispatch" if job.dispatch_time is None else "poll"
        detail = {"reason": "cancelled", "error_message": "the job was cancelled", "source": source}
        return {"outcome": "error", "outcome_detail": detail}
    if job.state is JobState.REJECTED:
        raise Permanent(f"request {job.id} was rejected; only a job that was tried has a record")
    raise Permanent(f"job {job.id} is {job.state}; it has a record once it has ended")


def _noted(error: Mapping[str, Any] | None) -> Record | None:
    """Return the outcome of a job that another tool noted the failure of; one that came from a record as it was."""
    if error is None:
        return None
    outcome = _outcome(failure_noted(error))
    named = {"source": error["source"]} if isinstance(error.get("source"), str) else {}
    return outcome | {"outcome_detail": outcome["outcome_detail"] | named | dict(error.get("outcome_detail") or {})}


def _outcome(failure: Failure) -> Record:
    first_line = next((line for line in failure.reason.splitlines() if line.strip()), failure.outcome)
    return {
        "outcome": "unsupported" if failure.outcome == "unsupported" else "error",
        "outcome_detail": {
            "reason": first_line,
            "error_message": failure.reason,
            "source": "dispatch" if failure.source == "dispatch" else "poll",
        },
    }
