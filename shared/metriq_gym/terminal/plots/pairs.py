"""BSEQ: the pairs of a device as a graph, those that violate the CHSH inequality standing out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, cast

import rustworkx as rx
from matplotlib.figure import Figure

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.benchmarks.bseq import BSEQ, CLASSICAL_LIMIT, BSEQData
from metriq_gym.benchmarks.colouring import Edge
from metriq_gym.jobs import Job, Task
from metriq_gym.terminal.plots.drawing import BLUE, GREY, ORANGE, legend, measured, tidy, title_of

_LABELLED = 40
"""So many pairs have room for their names."""


def bseq(job: Job, tasks: Sequence[Task]) -> Figure:
    """Return the graph of the measured pairs, and the CHSH sum of each with its error."""
    found = measured(job, tasks)
    data = cast("BSEQData", found.data)
    sums = cast("BSEQ", found.benchmark).chsh(data, found.runs)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    left.set_title(title_of(job), loc="left")
    _graph(left, data.num_qubits, sums)
    _sums(right, sums)
    return figure


def _graph(axes: Any, num_qubits: int, sums: Mapping[Edge, BenchmarkScore]) -> None:
    graph: Any = rx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(num_qubits))
    graph.add_edges_from([(*edge, 1.0) for edge in sums])
    places = _layout(graph)
    for edge, chsh in sums.items():
        line = list(zip(places[edge[0]], places[edge[1]], strict=True))
        violates = chsh.value > CLASSICAL_LIMIT
        axes.plot(
            *line, color=BLUE if violates else GREY, lw=3 if violates else 1, ls="-" if violates else ":", zorder=1
        )
    size = 220 if num_qubits <= 30 else 60
    axes.scatter(*zip(*places.values(), strict=True), s=size, color="white", edgecolor="black", zorder=2)
    for qubit, place in places.items():
        axes.annotate(str(qubit), place, ha="center", va="center", fontsize=8 if num_qubits <= 30 else 5, zorder=3)
    good = sum(chsh.value > CLASSICAL_LIMIT for chsh in sums.values())
    axes.set_xlabel(f"{good} of {len(sums)} measured pairs violate the CHSH inequality (thick)")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.spines[:].set_visible(False)


def _layout(graph: Any) -> dict[int, tuple[float, float]]:
    """Return a place for each qubit: apart as far as there are pairs between them."""
    if graph.num_edges() == graph.num_nodes() * (graph.num_nodes() - 1) // 2:
        placed = rx.circular_layout(graph)
    else:
        ring = rx.circular_layout(graph)
        start = {node: (float(x), float(y)) for node, (x, y) in ring.items()}
        placed = rx.spring_layout(graph, pos=start, seed=0, num_iter=500, k=1 / sqrt(max(1, graph.num_nodes())))
    return {node: (float(x), float(y)) for node, (x, y) in placed.items()}


def _sums(axes: Any, sums: Mapping[Edge, BenchmarkScore]) -> None:
    edges = sorted(sums)
    places = range(len(edges))
    values = [sums[edge].value for edge in edges]
    errors = [sums[edge].uncertainty or 0.0 for edge in edges]
    axes.errorbar(places, values, errors, fmt="o", color=BLUE, markersize=4, capsize=2)
    axes.axhline(CLASSICAL_LIMIT, color=ORANGE, linestyle="--", linewidth=1, label="classical limit 2")
    axes.axhline(2 * sqrt(2), color=GREY, linestyle="--", linewidth=1, label="without noise, 2√2")
    if len(edges) <= _LABELLED:
        axes.set_xticks(list(places), [f"{a}–{b}" for a, b in edges], rotation=90, fontsize=8)
        axes.set_xlabel("pair of qubits")
    else:
        axes.set_xlabel("pairs of qubits, in order")
    axes.set_ylabel("CHSH sum")
    legend(axes)
    tidy(axes)
