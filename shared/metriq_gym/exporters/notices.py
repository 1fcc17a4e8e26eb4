"""What people and receivers are told: one notice per event, whose id is the same however often it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.rows import number_of

_ENDS = (JobState.SCORED, JobState.FAILED, JobState.CANCELLED)
TYPES = "info.metriq"
"""What CloudEvents' types begin with."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that has happened."""

    id: str
    kind: str
    """Such as ``job.ended``."""
    subject: str
    """The job, suite or device it is about."""
    at: datetime
    text: str
    """One line for people."""
    data: Mapping[str, Any]

    def envelope(self) -> bytes:
        """Return the notice as CloudEvents 1.0 has it, in JSON."""
        event = {
            "specversion": "1.0",
            "id": self.id,
            "source": "/metriq-gym",
            "type": f"{TYPES}.{self.kind}",
            "subject": self.subject,
            "time": self.at.isoformat(),
            "datacontenttype": "application/json",
            "data": self.data,
        }
        return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def job_ended(job: Job) -> Notice:
    """Return what is told of a job that has a result, failed or was cancelled; it is told again if it is resumed."""
    outcome = _outcome(job)
    score = number_of((job.result or {}).get("score"))
    reason = job.failure.reason if job.failure else None
    said = outcome if score is None else f"{outcome}, score {score[0]:.4g}"
    return Notice(
        id=f"{job.id}/job.ended/{job.resumed}",
        kind="job.ended",
        subject=job.id,
        at=_ended_at(job),
        text=f"{job.benchmark_name} on {job.provider}/{job.device}: {said}" + (f": {reason}" if reason else ""),
        data={
            "job_id": job.id,
            "suite_id": job.suite_id,
            "benchmark_name": job.benchmark_name,
            "provider": job.provider,
            "device": job.device,
            "tags": job.tags,
            "outcome": outcome,
            "score": None if score is None else {"value": score[0], "uncertainty": score[1]},
            "reason": reason,
        },
    )


def suite_ended(jobs: Sequence[Job]) -> Notice:
    """Return what is told of a suite all of whose jobs have ended; the order of `jobs` does not matter."""
    ordered = sorted(jobs, key=lambda job: job.id)
    first = ordered[0]
    outcomes = {job.id: _outcome(job) for job in ordered}
    scored = sum(outcome == "scored" for outcome in outcomes.values())
    name = first.suite_name or first.suite_id
    return Notice(
        id=f"{first.suite_id}/suite.ended/{sum(job.resumed for job in ordered)}",
        kind="suite.ended",
        subject=str(first.suite_id),
        at=max(map(_ended_at, ordered)),
        text=f"suite {name} on {first.provider}/{first.device}: {scored} of {len(ordered)} jobs have a result",
        data={
            "suite_id": first.suite_id,
            "suite_name": first.suite_name,
            "provider": first.provider,
            "device": first.device,
            "outcomes": outcomes,
        },
    )


def _outcome(job: Job) -> str:
    return "scored" if job.state in (JobState.SCORED, JobState.EXPORTED) else str(job.state)


def _ended_at(job: Job) -> datetime:
    """Return when the job came to its end; exporting it is no part of that."""
    moves = zip([None, *job.history], job.history, strict=False)
    ends = [line.at for before, line in moves if line.state in _ENDS and (before is None or before.state != line.state)]
    return ends[-1] if ends else job.updated_at
