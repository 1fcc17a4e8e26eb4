"""Edge colouring: the edges of a graph in few classes, no two edges of a class sharing a node."""

from __future__ import annotations

from collections import defaultdict

import rustworkx as rx

Edge = tuple[int, int]


def edge_colouring(graph: rx.PyGraph) -> list[list[Edge]]:
    """Return the classes, biggest first; each is a sorted list of pairs (i, j) with i < j.

    A bipartite graph gets as many classes as its maximum degree Δ (Kőnig 1916); a complete graph of n nodes
    n − 1 for even n and n for odd n, which is optimal too; any other graph at most Δ + 1 (Misra and Gries,
    Inf. Process. Lett. 41, 131 (1992)). Self-loops are left out and parallel edges count once. The same edges
    give the same classes in whatever order the graph holds them.
    """
    nodes = graph.num_nodes()
    edges = sorted({(min(pair), max(pair)) for pair in graph.edge_list() if pair[0] != pair[1]})
    if len(edges) == nodes * (nodes - 1) // 2:
        classes = _round_robin(nodes)
    else:
        simple = rx.PyGraph(multigraph=False)
        simple.add_nodes_from(range(nodes))
        simple.extend_from_edge_list(edges)
        bipartite = rx.is_bipartite(simple)
        colour = rx.graph_bipartite_edge_color if bipartite else rx.graph_misra_gries_edge_color
        by_colour = defaultdict(list)
        for index, colour_index in colour(simple).items():
            by_colour[colour_index].append(edges[index])
        classes = [sorted(members) for members in by_colour.values()]
    return sorted(classes, key=lambda members: (-len(members), members))


def _round_robin(nodes: int) -> list[list[Edge]]:
    """The circle method of round-robin tournaments: everybody meets everybody once."""
    players = nodes + nodes % 2
    circle = players - 1
    rounds = []
    for shift in range(circle):
        pairs = [(shift, circle)]
        pairs += [((shift + k) % circle, (shift - k) % circle) for k in range(1, players // 2)]
        # With an odd number of nodes the last player does not exist: whoever meets it has a break.
        rounds.append(sorted((min(pair), max(pair)) for pair in pairs if max(pair) < nodes))
    return [members for members in rounds if members]
