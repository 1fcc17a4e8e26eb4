"""Weighted Max-Cut: the value of cuts, and the best one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import rustworkx as rx
from numpy.typing import NDArray
from scipy.sparse import coo_array

from metriq_gym.benchmarks.colouring import Edge

ENUMERATION_LIMIT = 20
"""Up to so many nodes the optimum is found by looking at all cuts."""
DENSE_LIMIT = 512
"""Up to so many nodes a full weight matrix is quicker than a sparse one."""
BLOCK = 2**22
"""How many spins are worked on at once, to bound the memory."""
REPLICAS = 32
SWEEPS = 100


class WeightedGraph:
    """A graph with positive edge weights on nodes 0…`num_nodes` − 1; each edge (a, b) with a < b, once."""

    def __init__(self, num_nodes: int, edges: Sequence[Edge], weights: NDArray[np.float64]) -> None:
        self.num_nodes = num_nodes
        self.edges = edges
        self.weights = weights
        self.graph = rx.PyGraph()
        self.graph.add_nodes_from(range(num_nodes))
        self.graph.extend_from_edge_list(list(edges))
        heads, tails = np.array(edges, dtype=np.intp).T
        upper = coo_array((weights, (heads, tails)), shape=(num_nodes, num_nodes))
        both = (upper + upper.T).tocsr()
        self._matrix: Any = both.toarray() if num_nodes <= DENSE_LIMIT else both

    def cuts(self, sides: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the weight of the edges between the two sides.

        `sides`, shape (assignments, nodes), holds 0 or 1. With spins s = ±1 an edge contributes
        w·(1 − s_i·s_j)/2.
        """
        aligned = []
        for block in np.array_split(sides, 1 + sides.size // BLOCK):
            spins = 1.0 - 2.0 * block
            aligned.append(((spins @ self._matrix) * spins).sum(axis=1) / 2)
        cut: NDArray[np.float64] = (self.weights.sum() - np.concatenate(aligned)) / 2
        return cut

    def random_cuts(self, shots: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return the mean and the maximum of the values of `shots` uniformly random cuts."""
        total, best = 0.0, 0.0
        for first in range(0, shots, block := 1 + BLOCK // self.num_nodes):
            size = (min(block, shots - first), self.num_nodes)
            cuts = self.cuts(rng.integers(2, size=size, dtype=np.uint8))
            total, best = total + float(cuts.sum()), max(best, float(cuts.max()))
        return total / shots, best

    def optimum(self, rng: np.random.Generator) -> float:
        """Return the value of the best cut.

        Exact for bipartite graphs (chains, trees, square and heavy-hexagonal lattices), where every edge
        can be cut, and up to `ENUMERATION_LIMIT` nodes; otherwise the best that annealing finds.
        """
        if rx.is_bipartite(self.graph):
            return float(self.weights.sum())
        if self.num_nodes <= ENUMERATION_LIMIT:
            return float(self.all_cuts().max())
        return float(self.cuts(self.annealed(rng)).max())

    def all_cuts(self) -> NDArray[np.float64]:
        """Return the value of every cut, shape (2ⁿ,); bit i of the index is the side of node i.

        Built up node by node, in O(2ⁿ) time altogether: the weight from node k to the nodes on side 1 is
        itself a table over the sides of the nodes before k.
        """
        rows = np.zeros((self.num_nodes, self.num_nodes))
        for (a, b), weight in zip(self.edges, self.weights, strict=True):
            rows[b, a] = weight
        table = np.zeros(1)
        for node, row in enumerate(rows):
            to_side_one = np.zeros(1)
            for weight in row[:node]:
                to_side_one = np.concatenate([to_side_one, to_side_one + weight])
            table = np.concatenate([table + to_side_one, table + (row.sum() - to_side_one)])
        return table

    def annealed(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return `REPLICAS` assignments of high value, by simulated annealing (Metropolis, geometric)."""
        adjacent: list[list[int]] = [[] for _ in range(self.num_nodes)]
        weights: list[list[float]] = [[] for _ in range(self.num_nodes)]
        for (a, b), weight in zip(self.edges, self.weights.tolist(), strict=True):
            adjacent[a].append(b)
            adjacent[b].append(a)
            weights[a].append(weight)
            weights[b].append(weight)
        nodes = [(node, np.array(adjacent[node]), np.array(weights[node])) for node in range(self.num_nodes)]
        nodes = [entry for entry in nodes if len(entry[1])]
        spins = 1.0 - 2.0 * rng.integers(2, size=(self.num_nodes, REPLICAS))
        hottest = max(row.sum() for _, _, row in nodes)
        for temperature in np.geomspace(hottest, self.weights.min() / 10, SWEEPS):
            thresholds = np.log(rng.random((len(nodes), REPLICAS))) * temperature
            for (node, others, row), threshold in zip(nodes, thresholds, strict=True):
                # Turning node over gains the weight to its own side and loses the weight to the other one.
                gain = spins[node] * (row @ spins[others])
                spins[node] *= np.where(gain >= threshold, -1.0, 1.0)
        return (spins.T < 0).astype(np.uint8)
