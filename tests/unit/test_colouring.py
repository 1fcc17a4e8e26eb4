"""Edge colouring: proper, complete, and with as few colours as promised."""

from __future__ import annotations

import pytest
import rustworkx as rx
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.benchmarks.colouring import edge_colouring
from tests.support.work import at_most


def graph_of(nodes: int, edges: list[tuple[int, int]]) -> rx.PyGraph:
    graph = rx.PyGraph()
    graph.add_nodes_from(range(nodes))
    graph.extend_from_edge_list(edges)
    return graph


def simple_edges(graph: rx.PyGraph) -> set[tuple[int, int]]:
    return {(min(edge), max(edge)) for edge in graph.edge_list() if edge[0] != edge[1]}


def assert_proper(graph: rx.PyGraph, classes: list[list[tuple[int, int]]]) -> None:
    coloured = [edge for members in classes for edge in members]
    assert len(coloured) == len(set(coloured))
    assert set(coloured) == simple_edges(graph)
    for members in classes:
        touched = [node for edge in members for node in edge]
        assert len(touched) == len(set(touched))


def degree(graph: rx.PyGraph) -> int:
    edges = simple_edges(graph)
    return max((sum(node in edge for edge in edges) for node in graph.node_indices()), default=0)


@st.composite
def graphs(draw: st.DrawFn) -> rx.PyGraph:
    nodes = draw(st.integers(1, 12))
    node = st.integers(0, nodes - 1)
    return graph_of(nodes, draw(st.lists(st.tuples(node, node), max_size=40)))


@given(graphs())
def test_every_edge_gets_one_colour_and_no_two_of_a_colour_touch(graph: rx.PyGraph) -> None:
    classes = edge_colouring(graph)
    assert_proper(graph, classes)
    assert len(classes) <= degree(graph) + 1


@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1),
)
def test_bipartite_graphs_need_no_more_colours_than_their_degree(
    left: int, right: int, pairs: set[tuple[int, int]]
) -> None:
    graph = graph_of(left + right, [(a % left, left + b % right) for a, b in pairs])
    classes = edge_colouring(graph)
    assert_proper(graph, classes)
    assert len(classes) == degree(graph)


@pytest.mark.parametrize(("nodes", "colours"), [(2, 1), (3, 3), (4, 3), (5, 5), (30, 29), (31, 31)])
def test_complete_graphs_are_coloured_optimally(nodes: int, colours: int) -> None:
    graph = rx.generators.complete_graph(nodes)
    classes = edge_colouring(graph)
    assert_proper(graph, classes)
    assert len(classes) == colours


@given(st.permutations(list(rx.generators.grid_graph(3, 3).edge_list())))
def test_the_order_of_edges_makes_no_difference(edges: list[tuple[int, int]]) -> None:
    swapped = [(b, a) for a, b in edges]
    assert edge_colouring(graph_of(9, swapped)) == edge_colouring(rx.generators.grid_graph(3, 3))


def test_a_thousand_qubit_heavy_hex_graph_takes_three_colours_and_little_work() -> None:
    graph = rx.generators.heavy_hex_graph(21)
    with at_most(20_000):
        classes = edge_colouring(graph)
    assert graph.num_nodes() > 1000
    assert len(classes) == 3
