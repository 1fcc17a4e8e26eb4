"""Benchmarks whose circuits are alike: a point with its error for each, and the mean."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any, cast

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.benchmarks.mirror_circuits import THRESHOLD as SHAPE_THRESHOLD
from metriq_gym.benchmarks.mirror_circuits import MirrorCircuits, MirrorCircuitsData
from metriq_gym.benchmarks.qat_ole import QATOLE, QATOLEData
from metriq_gym.benchmarks.qedc import QEDCBenchmark, QEDCData
from metriq_gym.benchmarks.quantum_volume import THRESHOLD as HEAVY_THRESHOLD
from metriq_gym.benchmarks.quantum_volume import QuantumVolume
from metriq_gym.jobs import Job, Task
from metriq_gym.terminal.plots.drawing import (
    GREY,
    ORANGE,
    axes_of,
    band,
    legend,
    measured,
    metric_of,
    points,
)


def quantum_volume(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the heavy-output probability of each trial, their mean, and the threshold of 2/3."""
    found = measured(job, tasks)
    trials = cast("QuantumVolume", found.benchmark).heavy_frequencies(found.runs)
    figure, axes = axes_of(job)
    points(axes, range(1, len(trials) + 1), trials)
    if (mean := metric_of(job, "hog_prob")) is not None:
        band(axes, mean, "mean")
    axes.axhline(HEAVY_THRESHOLD, color=ORANGE, linestyle="--", linewidth=1, label="threshold 2/3")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(f"trial (circuit of {job.config['num_qubits']} qubits)")
    axes.set_ylabel("heavy-output probability")
    legend(axes)
    return figure


def mirror_circuits(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the polarisation of each circuit against its depth in two-qubit gates after compilation."""
    found = measured(job, tasks)
    data = cast("MirrorCircuitsData", found.data)
    circuits = cast("MirrorCircuits", found.benchmark).polarizations(data, found.runs)
    gates = job.transpiled_two_qubit_gate_counts
    figure, axes = axes_of(job)
    if len(gates) == len(circuits):
        points(axes, gates, circuits)
        axes.set_xlabel(f"two-qubit gates of the circuit ({len(data.expected_bitstrings[0])} qubits)")
    else:
        points(axes, range(1, len(circuits) + 1), circuits)
        axes.set_xlabel(f"circuit ({len(data.expected_bitstrings[0])} qubits)")
    if (mean := metric_of(job, "polarization")) is not None:
        band(axes, mean, "all shots")
    axes.axhline(SHAPE_THRESHOLD, color=ORANGE, linestyle="--", linewidth=1, label="threshold 1/e")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("polarisation")
    legend(axes)
    return figure


def algorithms(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the fidelity of each circuit against its qubits, and the mean of each width with its standard error."""
    found = measured(job, tasks)
    benchmark = cast("QEDCBenchmark[Any]", found.benchmark)
    groups = benchmark.fidelities(cast("QEDCData", found.data), found.runs)
    widths = [benchmark.num_qubits(width) for width in benchmark.widths()]
    figure, axes = axes_of(job)
    circuits = [(width, value) for width, group in zip(widths, groups, strict=True) for value in group]
    axes.plot(*zip(*circuits, strict=True), ".", color=GREY, alpha=0.5, label="circuit")
    points(axes, widths, [_mean(group) for group in groups], fmt="o-", label="mean of the width")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("qubits")
    axes.set_ylabel("normalised fidelity")
    legend(axes)
    return figure


def echoes(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the signed parity of each initial state, their mean, and the value without noise."""
    found = measured(job, tasks)
    values = cast("QATOLE", found.benchmark).echoes(cast("QATOLEData", found.data), found.runs).tolist()
    shots = [sum(counts.values()) for counts in found.runs[0].counts]
    scores = [BenchmarkScore(value, sqrt(max(0.0, 1 - value**2) / n)) for value, n in zip(values, shots, strict=True)]
    figure, axes = axes_of(job)
    points(axes, range(1, len(scores) + 1), scores)
    if (mean := metric_of(job, "observable_value")) is not None:
        band(axes, mean, "mean")
    if (reference := metric_of(job, "noiseless_reference")) is not None:
        axes.axhline(reference.value, color=ORANGE, linestyle="--", linewidth=1, label="mean without noise")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("initial state")
    axes.set_ylabel("observable")
    legend(axes)
    return figure


def _mean(values: Sequence[float]) -> BenchmarkScore:
    return BenchmarkScore(fmean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else None)
