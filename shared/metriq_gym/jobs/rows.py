"""Results as tidy rows: one row a metric, which is what data frames, spreadsheets and Parquet files have of a job."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from metriq_gym.jobs.documents import Job

COLUMNS = (
    "job_id",
    "benchmark_name",
    "provider",
    "device",
    "dispatch_time",
    "suite_id",
    "suite_name",
    "metric",
    "position",
    "value",
    "uncertainty",
    "runtime_seconds",
    "app_version",
    "params",
)
"""`position` is that in a list of numbers; `params` is the configuration as JSON."""
Row = dict[str, Any]


async def rows(jobs: AsyncIterator[Job], metric: str | None = None) -> AsyncIterator[Row]:
    """Yield the rows of jobs' results, of one metric alone if one is named."""
    async for job in jobs:
        for row in rows_of(job):
            if metric is None or row["metric"] == metric:
                yield row


def rows_of(job: Job) -> Iterator[Row]:
    """Yield the rows of a job's result; what is no number has none."""
    shared = {
        "job_id": job.id,
        "benchmark_name": job.benchmark_name,
        "provider": job.provider,
        "device": job.device,
        "dispatch_time": (job.dispatch_time or job.created_at).isoformat(),
        "suite_id": job.suite_id,
        "suite_name": job.suite_name,
        "runtime_seconds": job.runtime_seconds,
        "app_version": job.app_version,
        "params": json.dumps(job.config, sort_keys=True),
    }
    for name, found in (job.result or {}).items():
        for position, each in enumerate(found) if isinstance(found, list) else [(None, found)]:
            if (number := number_of(each)) is not None:
                value, uncertainty = number
                own = {"metric": name, "position": position, "value": value, "uncertainty": uncertainty}
                yield {column: (shared | own)[column] for column in COLUMNS}


def number_of(found: Any) -> tuple[float, float | None] | None:
    """Return a metric and its uncertainty; None where there is no such number."""
    if isinstance(found, Mapping):
        inner = number_of(found.get("value"))
        uncertainty = number_of(found.get("uncertainty"))
        return None if inner is None else (inner[0], None if uncertainty is None else uncertainty[0])
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    try:
        value = float(found)
    except OverflowError:  # an integer of more than 300 digits
        return None
    return (value, None) if math.isfinite(value) else None
