"""Random sets of qubit pairs that can act at the same time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metriq_gym.benchmarks.colouring import Edge


def random_maximal_matching(edges: Sequence[Edge], rng: np.random.Generator) -> list[Edge]:
    """Return edges that share no node and to which no other edge can be added.

    Going through the edges in random order and keeping each that fits has the same distribution as drawing
    one of the still possible edges again and again, and takes linear time.
    """
    taken: set[int] = set()
    matching = []
    for index in rng.permutation(len(edges)):
        a, b = edges[index]
        if a not in taken and b not in taken:
            taken |= {a, b}
            matching.append((a, b))
    return matching
