"""Jobs as CSV, a line a job, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from metriq_gym.jobs import Job
from metriq_gym.jobs.tables import no_formula


def jobs_as_csv(jobs: Sequence[Job]) -> str:
    """Return jobs with every metric that is a number, each with its uncertainty where it has one, in columns."""
    rows = [_facts(job) | _metrics(job) for job in jobs]
    return as_csv(rows, list(_COLUMNS))


def as_csv(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> str:
    """Return rows under a line of names: `columns`, then what else the rows have."""
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(no_formula, names))
    writer.writerows([no_formula(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


_COLUMNS = (
    *("job_id", "suite_id", "suite_name", "benchmark_name", "provider", "device", "state", "held", "tags"),
    *("created_at", "dispatch_time", "runtime_seconds", "failure"),
)


def _facts(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "suite_id": job.suite_id,
        "suite_name": job.suite_name,
        "benchmark_name": job.benchmark_name,
        "provider": job.provider,
        "device": job.device,
        "state": str(job.state),
        "held": job.held,
        "tags": ",".join(job.tags),
        "created_at": job.created_at.isoformat(),
        "dispatch_time": None if job.dispatch_time is None else job.dispatch_time.isoformat(),
        "runtime_seconds": job.runtime_seconds,
        "failure": None if job.failure is None else job.failure.reason,
    }


def _metrics(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in (job.result or {}).items():
        if isinstance(value, Mapping) and "value" in value:
            found[name] = value["value"]
            found[f"{name}_uncertainty"] = value.get("uncertainty")
        elif isinstance(value, int | float):
            found[name] = value
    return found
