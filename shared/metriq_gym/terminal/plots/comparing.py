"""Many jobs in one picture: a suite, and a metric over time, where only the comparable is joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.series import Series, labels, series_of
from metriq_gym.jobs.trends import CALIBRATION, History
from metriq_gym.terminal.plots.drawing import BLACK, BLUE, GREY, legend, metric_of, tidy


def of_suite(jobs: Sequence[Job]) -> Figure:
    """Return a bar for each job of a suite; those without a score say why instead."""
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(jobs)), layout="constrained")
    axes = figure.subplots()
    scores = [metric_of(job, "score") for job in jobs]
    for position, (job, score) in enumerate(zip(jobs, scores, strict=True)):
        if score is not None:
            error = score.uncertainty or None
            axes.barh(position, score.value, xerr=error, color=BLUE, ecolor="black", capsize=3, height=0.65)
            continue
        why = "no score" if job.state is JobState.EXPORTED else job.failure.outcome if job.failure else str(job.state)
        axes.text(0, position, f" {why}", va="center", color=GREY)
    axes.set_yticks(range(len(jobs)), [_short(job) for job in jobs])
    axes.set_ylim(len(jobs) - 0.4, -0.6)
    if all(score is None or 0 <= score.value <= 1 for score in scores):
        axes.set_xlim(0, 1.05)
    axes.set_xlabel("score")
    axes.set_title(f"{jobs[0].suite_name or jobs[0].suite_id} on {jobs[0].provider}/{jobs[0].device}", loc="left")
    tidy(axes)
    return figure


def over_time(jobs: Sequence[Job], name: str) -> Figure:
    """Return one metric of many jobs over time: a panel for each benchmark, in it a line for each series."""
    panels: dict[str, dict[Series, list[tuple[Any, BenchmarkScore]]]] = {}
    for job in jobs:
        found = metric_of(job, name)
        if found is not None:
            lines = panels.setdefault(job.benchmark_name, {})
            lines.setdefault(series_of(job), []).append((job.dispatch_time or job.created_at, found))
    if not panels:
        raise Permanent(f"none of these {len(jobs)} jobs has a metric {name!r} to draw")
    figure = Figure(figsize=(8, 1.2 + 2.6 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)
    for (axes,), (benchmark, lines) in zip(rows, sorted(panels.items()), strict=True):
        named = labels(lines)
        for number, series in enumerate(sorted(lines, key=named.__getitem__)):
            line = sorted(lines[series], key=lambda point: point[0])
            axes.errorbar(
                [time for time, _ in line],
                [score.value for _, score in line],
                [score.uncertainty or 0.0 for _, score in line],
                fmt="o-",
                color=f"C{number % 10}",
                markersize=4,
                capsize=3,
                label=named[series],
            )
        axes.set_title(benchmark, loc="left")
        axes.set_ylabel(name)
        legend(axes)
        _dated(axes)
    axes.set_xlabel("time (UTC)")
    return figure


def of_trends(histories: Sequence[History]) -> Figure:
    """Return a panel for each metric of a benchmark and for each calibrated number; a dashed line marks a shift."""
    panels: dict[tuple[str, str], list[History]] = {}
    for each in histories:
        panels.setdefault((each.series.benchmark or CALIBRATION, each.metric), []).append(each)
    figure = Figure(figsize=(8, 1.2 + 2.2 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)
    for (axes,), ((title, metric), lines) in zip(rows, sorted(panels.items()), strict=True):
        for number, history in enumerate(lines):
            colour = f"C{number % 10}"
            errors = [point.uncertainty or 0.0 for point in history.points]
            axes.errorbar(
                [point.at for point in history.points],
                [point.value for point in history.points],
                errors if any(errors) else None,
                fmt="o-",
                color=colour,
                markersize=4,
                capsize=3,
                label=history.label.removeprefix(f"{title}, "),
            )
            if history.trend is not None:
                axes.axhline(history.trend.centre, color=colour, linewidth=0.8, alpha=0.5)
                if (drift := history.trend.drift) is not None:
                    mark = BLACK if len(lines) == 1 else colour
                    label = f"{drift.found}, {drift.deviation:+.1f} σ"
                    axes.axvline(drift.since, color=mark, linestyle="--", linewidth=1.2, label=label)
        axes.set_title(title, loc="left")
        axes.set_ylabel(metric)
        legend(axes)
        _dated(axes)
    axes.set_xlabel("time (UTC)")
    return figure


def _dated(axes: Any) -> None:
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
    tidy(axes)


def _short(job: Job) -> str:
    """What tells a job from the others of its suite: the end of its id."""
    return job.id.removeprefix(f"{job.suite_id}.") if job.suite_id else job.benchmark_name
