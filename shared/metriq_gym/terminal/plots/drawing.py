"""What all pictures share: axes, colours, writing a file, and the counts of a job as its benchmark gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import Benchmark, BenchmarkData, BenchmarkScore, RunResult
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job, Task
from metriq_gym.jobs.scoring import Share, regroup
from metriq_gym.wording import because

BLUE, ORANGE, GREY, BLACK = "#2f6db5", "#d9822b", "#8a8f98", "#222222"


@dataclass(frozen=True, slots=True)
class Measured:
    """A job's benchmark, and all that scoring gets."""

    benchmark: Benchmark[Any, Any]
    data: BenchmarkData
    runs: list[RunResult]


def measured(job: Job, tasks: Sequence[Task]) -> Measured:
    """Return what a job measured; raises `Permanent` when not all of its counts are there."""
    if not tasks or not all(task.counts for task in tasks):
        raise Permanent(f"job {job.id} is {job.state}: there are no counts to draw")
    kind = benchmarks.load(job.benchmark_name)
    shares = [
        Share(task.run, task.first, task.counts, task.execution_seconds, task.sampling_seconds)
        for task in tasks
        if task.counts
    ]
    return Measured(
        kind.from_config(job.config, job.seed), kind.data_type.model_validate(job.data), regroup(job.runs, shares)
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, by its name a PNG or SVG; raises `Permanent` when it cannot be written."""
    # An SVG has text as text, and is the same each time.
    same: dict[str, Any] = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
    try:
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "metriq-gym"}):
            figure.savefig(path, dpi=150, bbox_inches="tight", **same)
    except OSError as error:
        raise Permanent(f"cannot write {path}: {because(error)}") from error


def axes_of(job: Job, width: float = 6.4) -> tuple[Figure, Any]:
    """Return a figure with axes whose title says what was run where."""
    figure = Figure(figsize=(min(width, 14), 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title_of(job), loc="left")
    tidy(axes)
    return figure, axes


def title_of(job: Job) -> str:
    """Return what was run where."""
    return f"{job.benchmark_name} on {job.provider}/{job.device}"


def tidy(axes: Any) -> None:
    """Take away the lines that frame nothing."""
    axes.spines[["top", "right"]].set_visible(False)


def points(axes: Any, x: Sequence[float], scores: Sequence[BenchmarkScore], **options: Any) -> None:
    """Draw scores with the error bars of those that have one."""
    values = [score.value for score in scores]
    errors = [score.uncertainty or 0.0 for score in scores]
    style = {"fmt": "o", "color": BLUE, "markersize": 4, "capsize": 3, "elinewidth": 1} | options
    axes.errorbar(x, values, errors if any(errors) else None, **style)


def band(axes: Any, score: BenchmarkScore, label: str) -> None:
    """Draw a line across, and how uncertain it is."""
    axes.axhline(score.value, color=BLUE, linewidth=1, label=f"{label} {told(score)}")
    if score.uncertainty:
        axes.axhspan(score.value - score.uncertainty, score.value + score.uncertainty, color=BLUE, alpha=0.15, lw=0)


def told(score: BenchmarkScore) -> str:
    """Return a value with its uncertainty."""
    return f"{score.value:.3g}" if not score.uncertainty else f"{score.value:.3f} ± {score.uncertainty:.3f}"


def metric_of(job: Job, name: str) -> BenchmarkScore | None:
    """Return a metric of a job's result; None if there is no such number."""
    found = (job.result or {}).get(name)
    if isinstance(found, dict):
        value, uncertainty = found.get("value"), found.get("uncertainty")
        return None if value is None else BenchmarkScore(value, uncertainty)
    return BenchmarkScore(float(found)) if isinstance(found, int | float) and not isinstance(found, bool) else None


def legend(axes: Any) -> None:
    """Explain the lines, beside the data."""
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
