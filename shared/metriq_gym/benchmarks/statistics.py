"""Error bars of counted outcomes, of shots alone and over circuits drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance

# Not of `scipy.stats`, whose import takes half a second, in each worker.
from scipy.special import betainc, ndtr, stdtrit

from metriq_gym.benchmarks.benchmark import BenchmarkScore
from metriq_gym.errors import Permanent

ONE_SIGMA = float(ndtr(1))


def binomial(successes: int, shots: int) -> BenchmarkScore:
    """Frequency of success, and half the width of Wilson's interval of one standard deviation.

    That is √(p(1−p)/shots) up to terms of order 1/shots, and 1/(2(shots + 1)) where all shots agree, which prove no
    certainty.

    Parameters
    ----------
    successes
        How many shots succeeded.
    shots
        How many there were.

    Raises
    ------
    Permanent
        When there are no shots to count.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22, 209
    (1927), https://doi.org/10.1080/01621459.1927.10502953
    """
    if shots < 1:
        raise Permanent("the device returned no shots, so there is nothing to score")
    frequency = successes / shots
    half_width = sqrt(frequency * (1 - frequency) / shots + 1 / (4 * shots**2)) / (1 + 1 / shots)
    return BenchmarkScore(frequency, half_width)


def tail(frequency: float, number: int, probability: float) -> float:
    """Probability that `number` trials succeed at least as often, P(Bin(number, probability) ≥ frequency · number).

    Between whole numbers it is interpolated, as Clopper and Pearson's interval is. A mean of outcomes anywhere between
    0 and 1 is no more likely to be so high than this says, as outcomes 0 and 1 vary the most.

    Parameters
    ----------
    frequency
        Share of trials that succeeded, 0 to 1.
    number
        How many trials there were.
    probability
        Probability that one trial succeeds, 0 to 1.

    References
    ----------
    C. J. Clopper and E. S. Pearson, Biometrika 26, 404 (1934), https://doi.org/10.1093/biomet/26.4.404
    """
    successes = frequency * number
    return float(betainc(successes, number - successes + 1, probability)) if successes > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The uncertainty of a mean over circuits, one standard deviation each, and where it comes from."""

    total: float
    """Of the mean over all circuits that might have been drawn."""
    shots: float
    """Of the mean over these circuits, on account of the finite number of shots."""
    circuits: float | None
    """On account of the choice of circuits; None where too few were drawn to tell, 0 where there was no choice."""


def parts(strata: Sequence[Sequence[float]], shot_errors: Sequence[Sequence[float]], drawn: Sequence[bool]) -> Parts:
    """Return the uncertainty of the mean over all values.

    The variance between drawn circuits, pooled over their groups, contains that of the shots; it counts Student's
    quantile, so that ± the total covers as often as it says however few circuits there are.

    Parameters
    ----------
    strata
        One value per circuit, in groups of circuits of one kind.
    shot_errors
        The uncertainty of each value on account of its shots.
    drawn
        Whether a group's circuits were drawn at random from more.
    """
    everything = sum(map(len, strata))
    shots = sqrt(sum(error**2 for group in shot_errors for error in group)) / everything
    random = [group for group, chosen in zip(strata, drawn, strict=True) if chosen]
    if not random:
        return Parts(shots, shots, 0.0)
    freedom = sum(len(group) - 1 for group in random)
    if not freedom:
        return Parts(shots, shots, None)
    pooled = sum((len(group) - 1) * variance(group) for group in random if len(group) > 1) / freedom
    within = [error**2 for group, chosen in zip(shot_errors, drawn, strict=True) if chosen for error in group]
    between = max(0.0, pooled - fmean(within))
    circuits = sqrt(between * len(within)) / everything
    spread = sqrt(pooled * len(within)) / everything
    fixed = (
        sum(error**2 for group, chosen in zip(shot_errors, drawn, strict=True) if not chosen for error in group)
        / everything**2
    )
    quantile = float(stdtrit(freedom, ONE_SIGMA))
    return Parts(max(shots, sqrt((quantile * spread) ** 2 + fixed)), shots, circuits)
