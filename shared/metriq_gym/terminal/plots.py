"""Pictures of what people look at: counts, EPLG against length, LR-QAOA ratios, a suite, a metric over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metriq_gym.constants import JobType
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job, JobState, Task
from metriq_gym.jobs.scoring import Share, regroup
from metriq_gym.packing import unpack_counts

_BARS = 32
"""Outcomes that a histogram shows; the rest share one bar."""
_LABEL_CHARACTERS = 60
"""So many fit side by side below the bars."""
_BLUE, _ORANGE, _GREY = "#2f6db5", "#d9822b", "#8a8f98"


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, by its name a PNG or SVG; raises `Permanent` when it cannot be written."""
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise Permanent(f"cannot write {path}: {error}") from error


def of_job(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the picture that suits a job: of its result where that is a curve, else of its counts."""
    if job.benchmark_name == JobType.EPLG and job.result:
        return eplg(job)
    if job.benchmark_name == JobType.LR_QAOA and job.result:
        return lr_qaoa(job)
    return counts(job, tasks)


def counts(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the histogram of a job's outcomes; of several circuits with as many bits, all together."""
    with_counts = [task for task in tasks if task.counts]
    if not with_counts:
        raise Permanent(f"job {job.id} is {job.state}: there are no counts to draw")
    total, alike, circuits = _pooled(job, with_counts)
    shown = total.most_common(_BARS)
    rest = total.total() - sum(count for _, count in shown)
    bars = sorted(shown) + ([(f"{len(total) - len(shown):,} others", rest)] if rest else [])
    figure, axes = _axes(job, max(6.4, 0.28 * len(bars)))
    colours = [_GREY if rest and position == len(bars) - 1 else _BLUE for position in range(len(bars))]
    axes.bar(range(len(bars)), [count / total.total() for _, count in bars], color=colours)
    labels = [name for name, _ in bars]
    upright = sum(map(len, labels)) > _LABEL_CHARACTERS
    axes.set_xticks(range(len(bars)), labels, rotation=90 if upright else 0, family="monospace", fontsize=8)
    margin = max(0.6, (6 - len(bars)) / 2)
    axes.set_xlim(-margin, len(bars) - 1 + margin)
    axes.set_ylabel("frequency")
    kind = f"{alike:,} circuits together, " if circuits == alike else f"{alike:,} of {circuits:,} circuits, "
    kind = "" if circuits == 1 else kind
    axes.set_xlabel(f"outcome ({kind}{total.total():,} shots)")
    return figure


def eplg(job: Job) -> Figure:
    """Return the error per layered gate against the length of the chain."""
    result = job.result or {}
    figure, axes = _axes(job)
    axes.plot(result["chain_lengths"], result["chain_eplgs"], "o-", color=_BLUE, markersize=4)
    axes.set_xlim(min(result["chain_lengths"]) - 0.5, max(result["chain_lengths"]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=min(0, *result["chain_eplgs"]))
    axes.set_xlabel("qubits in the chain")
    axes.set_ylabel("error per layered gate")
    return figure


def lr_qaoa(job: Job) -> Figure:
    """Return the approximation ratio against the number of layers, with that of random guessing."""
    result = job.result or {}
    layers = job.config["qaoa_layers"]
    figure, axes = _axes(job)
    axes.plot(layers, result["approx_ratio"], "o-", color=_BLUE, label="approximation ratio")
    axes.axhline(result["random_approx_ratio"], color=_GREY, linestyle="--", label="random guessing")
    axes.axhline(1, color=_ORANGE, linewidth=1, label="optimum")
    axes.set_xticks(layers)
    axes.set_xlabel("QAOA layers")
    axes.set_ylabel("approximation ratio")
    axes.legend(frameon=False)
    return figure


def of_suite(jobs: Sequence[Job]) -> Figure:
    """Return a bar for each job of a suite; those without a score say why instead."""
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(jobs)), layout="constrained")
    axes = figure.subplots()
    scores = [metric(job, "score") for job in jobs]
    for position, (job, score) in enumerate(zip(jobs, scores, strict=True)):
        if score is not None:
            axes.barh(position, score[0], xerr=score[1], color=_BLUE, ecolor="black", capsize=3, height=0.65)
            continue
        why = "no score" if job.state is JobState.EXPORTED else job.failure.outcome if job.failure else str(job.state)
        axes.text(0, position, f" {why}", va="center", color=_GREY)
    axes.set_yticks(range(len(jobs)), [_short(job) for job in jobs])
    axes.set_ylim(len(jobs) - 0.4, -0.6)
    if all(score is None or 0 <= score[0] <= 1 for score in scores):
        axes.set_xlim(0, 1.05)
    axes.set_xlabel("score")
    axes.set_title(f"{jobs[0].suite_name or jobs[0].suite_id} on {jobs[0].provider}/{jobs[0].device}", loc="left")
    _tidy(axes)
    return figure


def over_time(jobs: Sequence[Job], name: str) -> Figure:
    """Return one metric of many jobs over time: a panel for each benchmark, since none is comparable to another."""
    panels: dict[str, dict[str, list[tuple[Any, float, float]]]] = {}
    for job in jobs:
        found = metric(job, name)
        if found is not None:
            lines = panels.setdefault(job.benchmark_name, {})
            lines.setdefault(f"{job.provider}/{job.device}", []).append((job.dispatch_time or job.created_at, *found))
    if not panels:
        raise Permanent(f"none of these {len(jobs)} jobs has a metric {name!r} to draw")
    devices = sorted({device for lines in panels.values() for device in lines})
    colours = {device: f"C{position % 10}" for position, device in enumerate(devices)}
    figure = Figure(figsize=(8, 1.2 + 2.6 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)
    for (axes,), (benchmark, lines) in zip(rows, sorted(panels.items()), strict=True):
        for label, points in sorted(lines.items()):
            times, values, errors = zip(*sorted(points), strict=True)
            colour = colours[label]
            axes.errorbar(times, values, errors, fmt="o-", color=colour, markersize=4, capsize=3, label=label)
        axes.set_title(benchmark, loc="left")
        axes.set_ylabel(name)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(dates)
        _tidy(axes)
    axes.set_xlabel("time (UTC)")
    return figure


def metric(job: Job, name: str) -> tuple[float, float] | None:
    """Return a metric of a job's result and its uncertainty, 0 where none is known; None if there is no such number."""
    found = (job.result or {}).get(name)
    if isinstance(found, Mapping):
        value, uncertainty = found.get("value"), found.get("uncertainty") or 0.0
        return None if value is None else (value, uncertainty)
    return (float(found), 0.0) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _pooled(job: Job, tasks: Sequence[Task]) -> tuple[Counter[str], int, int]:
    """Add up the counts of the circuits with as many bits as the first; of how many of how many circuits, too."""
    if all(task.counts for task in tasks) and sum(job.runs) == sum(task.circuit_count for task in tasks):
        shares = [Share(task.run, task.first, task.counts, None) for task in tasks]
        each = [counts for run in regroup(job.runs, shares) for counts in run.counts]
    else:
        each = [counts for task in tasks for counts in unpack_counts(task.counts)]
    bits = len(next(iter(each[0])))
    alike = [counts for counts in each if len(next(iter(counts))) == bits]
    total = Counter[str]()
    for counts in alike:
        total.update(counts)
    return total, len(alike), len(each)


def _axes(job: Job, width: float = 6.4) -> tuple[Figure, Any]:
    figure = Figure(figsize=(min(width, 14), 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{job.benchmark_name} on {job.provider}/{job.device}", loc="left")
    _tidy(axes)
    return figure, axes


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _short(job: Job) -> str:
    """What tells a job from the others of its suite: the end of its id."""
    return job.id.removeprefix(f"{job.suite_id}.") if job.suite_id else job.benchmark_name
