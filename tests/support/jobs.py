"""Jobs that have ended, for tests of what becomes of them afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from metriq_gym.jobs import Failure, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Cancelled, Completed, Dispatched, Failed, Move, Scored
from metriq_gym.jobs.documents import is_settled
from metriq_gym.store import Store

AT = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)


def ended_job(job_id: str = "wit-1", **changes: Any) -> Job:
    """A scored WIT job on a device of TyxonQ's."""
    fields: dict[str, Any] = {
        "state": JobState.SCORED,
        "benchmark_name": "WIT",
        "provider": "tyxonq",
        "device": "homebrew_s2",
        "config": {"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192},
        "app_version": "0.3.1",
        "created_at": datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
        "updated_at": AT,
        "dispatch_time": AT,
        "device_metadata": {"num_qubits": 13, "simulator": False},
        "input_two_qubit_gate_counts": [24],
        "transpiled_two_qubit_gate_counts": [40],
        "result": {"expectation_value": SCORE, "score": SCORE},
        "runtime_seconds": 1.2,
        "history": [{"state": changes.get("state", JobState.SCORED), "at": AT, "service": "test"}],
    }
    return Job.model_validate({"_id": job_id} | fields | changes)


SCORE = {"value": 0.99, "uncertainty": 0.001}


def failed_job(job_id: str = "wit-1", *, outcome: str = "error", reason: str = "it broke", **changes: Any) -> Job:
    """A job that ended without a result."""
    failure = Failure.model_validate({"outcome": outcome, "reason": reason, "source": "poll"} | changes.pop("of", {}))
    return ended_job(job_id, **({"state": JobState.FAILED, "result": None, "failure": failure} | changes))


def counted_task(job_id: str) -> Task:
    """The one task of a job, with its circuits and counts."""
    fields = {"job_id": job_id, "provider": "cloud", "device": "d", "run": 0, "first": 0, "circuit_count": 1}
    packed = {"shots": 1, "seed": 1, "circuits": b"circuits", "counts": b"counts"}
    return Task.model_validate({"_id": f"{job_id}:0", "state": TaskState.COMPLETED} | fields | packed)


def to(state: JobState, **fields: Any) -> Move:
    """A move to a state."""
    moves: dict[JobState, type[Move]] = {
        each.state: each for each in (Dispatched, Completed, Scored, Failed, Cancelled)
    }
    usual: dict[JobState, dict[str, Any]] = {
        JobState.SCORED: {"result": {}},
        JobState.FAILED: {"failure": Failure(outcome="error", reason="it broke", source="poll")},
    }
    if state not in moves:  # one that no service makes by itself
        moves[state] = type("Odd", (Move,), {"state": state, "__module__": __name__})
    return moves[state].model_validate(usual.get(state, {}) | fields)


async def watch(store: Store, job_id: str, *, until: Callable[[Job], bool] = is_settled) -> AsyncIterator[Job]:
    """Yield a job, once it exists, whenever it or one of its tasks changes, until it is as wanted."""
    async for job, _ in store.changes.job(job_id, until=until):
        yield job
