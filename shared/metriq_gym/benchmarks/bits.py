"""Counts as arrays, for scoring many outcomes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriq_gym.benchmarks.benchmark import Counts
from metriq_gym.errors import Permanent


def bit_matrix(counts: Counts) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the distinct outcomes and how often each occurred.

    Returns an array of shape (outcomes, bits) whose column i is classical bit i, and one of shape
    (outcomes,). Raises `Permanent` when there are no outcomes.
    """
    if not counts:
        raise Permanent("the device returned no shots, so there is nothing to score")
    characters = np.frombuffer("".join(counts).encode("ascii"), dtype=np.uint8)
    bits = (characters - ord("0")).reshape(len(counts), -1)[:, ::-1]
    return bits, np.fromiter(counts.values(), dtype=np.int64, count=len(counts))


def weighted_mean(values: NDArray[Any], occurrences: NDArray[np.int64]) -> float:
    """Mean over shots of a value known per distinct outcome."""
    return float(values @ occurrences / occurrences.sum())
