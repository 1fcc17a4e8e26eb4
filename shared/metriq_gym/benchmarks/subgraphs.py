"""Parts of a device's connectivity graph: connected sets of qubits, and paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

import numpy as np
import rustworkx as rx

from metriq_gym.benchmarks.benchmark import BenchmarkDevice
from metriq_gym.benchmarks.colouring import Edge
from metriq_gym.errors import Unsupported

RESTARTS = 200
"""How often the dataset's search begins again."""
ATTEMPTS = 20_000
"""How often a path that is too short is changed; a fraction of a second."""


def simple_edges(graph: rx.PyGraph) -> list[Edge]:
    """Return each connected pair once as (i, j) with i < j, sorted; self-loops are left out."""
    return sorted({(min(pair), max(pair)) for pair in graph.edge_list() if pair[0] != pair[1]})


def neighbours(graph: rx.PyGraph) -> list[list[int]]:
    """Return the sorted neighbours of each node."""
    found: list[list[int]] = [[] for _ in range(graph.num_nodes())]
    for a, b in simple_edges(graph):
        found[a].append(b)
        found[b].append(a)
    return found


def connected_subgraph(device: BenchmarkDevice, size: int) -> tuple[list[int], list[Edge]]:
    """Return `size` connected qubits and the edges between them, in the qubits' own numbering 0…size − 1.

    Breadth first from the lowest qubit of the first component that is big enough. Raises `Unsupported` when
    there is none.
    """
    adjacent = neighbours(device.connectivity)
    for component in sorted(map(min, rx.connected_components(device.connectivity))):
        seen, queue = {component}, deque([component])
        while queue and len(seen) < size:
            for node in adjacent[queue.popleft()]:
                if node not in seen and len(seen) < size:
                    seen.add(node)
                    queue.append(node)
        if len(seen) == size:
            qubits = sorted(seen)
            number = {qubit: index for index, qubit in enumerate(qubits)}
            edges = [(number[a], number[b]) for a in qubits for b in adjacent[a] if a < b and b in number]
            return qubits, edges
    raise Unsupported(f"device {device.id!r} has no {size} connected qubits")


def random_path(device: BenchmarkDevice, length: int, seed: int) -> list[int]:
    """Return `length` different qubits, each connected to the next: those of the dataset for the same seed.

    The dataset's search grows a path from a random edge at random ends and begins again, up to `RESTARTS` times, when
    it is stuck. Where that finds none, the path grows at random at both ends, is changed at random when it is stuck, by
    cutting an end off or by Pósa's rotation (Discrete Math. 14, 359 (1976)), grows again, and replaces the old one when
    it is not shorter. Raises `Unsupported` when that leads nowhere, which proves the absence of a path only where the
    message names the number of connected qubits.
    """
    graph = device.connectivity
    components = [sorted(component) for component in rx.connected_components(graph)]
    starts = sorted(node for component in components if len(component) >= length for node in component)
    if not starts:
        largest = max(map(len, components), default=0)
        raise Unsupported(f"device {device.id!r} has at most {largest} connected qubits, fewer than a path of {length}")
    if length > 1 and (path := _restarted(graph, length, Random(seed))):  # noqa: S311  (the dataset's own draws)
        return path
    rng = np.random.default_rng(seed)
    adjacent = neighbours(graph)
    path = _grown([starts[rng.integers(len(starts))]], length, adjacent, rng)
    for _ in range(ATTEMPTS):
        if len(path) == length:
            return path
        changed = _grown(_changed(path, adjacent, rng), length, adjacent, rng)
        path = changed if len(changed) >= len(path) else path
    raise Unsupported(f"no simple path of {length} qubits was found on device {device.id!r}")


def _restarted(graph: rx.PyGraph, length: int, draw: Random) -> list[int]:
    """Return the path that the dataset's search finds, or [].

    Its choices are made from a set of edges in the set's own order, which for pairs of small integers is the same in
    every process.
    """
    edges = {(min(pair), max(pair)) for pair in graph.edge_list() if pair[0] != pair[1]}
    adjacent: dict[int, list[int]] = {node: [] for node in graph.node_indices()}
    for a, b in edges:
        adjacent[a].append(b)
        adjacent[b].append(a)
    starts = list(edges)
    for _ in range(RESTARTS):
        path = deque(draw.choice(starts))
        used = set(path)
        while len(path) < length:
            for side in draw.sample((0, -1), 2):
                if free := [node for node in adjacent[path[side]] if node not in used]:
                    node = draw.choice(free)
                    (path.append if side else path.appendleft)(node)
                    used.add(node)
                    break
            else:
                break
        if len(path) == length:
            return list(path)
    return []


def _grown(path: list[int], length: int, adjacent: Sequence[Sequence[int]], rng: np.random.Generator) -> list[int]:
    visited = set(path)
    for _end in range(2):
        while len(path) < length and (free := [node for node in adjacent[path[-1]] if node not in visited]):
            path.append(free[rng.integers(len(free))])
            visited.add(path[-1])
        path.reverse()
    return path


def _changed(path: list[int], adjacent: Sequence[Sequence[int]], rng: np.random.Generator) -> list[int]:
    path = path if rng.random() < 1 / 2 else path[::-1]
    pivots = [node for node in adjacent[path[-1]] if node not in path[-2:]]
    if pivots and rng.random() < 1 / 2:
        # The end gets joined to the pivot, and what followed the pivot becomes the end, turned round.
        behind = path.index(pivots[rng.integers(len(pivots))]) + 1
        return path[:behind] + path[behind:][::-1]
    return path[: rng.integers(1, len(path) + 1)]
