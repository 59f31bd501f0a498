"""The statistics of a decision: estimates with intervals, tests, effect sizes. Pure functions of numbers.

Seeds are few, so means over seeds get Student's t: with five of them its 95 % interval holds the true difference in
95 % of cases, a bootstrap's in 82 %. Test items are many: `resampling` has what is drawn of them.

The quantiles are those of scipy.special: scipy.stats and statsmodels, which have the same tests, take seconds to
import.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from lab.design.power import ALPHA, smallest_p

TINY = 1e-12  # what rounding leaves of a difference


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference, in the metric's unit, and how well it is known.

    Attributes:
        value: the estimate.
        low, high: the 95 % interval; None where there is none, as with one seed.
        n: how many seeds, or how many test items, it rests on.
        deviation: the standard deviation of one of them, as the test of equivalence takes it: that of the estimate is
            deviation / √n. None with one.
        degrees: of freedom of the t distribution; None without one.
        p: two-sided, of the true value being 0; None without a test.
        p_equivalent: of the true value being further from 0 than the margin (TOST); None without a margin.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 1
    deviation: float | None = None
    degrees: float | None = None
    p: float | None = None
    p_equivalent: float | None = None


@dataclass(frozen=True)
class EffectSize:
    """A standardized mean difference with its 95 % interval."""

    value: float
    low: float
    high: float


def mean(values: Sequence[float], margin: float = 0.0, resolution: float = 0.0, overlap: float = 0.0) -> Estimate:
    """The mean with Student's t: its interval, the test against 0, and that of equivalence to 0 within `margin`.

    A metric of 300 test items moves in steps of about 1/300, its `resolution`. Two seeds often end on the same step or
    nearly so, which tells nothing of how far the next one will be: a smaller spread than that is taken for as much.

    Folds of a cross-validation train on much the same items, so that their values vary together: of each one's variance
    its `overlap`, the items that it tests by those that it trains on, is all folds' in common, and no number of them
    takes it away (the corrected resampled t-test: Nadeau and Bengio, Machine Learning 52, 2003).

    Values that are all the same and have no known resolution leave the exact sign-flip test, with its smallest p of
    2^(1-n), and no interval.
    """
    n, value = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Estimate(value)
    if without_spread(values) and not resolution:
        p = 1.0 if math.isclose(value, 0, abs_tol=TINY) else smallest_p(n)
        outside = 2.0**-n if abs(value) < margin else 1.0
        return Estimate(value, n=n, deviation=0.0, p=p, p_equivalent=outside if margin else None)
    return student(value, max(resolution, stdev(values)) * math.sqrt(1 + n * overlap), n, margin)


def student(value: float, deviation: float, n: int, margin: float = 0.0, degrees: float | None = None) -> Estimate:
    """An estimate whose standard error is `deviation` / √n, by the t distribution with `degrees` of freedom (n - 1).

    Equivalence is shown by two one-sided tests: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987.
    """
    from scipy.special import stdtr, stdtrit

    degrees = n - 1 if degrees is None else degrees
    error, distance = deviation / math.sqrt(n), abs(value)
    half = float(stdtrit(degrees, 1 - ALPHA / 2)) * error
    p = 2 * float(stdtr(degrees, -distance / error))
    outside = float(stdtr(degrees, (distance - margin) / error)) if margin else None
    return Estimate(value, value - half, value + half, n, deviation, degrees, p, outside)


def beyond(estimate: Estimate, limit: float) -> float | None:
    """How probable an estimate as small as this is, were the true value `limit` or more: p of one side; None with one
    seed.

    A test of non-inferiority, where more is worse: Blackwelder, Controlled Clinical Trials 3, 1982.
    """
    from scipy.special import stdtr

    if estimate.deviation is None:  # counted, or alone
        return None if estimate.high is None else float(estimate.high > limit)
    if estimate.degrees is None or estimate.deviation == 0:
        return 2.0**-estimate.n if estimate.value < limit else 1.0
    error = estimate.deviation / math.sqrt(estimate.n)
    return float(stdtr(estimate.degrees, (estimate.value - limit) / error))


def counted(values: Sequence[float], margin: float = 0.0) -> Estimate:
    """The mean of something that is counted and not sampled, such as a file's size, with one seed too: it is what it
    is.

    The interval is the smallest and the largest value; p is 0 where they leave no doubt, and 1 where they do.
    """
    value, low, high = math.fsum(values) / len(values), min(values), max(values)
    differs = low > 0 or high < 0
    inside = low == high == 0 or (-margin < low and high < margin)
    return Estimate(value, low, high, len(values), p=float(not differs), p_equivalent=float(not inside))


def without_spread(values: Sequence[float]) -> bool:
    """Whether the values are the same but for rounding."""
    return math.isclose(min(values), max(values), rel_tol=1e-9, abs_tol=TINY)


def effect_size(differences: Sequence[float], resolution: float = 0.0) -> EffectSize | None:
    """How large a paired difference is beside its own spread over the pairs; None below three pairs, or without spread.

    Cohen's d_z with Hedges' correction for few pairs (Hedges, J. Educational Statistics 6, 1981), which two can't have;
    the interval by the noncentral t distribution (Cumming and Finch, Educational and Psychological Measurement 61,
    2001).
    """
    from scipy.special import gammaln, nctdtrinc

    estimate = mean(differences, resolution=resolution)
    if estimate.n < 3 or not estimate.deviation:
        return None
    n, d = estimate.n, estimate.value / estimate.deviation
    degrees = n - 1
    correction = math.exp(gammaln(degrees / 2) - gammaln((degrees - 1) / 2)) / math.sqrt(degrees / 2)
    low, high = (float(nctdtrinc(degrees, q, d * math.sqrt(n))) / math.sqrt(n) for q in (1 - ALPHA / 2, ALPHA / 2))
    return EffectSize(correction * d, correction * low, correction * high)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values corrected for their number: Holm, Scandinavian J. Statistics 6, 1979.

    Not by statsmodels, since it takes five seconds to import and collects garbage for 40 ms at each call.
    """
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, ps[i] * (len(ps) - rank)))
        corrected[i] = highest
    return corrected


@dataclass(frozen=True)
class Disagreement:
    """Two models on the same items: how many only the one, or only the other, had right; McNemar's exact p."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Disagreement:
    """Whether one of two models is right more often, by the items on which they disagree.

    McNemar, Psychometrika 12, 1947; exact, by the binomial distribution.
    """
    from statsmodels.stats.contingency_tables import mcnemar as test

    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    table = [[pairs.count((a, b)) for b in (True, False)] for a in (True, False)]
    result: Any = test(table, exact=True)
    return Disagreement(table[0][1], table[1][0], float(result.pvalue))


def outlier(value: float, others: Sequence[float], resolution: float = 0.0) -> float:
    """How probable it is that the largest of some seeds is as far above two or more others as `value`: p.

    Grubbs, Technometrics 11, 1969, one-sided: Student's t of what a further seed would give, for as many as there are.
    As for `mean`, a spread below the `resolution` is taken for as much.
    """
    from scipy.special import stdtr

    n = len(others)
    spread = max(stdev(others), resolution, TINY)
    t = (value - math.fsum(others) / n) / (spread * math.sqrt(1 + 1 / n))
    return min(1.0, (n + 1) * float(stdtr(n - 1, -t)))


def pareto(points: Iterable[Sequence[float]], maximize: Sequence[bool]) -> list[bool]:
    """Which points no other beats: as good in every respect, and better in one.

    Args:
        points: (n, m), what was measured of each.
        maximize: (m,), whether more is better.
    """
    signed = [[x if more else -x for x, more in zip(point, maximize, strict=True)] for point in points]

    def beats(a: list[float], b: list[float]) -> bool:
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    return [not any(beats(other, point) for other in signed) for point in signed]


def luck_of_the_best(n: int) -> float:
    """By how many standard deviations the best of `n` equal settings looks better than it is: E max of n normals.

    n ∫ x φ(x) Φ(x)^(n-1) dx: David and Nagaraja, Order Statistics, 2003, section 3.1.
    """
    import numpy as np
    from scipy.special import ndtr

    x = np.linspace(-10, 10, 4001)
    density = n * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * ndtr(x) ** (n - 1)
    return float(np.trapezoid(x * density, x))
