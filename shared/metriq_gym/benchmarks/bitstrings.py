"""Counts as arrays, for scoring that is vectorised over outcomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metriq_gym.benchmarks.benchmark import Counts
from metriq_gym.errors import Permanent


def bit_table(counts: Counts) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the distinct outcomes, shape (outcomes, bits), and the frequency of each, shape (outcomes,).

    Column i is classical bit i, that is, character i from the right of the bitstring. Raises `Permanent`
    when there are no shots to count.
    """
    weights = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    shots = weights.sum()
    if not shots > 0:
        raise Permanent("the device returned no shots, so there is nothing to score")
    characters = np.frombuffer("".join(counts).encode("ascii"), dtype=np.uint8)
    return characters.reshape(len(counts), -1)[:, ::-1] - ord("0"), weights / shots
