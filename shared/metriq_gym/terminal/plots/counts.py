"""The outcomes of one circuit, with what they are without noise beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from matplotlib.figure import Figure

from metriq_gym.errors import NotFound
from metriq_gym.jobs import Job, Task
from metriq_gym.terminal.plots.drawing import BLUE, GREY, ORANGE, axes_of, measured, title_of

BARS = 32
"""Outcomes that are shown; the rest share one bar."""
_LABEL_CHARACTERS = 60
"""So many fit side by side below the bars."""


def counts(job: Job, tasks: Sequence[Task], circuit: int = 1) -> Figure:
    """Return the histogram of circuit number `circuit` of a job, from 1; raises `NotFound` beyond the last."""
    found = measured(job, tasks)
    circuits = [(position, each) for run in found.runs for position, each in enumerate(run.counts)]
    if not 1 <= circuit <= len(circuits):
        raise NotFound(f"job {job.id} has no circuit {circuit}: there are {len(circuits)}, the first is 1")
    position, outcomes = circuits[circuit - 1]
    ideal = found.benchmark.ideal_counts(found.data, position)
    figure = histogram(job, outcomes, ideal)
    if len(circuits) > 1:
        figure.axes[0].set_title(f"{title_of(job)}: circuit {circuit} of {len(circuits):,}", loc="left")
    return figure


def histogram(job: Job, outcomes: Mapping[str, int], ideal: Mapping[str, float] | None) -> Figure:
    """Return the frequencies of outcomes with their standard errors, and their ideal probabilities if known."""
    shots = sum(outcomes.values())
    frequencies = {name: count / shots for name, count in outcomes.items()}
    names = _shown(frequencies, ideal or {})
    rest = max(0.0, 1 - sum(frequencies.get(name, 0.0) for name in names))
    others = len(frequencies.keys() - set(names))
    values = [frequencies.get(name, 0.0) for name in names] + ([rest] if others else [])
    labels = [*names, *([f"{others:,} others"] if others else [])]
    errors = [sqrt(value * (1 - value) / shots) for value in values]
    figure, axes = axes_of(job, max(6.4, 0.34 * len(values)))
    width = 0.8 if ideal is None else 0.4
    shift = 0.0 if ideal is None else width / 2
    places = range(len(values))
    colours = [GREY if others and place == len(names) else BLUE for place in places]
    axes.bar(
        [place - shift for place in places],
        values,
        width,
        yerr=errors,
        color=colours,
        ecolor="black",
        capsize=2,
        label="measured",
    )
    if ideal is not None:
        chances = [ideal.get(name, 0.0) for name in names]
        if others:
            chances.append(max(0.0, 1 - sum(chances)))
        axes.bar([place + shift for place in places], chances, width, color="none", edgecolor=ORANGE, label="ideal")
        axes.legend(frameon=False)
    upright = sum(map(len, labels)) > _LABEL_CHARACTERS
    axes.set_xticks(list(places), labels, rotation=90 if upright else 0, family="monospace", fontsize=8)
    margin = max(0.6, (6 - len(values)) / 2)
    axes.set_xlim(-margin, len(values) - 1 + margin)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("frequency")
    axes.set_xlabel(f"outcome ({shots:,} shots)")
    return figure


def _shown(frequencies: Mapping[str, float], ideal: Mapping[str, float]) -> list[str]:
    """Return the outcomes that are most frequent, or would be, in their order."""
    weight = {name: max(frequencies.get(name, 0.0), ideal.get(name, 0.0)) for name in {**frequencies, **ideal}}
    return sorted(sorted(weight, key=lambda name: (-weight[name], name))[:BARS])
