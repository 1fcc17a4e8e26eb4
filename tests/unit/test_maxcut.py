"""Max-Cut: values of cuts and optima, against going through all assignments."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import rustworkx as rx

from metriq_gym.benchmarks.maxcut import WeightedGraph

WEIGHTS = np.array([0.1, 0.2, 0.3, 0.5, 1.0])


def random_graph(num_nodes: int, density: float, seed: int) -> WeightedGraph:
    rng = np.random.default_rng(seed)
    edges = [pair for pair in combinations(range(num_nodes), 2) if rng.random() < density] or [(0, 1)]
    return WeightedGraph(num_nodes, edges, rng.choice(WEIGHTS, size=len(edges)))


def brute_force(graph: WeightedGraph, sides: tuple[int, ...]) -> float:
    across = [sides[a] != sides[b] for a, b in graph.edges]
    return float(graph.weights[across].sum())


@pytest.mark.parametrize("seed", range(5))
def test_every_cut_has_the_weight_of_the_edges_across_it(seed: int) -> None:
    graph = random_graph(7, 0.6, seed)
    assignments = [sides[::-1] for sides in product((0, 1), repeat=7)]
    expected = [brute_force(graph, sides) for sides in assignments]
    np.testing.assert_allclose(graph.cuts(np.array(assignments, dtype=np.uint8)), expected, atol=1e-12)
    np.testing.assert_allclose(graph.all_cuts(), expected, atol=1e-12)


def test_large_graphs_give_the_same_values_as_small_ones() -> None:
    small = random_graph(8, 0.7, 1)
    large = WeightedGraph(1000, small.edges, small.weights)
    sides = np.random.default_rng(0).integers(2, size=(50, 1000), dtype=np.uint8)
    np.testing.assert_allclose(large.cuts(sides), small.cuts(sides[:, :8]), atol=1e-12)


@pytest.mark.parametrize("num_nodes", [2, 3, 5, 9, 12, 16])
@pytest.mark.parametrize("density", [0.3, 1.0])
def test_optimum_is_that_of_enumeration(num_nodes: int, density: float) -> None:
    graph = random_graph(num_nodes, density, num_nodes)
    bits = (np.arange(2**num_nodes)[:, None] >> np.arange(num_nodes) & 1).astype(np.uint8)
    assert graph.optimum(np.random.default_rng(0)) == pytest.approx(graph.cuts(bits).max())


@pytest.mark.parametrize("seed", range(5))
def test_annealing_finds_the_optimum_of_a_complete_graph_of_16(seed: int) -> None:
    graph = random_graph(16, 1.0, seed)
    found = graph.cuts(graph.annealed(np.random.default_rng(seed))).max()
    assert found == pytest.approx(graph.all_cuts().max())


def test_every_edge_of_a_bipartite_graph_can_be_cut() -> None:
    lattice = rx.generators.heavy_hex_graph(5)
    weights = np.full(lattice.num_edges(), 0.3)
    edges = [(min(pair), max(pair)) for pair in lattice.edge_list()]
    graph = WeightedGraph(lattice.num_nodes(), edges, weights)
    assert graph.optimum(np.random.default_rng(0)) == pytest.approx(0.3 * lattice.num_edges())


def test_random_cuts_have_half_the_total_weight_on_average() -> None:
    graph = random_graph(50, 0.5, 3)
    mean, best = graph.random_cuts(20_000, np.random.default_rng(0))
    assert mean == pytest.approx(graph.weights.sum() / 2, rel=0.005)
    assert mean < best < graph.weights.sum()
