"""What a person reads of jobs: numbers with their uncertainties, tables, and a job in words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metriq_gym.jobs import Export, Job, JobState
from metriq_gym.wording import duration, printable

Row = Sequence[object]

_MANY = 8
"""Entries of a list that are shown."""
_MADE_UP = re.compile(r"^([0-9a-f]{12})[0-9a-f]{20}(\..*)?$")
"""An id that was drawn, or that of a job of a suite with such an id: twelve digits tell it apart."""
_STATE_STYLES = {
    JobState.EXPORTED: "green",
    JobState.REJECTED: "red",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}


def number(value: Any) -> str:
    """Return a metric as text: a value with its uncertainty, a list, or whatever it is."""
    if isinstance(value, Mapping) and "value" in value:
        return _with_uncertainty(value["value"], value.get("uncertainty"))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        shown = [number(each) for each in value[:_MANY]]
        return ", ".join([*shown, f"… ({len(value)} in all)"] if len(value) > _MANY else shown)
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def _with_uncertainty(value: Any, uncertainty: Any) -> str:
    """Round both to the digit that the uncertainty leaves meaning: its first, or its first two from 10 to 19."""
    if not isinstance(value, int | float):
        return str(value)
    if not isinstance(uncertainty, int | float) or not math.isfinite(uncertainty):
        return f"{value:.4g}"
    if uncertainty == 0:
        return f"{value:.4g} ± 0"
    exponent = math.floor(math.log10(abs(uncertainty)))
    digits = max(0, 1 - exponent if abs(uncertainty) / 10**exponent < 2 else -exponent)
    return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"


def score(job: Job) -> str:
    """Return a job's score as text, or whichever metric stands for it."""
    if not job.result:
        return ""
    if "score" in job.result:
        return number(job.result["score"])
    named = [(name, value) for name, value in job.result.items() if isinstance(value, int | float | Mapping)]
    return f"{named[-1][0]} {number(named[-1][1])}" if named else ""


def age(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time was, in words."""
    return duration(((now or datetime.now(UTC)) - at).total_seconds())


def show_table(console: Console, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table: framed on a terminal; elsewhere a line a row, nothing cut off, columns two spaces apart.

    What is in the first column, perhaps to be copied, is not broken over lines.
    """
    columns = [printable(each) for each in columns]
    texts = [[_text(each) for each in row] for row in rows]
    if console.is_terminal:
        table = Table(box=SIMPLE, header_style="bold", pad_edge=False)
        for position, column in enumerate(columns):
            table.add_column(column, overflow="fold", no_wrap=position == 0)
        for row in texts:
            table.add_row(*row)
        console.print(table)
        return
    plain = [list(columns), *([each.plain for each in row] for row in texts)]
    widths = [max(len(row[column]) for row in plain) for column in range(len(columns))]
    for line in plain:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        console.print(padded, soft_wrap=True, highlight=False, markup=False)


def show_jobs(console: Console, jobs: Sequence[Job]) -> None:
    """Print a list of jobs."""
    if not jobs:
        console.print("no jobs")
        return
    columns = ("job", "benchmark", "device", "state", "score", "age")
    show_table(console, columns, (job_row(job, short=console.is_terminal) for job in jobs))


def job_row(job: Job, *, short: bool) -> list[object]:
    """Return a job as a row of a list."""
    name = _MADE_UP.sub(r"\1\2", job.id) if short else job.id
    where = f"{job.provider}/{job.device}" if job.provider else ""
    return [name, job.benchmark_name, where, state(job), score(job), age(job.created_at)]


def state(job: Job) -> Text:
    """Return a job's state, coloured."""
    return Text("held" if job.held else job.state, style="yellow" if job.held else _STATE_STYLES.get(job.state, ""))


def show_job(console: Console, job: Job, provider_job_ids: Sequence[str] = (), *, elsewhere: bool = False) -> None:
    """Print all that a person wants to know of a job, its result last.

    `elsewhere` says that exported files are where the exporter service runs, and not here.
    """
    facts: dict[str, object] = {
        "job": job.id,
        "state": state(job),
        "benchmark": job.benchmark_name,
        "device": f"{job.provider}/{job.target or job.device}" if job.provider else "",
        "suite": f"{job.suite_name or ''} ({job.suite_id})" if job.suite_id else "",
        "requested": f"{_moment(job.created_at)} ({age(job.created_at)} ago)",
        "dispatched": _moment(job.dispatch_time) if job.dispatch_time else "",
        "ends at the latest": _moment(job.deadline_at) if job.deadline_at else "",
        "tasks": job.task_count or "",
        "at the provider": number(list(provider_job_ids)) if provider_job_ids else "",
        "ran for": "" if job.runtime_seconds is None else f"{job.runtime_seconds:.3g} s",
        "parameters": ", ".join(f"{key}={number(value)}" for key, value in job.config.items()),
        "held": job.held or "",
    }
    for target, export in job.exports.items():
        facts[f"exported to {target}"] = _place(export, elsewhere) or export.error or export.state
    if job.failure is not None:
        facts["why"] = "\n".join(why(job))
    facts |= {f"warning {each['path']}": each["message"] for each in job.warnings}
    show_facts(console, facts)
    show_result(console, job)


def _place(export: Export, elsewhere: bool) -> str:
    location = export.location or ""
    return f"{location} (where the exporter runs)" if location and elsewhere and "://" not in location else location


def show_facts(console: Console, facts: Mapping[str, object]) -> None:
    """Print names and values, a pair a line; those without a value are left out."""
    known = {name: value for name, value in facts.items() if str(value)}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        console.print(Text.assemble((name.ljust(width), "dim"), "  ", _text(value)), soft_wrap=True, highlight=False)


def show_result(console: Console, job: Job) -> None:
    """Print a job's metrics, each with its uncertainty."""
    if job.result:
        if not console.is_terminal:  # where a table has no frame
            console.print()
        show_table(console, ("metric", "value"), ([name, number(value)] for name, value in job.result.items()))


def why(job: Job) -> list[str]:
    """Return why a job has no result, a line a problem."""
    if job.failure is None:
        return []
    return [f"{each['path']}: {each['message']}" for each in job.failure.problems] or job.failure.reason.splitlines()


def _text(value: object) -> Text:
    return value.copy() if isinstance(value, Text) else Text(printable(str(value)))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
