"""Fit of an exponential decay to survival probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

SIGNIFICANCE = 3
"""Standard errors above the floor from which survival counts as seen."""
OFFSET_DEVIATION = 0.05
"""How far the offset b is expected to be from the floor, one standard deviation: readout that favours an outcome."""
MIN_GUESS = 1e-3
TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Decay:
    """The rate α of a·αᵐ + b and its standard error."""

    alpha: float
    error: float


def fit_decay(
    lengths: NDArray[np.float64], survival: NDArray[np.float64], shots: int, floor: float, margin: float
) -> Decay:
    """Fit a·αᵐ + b with 0 ≤ a, α ≤ 1 and b within `margin` of `floor`, the survival of a mixed state.

    `survival`, shape (samples, lengths), holds frequencies out of `shots`. Weights are binomial. Where the
    circuits scatter more than that, the error grows by √(reduced χ²). A parameter that ends at its bound
    counts as known, except α.

    That b is near the floor is known beforehand and enters as one more observation, b = floor ± `OFFSET_DEVIATION`.
    Where the lengths reach far into the decay it has no weight beside the data. Where they do not, a decay and an
    offset cannot be told apart by data alone, and a free b gives rates that are wrong by more than their scatter: for
    α = 0.98, lengths up to 16 and 300 shots each, an error per gate of 0.040 in the mean instead of 0.019.

    Where nothing is seen to survive the shortest sequences although it would be, α is 0; where there are too few shots
    to see anything, the error says so.
    """
    samples = len(survival)
    mean = survival.mean(axis=0)
    # Half a success and half a failure more keep a frequency of 0 or 1 from having no variance at all.
    smoothed = (mean * shots * samples + 1 / 2) / (shots * samples + 1)
    sigma = np.sqrt(smoothed * (1 - smoothed) / (shots * samples))
    shortest = lengths.argmin()
    unseen = SIGNIFICANCE * sigma[shortest]
    if mean[shortest] - floor < unseen < (1 - floor) / 2:
        return Decay(alpha=0.0, error=(2 * unseen / (1 - floor)) ** (1 / lengths[shortest]))
    # Parameters are α, a, b.
    lower, upper = np.array([0, 0, max(0, floor - margin)]), np.array([1, 1, min(1, floor + margin)])
    free = lower < upper
    parameters = np.clip(_guess(lengths, mean, floor), lower, upper)

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        parameters[free] = values
        alpha, a, b = parameters
        return np.append((a * alpha**lengths + b - mean) / sigma, (b - floor) / OFFSET_DEVIATION)

    def jacobian(values: NDArray[np.float64]) -> NDArray[np.float64]:
        parameters[free] = values
        alpha, a, _ = parameters
        columns = a * lengths * alpha ** (lengths - 1), alpha**lengths, np.ones(len(lengths))
        rows = np.vstack([np.column_stack(columns) / sigma[:, None], [0, 0, 1 / OFFSET_DEVIATION]])
        return np.asarray(rows[:, free])

    fit = least_squares(
        residuals,
        parameters[free],
        jac=jacobian,
        bounds=(lower[free], upper[free]),
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        gtol=TOLERANCE,
    )
    uncertain = fit.active_mask == 0
    uncertain[0] = True
    columns = jacobian(fit.x)[:, uncertain]
    variance = np.linalg.pinv(columns.T @ columns)[0, 0]
    deviations = (survival - mean - residuals(fit.x)[:-1] * sigma) / (sigma * sqrt(samples))
    reduced = (deviations**2).sum() / max(1, survival.size - len(fit.x))
    return Decay(alpha=float(fit.x[0]), error=sqrt(variance * max(1.0, reduced)))


def _guess(lengths: NDArray[np.float64], mean: NDArray[np.float64], b: float) -> NDArray[np.float64]:
    first, last = lengths.argmin(), lengths.argmax()
    high, low = np.maximum(mean[[first, last]] - b, MIN_GUESS)
    alpha = (low / high) ** (1 / (lengths[last] - lengths[first]))
    alpha = min(max(alpha, MIN_GUESS), 1 - MIN_GUESS)
    return np.array([alpha, high / alpha ** lengths[first], b])
