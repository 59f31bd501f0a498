"""Whether a design can decide anything: its noise, the seeds it needs, and the smallest p it can reach.

What is planned for is the verdict: SUPPORTED takes a significant difference that is on the mean no smaller than
min_effect, so that a true effect of just min_effect comes out so in half of the cases, with any number of seeds.

Arms are compared over seeds in pairs, by the t-test. Its power is that of statsmodels' TTestPower, which takes seconds
to import: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000
QUANTILES, FEWER = 5000, 500  # over which a power is averaged; fewer where many are asked for


def noise_floor(values: Sequence[float]) -> float | None:
    """The standard deviation of a metric over replicates that differ in their seed alone; None below two of them."""
    return statistics.stdev(values) if len(values) > 1 else None


def pair_deviation(noise: float) -> float:
    """The standard deviation of the difference of two runs with the same seed, if they had nothing in common but noise.

    Where a seed helps or harms both arms alike it is smaller: this is the careful figure, before pairs were measured.
    """
    return noise * math.sqrt(2)


def paired_power(effect: float, deviation: float, seeds: int, comparisons: int = 1, shared: float = 0.0) -> float:
    """The probability that a two-sided paired t-test finds a true difference.

    Under it the test statistic is (Z + shift) / s with Z normal and s² a χ² variable over its degrees of freedom: the
    noncentral t distribution. Averaged over the quantiles of s here, as scipy's own is not a number for large shifts.

    Args:
        effect: the difference of the means, in the metric's unit.
        deviation: the standard deviation of the differences, in the same.
        seeds: how many pairs.
        comparisons: how many arms are compared with the reference: the first step of Holm's correction divides α by it.
        shared: a variance that all seeds have in common, such as that of the test items: no number of seeds lowers it.
    """
    import numpy as np
    from scipy.special import ndtr, stdtrit

    if seeds < 2:
        return 0.0
    variance = deviation**2 / seeds + shared
    if variance == 0:
        return float(effect > 0)
    share = deviation**2 / seeds / variance
    degrees, shift = (seeds - 1) / max(share, 1e-6) ** 2, abs(effect) / math.sqrt(variance)
    critical = stdtrit(degrees, 1 - ALPHA / comparisons / 2)
    s = _spreads(degrees)
    return float(np.mean(ndtr(shift - critical * s) + ndtr(-shift - critical * s)))


@lru_cache(maxsize=64)  # which of them are asked for, a search repeats: 2, 500, 250…
def _spreads(degrees: float) -> np.ndarray:
    """The quantiles of a standard deviation as it is measured with so many degrees of freedom, where it is 1."""
    import numpy as np
    from scipy.special import gammaincinv

    quantiles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.sqrt(2 * gammaincinv(degrees / 2, quantiles) / degrees)


def seeds_needed(effect: float, deviation: float, comparisons: int = 1, shared: float = 0.0) -> int | None:
    """The fewest seeds with which `paired_power` reaches 80 %; None where a thousand are too few."""

    def reached(seeds: int) -> bool:
        return paired_power(effect, deviation, seeds, comparisons, shared) >= POWER

    return bisect_left(range(MOST_SEEDS), True, lo=2, key=reached) if reached(MOST_SEEDS) else None


def supported_chance(
    effect: float, least: float, deviation: float, seeds: int, comparisons: int = 1, shared: float = 0.0
) -> float:
    """The probability of SUPPORTED at a true effect: significant, and on the mean no smaller than `least`.

    Averaged over the quantiles of what the spread over seeds is measured as. The other arguments are `paired_power`'s.
    """
    import numpy as np
    from scipy.special import gammaincinv, ndtr, stdtrit

    if seeds < 2:
        return 0.0
    if deviation == 0 and shared == 0:
        return float(effect > 0 and effect >= least)
    quantiles = (np.arange(FEWER) + 0.5) / FEWER
    between = deviation**2 / seeds * 2 * gammaincinv((seeds - 1) / 2, quantiles) / (seeds - 1)
    variance = between + shared
    degrees = (seeds - 1) * (variance / between) ** 2 if shared else seeds - 1
    critical = np.maximum(stdtrit(degrees, 1 - ALPHA / comparisons / 2) * np.sqrt(variance), least)
    return float(np.mean(ndtr((effect - critical) / math.sqrt(deviation**2 / seeds + shared))))


def supporting_seeds(
    effect: float, least: float, deviation: float, comparisons: int = 1, shared: float = 0.0
) -> int | None:
    """The fewest seeds with which `supported_chance` reaches 80 %; None where a thousand are too few."""

    def reached(seeds: int) -> bool:
        return supported_chance(effect, least, deviation, seeds, comparisons, shared) >= POWER

    return bisect_left(range(MOST_SEEDS), True, lo=2, key=reached) if reached(MOST_SEEDS) else None


def supportable(least: float, deviation: float, seeds: int, comparisons: int = 1, shared: float = 0.0) -> float | None:
    """The smallest true effect at which `supported_chance` reaches 80 %; None with one seed."""
    if seeds < 2:
        return None
    low, high = least, least + deviation + math.sqrt(shared)
    if high == least:
        return least
    while supported_chance(high, least, deviation, seeds, comparisons, shared) < POWER:
        high *= 2
    for _ in range(30):
        middle = (low + high) / 2
        enough = supported_chance(middle, least, deviation, seeds, comparisons, shared) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def noise_range(noise: float, n: int) -> tuple[float, float]:
    """The standard deviations between which the true one lies in four of five cases, by what `n` runs showed (χ²)."""
    from scipy.special import chdtri

    return noise * math.sqrt((n - 1) / chdtri(n - 1, 0.1)), noise * math.sqrt((n - 1) / chdtri(n - 1, 0.9))


def smallest_p(seeds: int, comparisons: int = 1) -> float:
    """The smallest two-sided p of an exact paired test (sign-flip, Wilcoxon) after Holm's correction.

    With n pairs there are 2^n ways of signs, of which the two extreme ones count. The t-test can go below, at the price
    of taking the differences for normal.
    """
    return min(1.0, comparisons * 2.0 ** (1 - seeds))
