"""Error bars of counted outcomes."""

from __future__ import annotations

from math import sqrt

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.errors import Permanent


def binomial(successes: int, shots: int) -> BenchmarkScore:
    """Frequency of success and its standard error √(p(1−p)/shots).

    Raises `Permanent` when there are no shots to count.
    """
    if shots < 1:
        raise Permanent("the device returned no shots, so there is nothing to score")
    frequency = successes / shots
    return BenchmarkScore(frequency, sqrt(frequency * (1 - frequency) / shots))
