"""Files that scripts and commands write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from metriq_gym.jobs import Job
from metriq_gym.wording import as_json


def write_record(job: Job, path: Path) -> Path:
    """Write a job's record to a file, as the Metriq dataset has it: a JSON object."""
    from metriq_gym.exporters.record import what_came_of

    return write_text(path, as_json(what_came_of(job)) + "\n")


def write_records(jobs: Iterable[Job], path: Path) -> Path:
    """Write the records of the jobs that have ended to a file: a JSON array."""
    from metriq_gym.exporters.record import what_came_of

    return write_text(
        path, as_json([what_came_of(job) for job in jobs if job.has_ended and not job.waits_elsewhere]) + "\n"
    )


def write_text(path: Path, text: str) -> Path:
    """Write a file, with the folder that it is to be in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
