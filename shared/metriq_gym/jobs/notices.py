"""What people and receivers are told: one notice per event, whose id is the same however often it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metriq_gym.jobs.documents import Export, Hold, Job
from metriq_gym.jobs.rows import number_of
from metriq_gym.jobs.states import JobState
from metriq_gym.messages import DeviceDrifted

_ENDS = (JobState.SCORED, JobState.FAILED, JobState.CANCELLED)
TYPES = "info.metriq"
"""What CloudEvents' types begin with."""
JOB_ENDED, SUITE_ENDED, JOB_HELD = "job.ended", "suite.ended", "job.held"
DEVICE_DRIFTED, DEAD_LETTER = "device.drifted", "message.dead_lettered"
QUEUED = (JOB_HELD, DEVICE_DRIFTED, DEAD_LETTER)
"""What has a document of its own until it is told; ends of jobs and suites are told as their records are exported."""


class Notice(BaseModel):
    """Something that has happened."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(alias="_id")
    kind: str
    """Such as ``job.ended``."""
    subject: str
    """The job, suite, device or letter it is about: what is told of the same is told in order."""
    at: datetime
    text: str
    """One line for people."""
    data: dict[str, Any]
    to: dict[str, Export] = {}
    """Who tells of it → how that is getting on; of one that has not begun, nothing."""

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
        kind=JOB_ENDED,
        subject=job.id,
        at=_ended_at(job),
        text=f"{job.benchmark_name} on {job.provider}/{job.device}: {said}" + (f": {reason}" if reason else ""),
        data={
            **_about(job),
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
        kind=SUITE_ENDED,
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


def job_held(job: Job, hold: Hold) -> Notice:
    """Return what is told of a job that has come to be held: once each time."""
    return Notice(
        id=f"{job.id}/{JOB_HELD}/{hold.number}",
        kind=JOB_HELD,
        subject=job.id,
        at=hold.at,
        text=f"{job.benchmark_name} on {job.provider}/{job.device} is held: {hold.reason} (job {job.id})",
        data={**_about(job), "reason": hold.reason},
    )


def device_drifted(shift: DeviceDrifted) -> Notice:
    """Return what is told of a shift; its data are those of the message that is published of it."""
    device = f"{shift.provider}/{shift.device}"
    metric = f"{shift.metric} of {shift.benchmark_name or 'the calibration'}"
    away = f"{shift.deviation:+.1f} standard deviations from its baseline {shift.baseline:.4g}"
    return Notice(
        id=f"{shift.drift_id}/{DEVICE_DRIFTED}",
        kind=DEVICE_DRIFTED,
        subject=device,
        at=shift.found_at,
        text=f"{device} has drifted: {metric} is {shift.value:.4g}, {away}, since {shift.since:%Y-%m-%d %H:%M} UTC",
        data=json.loads(shift.model_dump_json(exclude={"schema_version"})),
    )


def _about(job: Job) -> dict[str, Any]:
    """Return which job it is."""
    return {
        "job_id": job.id,
        "suite_id": job.suite_id,
        "benchmark_name": job.benchmark_name,
        "provider": job.provider,
        "device": job.device,
        "tags": job.tags,
    }


def _outcome(job: Job) -> str:
    return "scored" if job.state in (JobState.SCORED, JobState.EXPORTED) else str(job.state)


def _ended_at(job: Job) -> datetime:
    """Return when the job came to its end; exporting it is no part of that."""
    moves = zip([None, *job.history], job.history, strict=False)
    ends = [line.at for before, line in moves if line.state in _ENDS and (before is None or before.state != line.state)]
    return ends[-1] if ends else job.updated_at
