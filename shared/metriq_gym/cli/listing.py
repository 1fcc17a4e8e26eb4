"""Jobs as a table for scripts, and the question which one is meant; `mgym job list` prints for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from metriq_gym.client.lookup import LATEST
from metriq_gym.job_manager import JobManager, MetriqGymJob

LIST_JOBS_HEADERS = ["Metriq-gym Job Id", "Provider", "Device", "Type", "# Qubits", "Dispatch time (UTC)"]
_WIDE = 10_000


def list_jobs(jobs: Sequence[MetriqGymJob], show_index: bool = False, show_suite_id: bool = True) -> None:
    """Print a table of jobs.

    Parameters
    ----------
    jobs:
        The jobs, a row for each.
    show_index:
        Whether the first column counts them from 0.
    show_suite_id:
        Whether there is a column for the id of the suite.
    """
    if not jobs:
        print("No jobs found.")
        return
    table = Table(box=box.ASCII_DOUBLE_HEAD, show_lines=True)
    for header in [*([""] if show_index else []), *(["Suite ID"] if show_suite_id else []), *LIST_JOBS_HEADERS]:
        side: JustifyMethod = "right" if header in ("", "# Qubits") else "left"
        table.add_column(header, no_wrap=True, justify=side, min_width=len(header) + 2)
    for number, job in enumerate(jobs):
        index, suite = ([str(number)] if show_index else []), ([job.suite_id or ""] if show_suite_id else [])
        table.add_row(*index, *suite, *_row(job))
    Console(file=sys.stdout, width=_WIDE, color_system=None, markup=False, emoji=False).print(table)


def prompt_for_job(job_id: str | None, job_manager: JobManager) -> MetriqGymJob | None:
    """Return the job of an id, or the newest for ``latest``; without an id, the one that is chosen from a list.

    None when there are no jobs. Raises `NotFound`.
    """
    if job_id:
        return job_manager.get_latest_job() if job_id == LATEST else job_manager.get_job(job_id)
    jobs = job_manager.get_jobs()
    list_jobs(jobs, show_index=True)
    if not jobs:
        return None
    while True:
        chosen: int = typer.prompt("which job", type=int, default=len(jobs) - 1)
        if 0 <= chosen < len(jobs):
            return jobs[chosen]
        print(f"a number from 0 to {len(jobs) - 1}, please")


def _row(job: MetriqGymJob) -> list[str]:
    assert isinstance(job.dispatch_time, datetime)  # noqa: S101  (made so when it was built)
    at = job.dispatch_time.astimezone(UTC).replace(tzinfo=None)
    qubits = job.num_qubits()
    return [
        job.id,
        job.provider_name,
        job.device_name,
        str(job.job_type),
        "" if qubits is None else str(qubits),
        at.isoformat(),
    ]
