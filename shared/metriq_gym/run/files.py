"""Files that scripts and commands write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from json import dumps
from pathlib import Path

from metriq_gym.jobs import Job, Task
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


def beside(record: Path) -> Path:
    """Return where the debug export goes that belongs to a record: `results_debug.json` for `results.json`."""
    return record.with_name(record.name.removesuffix(".json") + "_debug.json")


def write_debug_export(job: Job, tasks: Sequence[Task], path: Path) -> Path:
    """Write all that a job's result was computed from to a file; raises `Permanent` when its counts are not all in."""
    from metriq_gym.jobs.replay import make_debug_export

    return write_text(path, dumps(make_debug_export(job, tasks)) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a file, with the folder that it is to be in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
