"""Whether a metric of a device has left its baseline: a robust test of values over time.

The first values are the baseline: their median, and their scatter as the median absolute deviation (MAD) has it, so
that a few bad nights among them change little. Each later value is measured by how many standard deviations it is
away, of the scatter, its own quoted uncertainty and the error of the median together. Three in a row far out on one
side are a step; a cumulative sum (CUSUM) finds what is smaller or slow. One value alone is never a drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal

BASELINE = 30
"""Values of the baseline."""
STEP = 5.0
"""Standard deviations beyond which, on one side, values in a row are a step."""
IN_A_ROW = 3
"""Values that make a step."""
SLACK = 1.0
"""Standard deviations by which a value may be off without adding to the cumulative sum."""
LIMIT = 10.0
"""The cumulative sum that is a drift."""
MOST = 4.0
"""Standard deviations that a single value counts for at most in the cumulative sum."""
_MAD_OF_NORMAL = 1.4826
_ERROR_OF_MEDIAN = math.pi / 2
_LEAST = 1e-9
"""Relative scatter that values are taken to have at least: that of their last digits."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a time."""

    at: datetime
    value: float
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """That values have left their baseline, and the evidence."""

    found: Literal["step", "cusum"]
    at: datetime
    """Of the value with which it was found."""
    since: datetime
    """Of the first value that spoke for it."""
    deviation: float
    """The median distance from the baseline since then, in standard deviations."""
    statistic: float
    """What went beyond the limit: the smallest of the distances, or the cumulative sum."""


@dataclass(frozen=True, slots=True)
class Trend:
    """What values over time say."""

    centre: float
    scatter: float
    """Of the baseline, as a standard deviation."""
    drift: Drift | None


def trend(points: Sequence[Point]) -> Trend | None:
    """Return what values say that are in the order of time; None when there are not more than a baseline's."""
    if len(points) <= BASELINE:
        return None
    baseline, later = points[:BASELINE], points[BASELINE:]
    centre = median(each.value for each in baseline)
    scatter = _MAD_OF_NORMAL * median(abs(each.value - centre) for each in baseline)
    quoted = [each.uncertainty**2 for each in baseline if each.uncertainty is not None]
    # What of the scatter the quoted uncertainties do not explain stays, however certain later values are.
    own = max(0.0, scatter**2 - (median(quoted) if quoted else 0.0))
    least = (_LEAST * max(abs(centre), _LEAST)) ** 2
    of_median = _ERROR_OF_MEDIAN * scatter**2 / BASELINE
    distances = [
        (each.value - centre)
        / math.sqrt(max((scatter**2 if each.uncertainty is None else own + each.uncertainty**2) + of_median, least))
        for each in later
    ]
    return Trend(centre, scatter, _drift(later, distances))


def _drift(points: Sequence[Point], distances: Sequence[float]) -> Drift | None:
    sums, starts = {1: 0.0, -1: 0.0}, {1: 0, -1: 0}
    for number, distance in enumerate(distances):
        start = number - IN_A_ROW + 1
        for side in (1, -1):
            if start >= 0 and (least := min(side * each for each in distances[start : number + 1])) > STEP:
                return _found("step", points, distances, start, number, least)
            if not sums[side]:
                starts[side] = number
            sums[side] = max(0.0, sums[side] + min(side * distance, MOST) - SLACK)
            if sums[side] > LIMIT:
                return _found("cusum", points, distances, starts[side], number, sums[side])
    return None


def _found(
    how: Literal["step", "cusum"],
    points: Sequence[Point],
    distances: Sequence[float],
    start: int,
    end: int,
    statistic: float,
) -> Drift:
    deviation = median(distances[start : end + 1])
    return Drift(how, points[end].at, points[start].at, deviation, statistic)
