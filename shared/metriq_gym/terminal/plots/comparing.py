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
from metriq_gym.terminal.plots.drawing import BLUE, GREY, metric_of, tidy


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
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(dates)
        tidy(axes)
    axes.set_xlabel("time (UTC)")
    return figure


def _short(job: Job) -> str:
    """What tells a job from the others of its suite: the end of its id."""
    return job.id.removeprefix(f"{job.suite_id}.") if job.suite_id else job.benchmark_name
