"""Connected sets of qubits and random paths in connectivity graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import rustworkx as rx

from metriq_gym.benchmarks.subgraphs import connected_subgraph, random_path
from metriq_gym.errors import Unsupported
from tests.support.devices import RecordingDevice


def device(graph: rx.PyGraph) -> RecordingDevice:
    return RecordingDevice(graph.num_nodes(), graph)


def islands() -> rx.PyGraph:
    graph = rx.PyGraph()
    graph.add_nodes_from(range(7))
    graph.extend_from_edge_list([(0, 1), (2, 3), (3, 4), (4, 5), (5, 3)])
    return graph


@pytest.mark.parametrize("size", [1, 10, 55])
def test_a_connected_part_has_the_size_and_all_edges_between_its_qubits(size: int) -> None:
    graph = rx.generators.heavy_hex_graph(5)
    qubits, edges = connected_subgraph(device(graph), size)
    part = rx.PyGraph()
    part.add_nodes_from(range(size))
    part.extend_from_edge_list(edges)
    assert len(set(qubits)) == size
    assert rx.is_connected(part)
    assert len(edges) == graph.subgraph(qubits).num_edges()
    assert all(graph.has_edge(qubits[a], qubits[b]) for a, b in edges)


def test_a_connected_part_comes_from_a_component_that_is_big_enough() -> None:
    assert connected_subgraph(device(islands()), 4)[0] == [2, 3, 4, 5]


@pytest.mark.parametrize("size", [5, 8])
def test_more_qubits_than_are_connected_are_refused(size: int) -> None:
    with pytest.raises(Unsupported, match=f"no {size} connected qubits"):
        connected_subgraph(device(islands()), size)


@pytest.mark.parametrize(
    ("graph", "length"),
    [
        (rx.generators.path_graph(30), 30),
        (rx.generators.cycle_graph(9), 9),
        (rx.generators.grid_graph(6, 6), 36),
        (rx.generators.complete_graph(12), 12),
        (rx.generators.heavy_hex_graph(9), 100),
        (islands(), 4),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_random_path_is_simple_and_follows_edges(graph: rx.PyGraph, length: int, seed: int) -> None:
    path = random_path(device(graph), length, seed)
    assert len(set(path)) == len(path) == length
    assert all(graph.has_edge(a, b) for a, b in pairwise(path))


def test_random_paths_differ_between_seeds() -> None:
    graph = device(rx.generators.grid_graph(6, 6))
    assert len({tuple(random_path(graph, 8, seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize(
    ("graph", "length", "reason"),
    [
        (rx.generators.star_graph(10), 4, "no simple path of 4 qubits was found"),
        (islands(), 5, "at most 4 connected qubits"),
        (rx.PyGraph(), 4, "at most 0 connected qubits"),
    ],
)
def test_a_path_that_is_not_there_is_refused(graph: rx.PyGraph, length: int, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        random_path(device(graph), length, 0)
