"""What a person reads of jobs: numbers with their uncertainties, tables, and a job in words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from metriq_gym.constants import CIRCUIT
from metriq_gym.jobs import Export, Job, JobState
from metriq_gym.jobs.documents import is_file
from metriq_gym.jobs.rows import Row
from metriq_gym.terminal.lines import tell, wrapped
from metriq_gym.terminal.tables import as_text, table
from metriq_gym.terminal.tables import show_table as show_table
from metriq_gym.wording import duration

_JOB_COLUMNS = ("job", "benchmark", "device", "state", "score", "age")
_RESULT_COLUMNS = ("job", "benchmark", "device", "time", "metric", "value")
_MANY = 8
"""Entries of a list that are shown."""
_MADE_UP = re.compile(r"^([0-9a-f]{12})[0-9a-f]{20}(\..*)?$")
"""An id that was drawn, or that of a job of a suite with such an id: twelve digits tell it apart."""
_TOLD = ("qubits", "depth", "device", "queue", "md5", "result")
"""What is shown of a dry run's circuit; all of it is in the job's JSON."""
_BAR = 30
"""Characters of the longest bar of a histogram."""
_MOST_BARS = 32
_STATE_STYLES = {
    JobState.EXPORTED: "green",
    JobState.CHECKED: "green",
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
    if not job.result or job.benchmark_name == CIRCUIT:
        return ""
    if "score" in job.result:
        return number(job.result["score"])
    named = [(name, value) for name, value in job.result.items() if isinstance(value, int | float | Mapping)]
    return f"{named[-1][0]} {number(named[-1][1])}" if named else ""


def age(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time was, in words."""
    return duration(((now or datetime.now(UTC)) - at).total_seconds())


def show_jobs(console: Console, jobs: Sequence[Job]) -> None:
    """Print a list of jobs."""
    if not jobs:
        tell(console, "no jobs")
        return
    show_table(console, _JOB_COLUMNS, (job_row(job, short=console.is_terminal) for job in jobs))


def show_results(console: Console, rows: Sequence[Row]) -> None:
    """Print tidy rows of results."""
    if not rows:
        tell(console, "no results")
        return
    short = console.is_terminal
    show_table(console, _RESULT_COLUMNS, (_result_row(row, short=short) for row in rows))


def _result_row(row: Row, *, short: bool) -> list[object]:
    name = _shortened(row["job_id"]) if short else row["job_id"]
    metric = row["metric"] if row["position"] is None else f"{row['metric']}[{row['position']}]"
    where = f"{row['provider']}/{row['device']}"
    at = datetime.fromisoformat(row["dispatch_time"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return [name, row["benchmark_name"], where, at, metric, number(row)]


def jobs_table(console: Console, jobs: Sequence[Job]) -> RenderableType:
    """Return a list of jobs that fits the terminal."""
    return table(console, _JOB_COLUMNS, (job_row(job, short=True) for job in jobs)) if jobs else Text("no jobs")


def job_row(job: Job, *, short: bool) -> list[object]:
    """Return a job as a row of a list."""
    name = _shortened(job.id) if short else job.id
    where = f"{job.provider}/{job.device}" if job.provider else ""
    return [name, job.benchmark_name, where, state(job), score(job), age(job.created_at)]


def short_id(name: str, console: Console) -> str:
    """Return an id as short as tells it apart on a terminal; elsewhere in full."""
    return _shortened(name) if console.is_terminal else name


def _shortened(name: str) -> str:
    return _MADE_UP.sub(lambda found: found[1] + (found[2] or ""), name)


def state(job: Job) -> Text:
    """Return a job's state, coloured."""
    return Text("held" if job.held else job.state, style="yellow" if job.held else _STATE_STYLES.get(job.state, ""))


def show_job(
    console: Console,
    job: Job,
    provider_job_ids: Sequence[str] = (),
    *,
    place: tuple[int, datetime | None] | None = None,
    elsewhere: bool = False,
) -> None:
    """Print all that a person wants to know of a job, its result last.

    `place` is that of its foremost task in the provider's queue, and the start expected for it.

    `elsewhere` says that exported files are where the exporter service runs, and not here.
    """
    facts: dict[str, object] = {
        "job": job.id,
        "state": state(job),
        "benchmark": job.benchmark_name,
        "device": f"{job.provider}/{job.target or job.device}" if job.provider else "",
        "suite": f"{job.suite_name or ''} ({job.suite_id})" if job.suite_id else "",
        "tags": ", ".join(job.tags),
        "requested": f"{_moment(job.created_at)} ({age(job.created_at)} ago)",
        "dispatched": _moment(job.dispatch_time) if job.dispatch_time else "",
        "ends at the latest": _moment(job.deadline_at) if job.deadline_at else "",
        "tasks": job.task_count or "",
        "at the provider": number(list(provider_job_ids)) if provider_job_ids else "",
        "in the queue": _queued(place) if place is not None else "",
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
    show_checked(console, job)


def _queued(place: tuple[int, datetime | None]) -> str:
    position, starts_at = place
    expected = "" if starts_at is None else f", expected to start at {_moment(starts_at)}"
    return f"position {position}{expected}"


def show_checked(console: Console, job: Job) -> None:
    """Print what a dry run's provider says of each circuit."""
    if not job.checked:
        return
    columns = told_of(job)
    rows: list[list[object]] = [
        [position, *(number(each.said.get(name)) for name in columns)] for position, each in enumerate(job.checked)
    ]
    show_table(console, ("circuit", *columns), rows)


def told_of(job: Job) -> list[str]:
    """Return the names of what a dry run's provider says of its circuits, of those that are shown."""
    return list(dict.fromkeys(name for each in job.checked for name in each.said if name in _TOLD))


def _place(export: Export, elsewhere: bool) -> str:
    location = export.location or ""
    return f"{location} (where the exporter runs)" if location and elsewhere and is_file(location) else location


def show_facts(console: Console, facts: Mapping[str, object]) -> None:
    """Print names and values, a pair a line; those without a value are left out."""
    known = {name: as_text(value) for name, value in facts.items() if str(value)}
    indent = 2 + max(map(len, known), default=0)
    for name, value in known.items():
        parts = wrapped(value.plain, console.width - indent) if console.is_terminal else [value.plain]
        for position, line in enumerate(parts):
            head = (name if position == 0 else "").ljust(indent)
            console.print(Text.assemble((head, "dim"), (line, value.style)), soft_wrap=True, highlight=False)


def show_result(console: Console, job: Job) -> None:
    """Print a job's metrics, each with its uncertainty."""
    if job.result:
        if not console.is_terminal:  # where a table has no frame
            console.print()
        if job.benchmark_name == CIRCUIT:
            _show_counts(console, job.result)
            return
        show_table(console, ("metric", "value"), ([name, number(value)] for name, value in job.result.items()))


def _show_counts(console: Console, result: Mapping[str, Any]) -> None:
    """Print a histogram of what was counted, the most frequent first, and expectation values."""
    counts, shots = result["counts"], max(1, result["shots"])
    highest = max(counts.values(), default=1)
    rows: list[list[object]] = [
        [bits, count, f"{count / shots:.4g}", "█" * max(1, round(_BAR * count / highest))]
        for bits, count in [*counts.items()][:_MOST_BARS]
    ]
    show_table(console, ("outcome", "counts", "share", ""), rows)
    if (left_out := result["outcomes"] - len(rows)) > 0:
        tell(console, f"and {left_out} more outcomes")
    if values := result["expectation_values"]:
        show_table(
            console, ("observable", "expectation value"), ([name, number(each)] for name, each in values.items())
        )


def why(job: Job) -> list[str]:
    """Return why a job has no result, a line a problem."""
    if job.failure is None:
        return []
    return [f"{each['path']}: {each['message']}" for each in job.failure.problems] or job.failure.reason.splitlines()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
