"""Results that are curves: EPLG against the length of the chain, LR-QAOA against depth, CLOPS' time per layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import cast

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.benchmarks.eplg import EPLG, EPLGData
from metriq_gym.benchmarks.lr_qaoa import LinearRampQAOA, LinearRampQAOAData
from metriq_gym.errors import Permanent
from metriq_gym.jobs import Job, Task
from metriq_gym.terminal.plots.drawing import BLUE, GREY, ORANGE, axes_of, legend, measured, metric_of, points


def eplg(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the error per layered gate against the length of the chain, with its error where counts tell it."""
    result = job.result or {}
    lengths = result["chain_lengths"]
    scores = [BenchmarkScore(value) for value in result["chain_eplgs"]]
    if _has_counts(tasks):
        found = measured(job, tasks)
        by_length = cast("EPLG", found.benchmark).by_length(cast("EPLGData", found.data), found.runs)
        scores = [
            BenchmarkScore(score.value, by_length[length].uncertainty)
            for length, score in zip(lengths, scores, strict=True)
        ]
    figure, axes = axes_of(job)
    points(axes, lengths, scores, fmt="o-")
    axes.set_xlim(min(lengths) - 0.5, max(lengths) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=min(0, *(score.value for score in scores)))
    axes.set_xlabel("qubits in the chain")
    axes.set_ylabel("error per layered gate")
    return figure


def lr_qaoa(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the approximation ratio against the number of layers, with that of random guessing.

    The error bars are the standard errors of the trials' means, where there are several.
    """
    result = job.result or {}
    layers = job.config["qaoa_layers"]
    scores = [BenchmarkScore(value) for value in result["approx_ratio"]]
    if _has_counts(tasks) and job.config.get("trials", 1) > 1:
        found = measured(job, tasks)
        cuts = cast("LinearRampQAOA", found.benchmark).cut_means(cast("LinearRampQAOAData", found.data), found.runs)
        relative = cuts.std(axis=0, ddof=1) / sqrt(len(cuts)) / abs(cuts.mean(axis=0))
        scores = [
            BenchmarkScore(score.value, score.value * error)
            for score, error in zip(scores, relative.tolist(), strict=True)
        ]
    figure, axes = axes_of(job)
    points(axes, layers, scores, fmt="o-", label="approximation ratio")
    axes.axhline(result["random_approx_ratio"], color=GREY, linestyle="--", label="random guessing")
    axes.axhline(1, color=ORANGE, linewidth=1, label="optimum")
    axes.set_xticks(layers)
    axes.set_xlabel("QAOA layers")
    axes.set_ylabel("approximation ratio")
    legend(axes)
    return figure


def clops(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the time that a layer took, for each part of the circuits that the provider ran at once."""
    timed = [task for task in tasks if task.execution_seconds]
    if not timed:
        raise Permanent(f"job {job.id} is {job.state}: the provider reported no time to draw")
    layers = job.config["num_layers"]
    figure, axes = axes_of(job)
    for task in timed:
        assert task.execution_seconds is not None  # noqa: S101  (chosen above)
        each = 1e6 * task.execution_seconds / (task.circuit_count * layers * task.shots)
        axes.bar(task.first + task.circuit_count / 2, each, task.circuit_count, color=BLUE, edgecolor="white")
    if (rate := metric_of(job, "clops_score")) is not None:
        axes.axhline(1e6 / rate.value, color=ORANGE, linestyle="--", label=f"{rate.value:,.0f} layers per second")
        legend(axes)
    axes.set_xlim(0, max(task.first + task.circuit_count for task in timed))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(f"circuits, by the task they were run in (of {layers} layers, {timed[0].shots:,} shots)")
    axes.set_ylabel("time per layer and shot, µs")
    return figure


def _has_counts(tasks: Sequence[Task]) -> bool:
    return bool(tasks) and all(task.counts for task in tasks)
