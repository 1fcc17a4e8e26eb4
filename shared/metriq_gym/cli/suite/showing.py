"""A suite as commands print it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metriq_gym.cli.output import console, emit
from metriq_gym.cli.pictures import draw_suite
from metriq_gym.jobs import Job
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import describe


def show(jobs: list[Job], as_json: bool, plot: Path | None) -> None:
    """Print a suite's jobs, and draw their scores."""
    if plot is not None:
        draw_suite(jobs, plot)
    if as_json:
        emit(described(jobs))
        return
    out = console()
    report.show_facts(
        out,
        {
            "suite": jobs[0].suite_id or "",
            "name": jobs[0].suite_name or "",
            "device": f"{jobs[0].provider}/{jobs[0].device}",
            "progress": describe(summarise(jobs)),
        },
    )
    names = (report.short_id(job.id, out) for job in jobs)
    rows = (
        [name, job.benchmark_name, report.state(job), report.score(job), *report.why(job)[:1]]
        for name, job in zip(names, jobs, strict=True)
    )
    padded = ([*row, *[""] * (5 - len(row))] for row in rows)
    report.show_table(out, ("job", "benchmark", "state", "score", "why"), padded)


def described(jobs: list[Job]) -> dict[str, Any]:
    """Return a suite as commands print it as JSON."""
    summary = summarise(jobs)
    return {
        "suite_id": jobs[0].suite_id,
        "suite_name": jobs[0].suite_name,
        "size": summary.size,
        "ended": summary.ended,
        "done": summary.done,
        "jobs": [
            {
                "job_id": job.id,
                "benchmark_name": job.benchmark_name,
                "state": str(job.state),
                "held": job.held,
                "result": job.result,
                "failure": None if job.failure is None else job.failure.model_dump(mode="json"),
            }
            for job in jobs
        ],
    }
