"""Where a metric has ends: intervals end there, too, and near them a spread is another on each side.

An accuracy of 0.99 has little room above and much below, so that the seeds which came out well are also the ones that
agree: held against a constant, Student's t finds 0.99 surpassed too often. On the scale of the logit (of the logarithm,
for what ends at 0 alone) the room is the same on both sides: Agresti, Categorical Data Analysis, 3rd edition, 2013,
section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.design.power import ALPHA

if TYPE_CHECKING:
    from lab.analysis.statistics import Estimate
    from lab.contract.metrics import Metric


@dataclass(frozen=True)
class Scale:
    """The scale on which a metric from `low` to `high` has as much room on both sides; None is no end.

    `step` is by how much one test item moves it: closer to an end than by half of one is nothing that was seen.
    """

    low: float | None
    high: float | None
    step: float = 0.0

    def inside(self, value: float) -> float:
        """The value, or the nearest that is half a step from the ends."""
        if self.low is not None:
            value = max(value, self.low + self.step / 2)
        if self.high is not None:
            value = min(value, self.high - self.step / 2)
        return value

    def has(self, value: float) -> bool:
        """Whether a value lies within the ends."""
        return (self.low is None or value > self.low) and (self.high is None or value < self.high)

    def to(self, value: float) -> float:
        """A value within the ends on this scale."""
        below = 0.0 if self.low is None else math.log(value - self.low)
        above = 0.0 if self.high is None else math.log(self.high - value)
        return value if self.low is None and self.high is None else below - above

    def back(self, at: float) -> float:
        """The value that lies there."""
        if self.low is None and self.high is None:
            return at
        if self.high is None:
            assert self.low is not None
            return self.low + math.exp(at)
        if self.low is None:
            return self.high - math.exp(-at)
        return self.low + (self.high - self.low) / (1 + math.exp(-at))

    def slope(self, value: float) -> float:
        """By how much the scale moves where the value does."""
        slope = 0.0 if self.low is None else 1 / (value - self.low)
        slope += 0.0 if self.high is None else 1 / (self.high - value)
        return slope or 1.0

    def share_variance(self, value: float) -> float:
        """The variance of a mean over test items, each of which is at the one end or at the other: no items have more.

        0 where there are not two ends, or nobody knows how many items there were.
        """
        if self.low is None or self.high is None:
            return 0.0
        value = self.inside(value)
        return (value - self.low) * (self.high - value) * self.step / (self.high - self.low)


def within(estimate: Estimate, low: float | None, high: float | None) -> Estimate:
    """An estimate whose interval ends where what it estimates does, so that it covers as often; None is no end."""
    if estimate.low is None or estimate.high is None:
        return estimate
    below = estimate.low if low is None else min(estimate.value, max(estimate.low, low))
    above = estimate.high if high is None else max(estimate.value, min(estimate.high, high))
    return replace(estimate, low=below, high=above)


def change(estimate: Estimate, metric: Metric, asked: float = 0.0, differences: int = 1) -> Estimate:
    """The estimate of a difference in a metric, or of a difference of `differences` of them, as large as can be.

    No smaller than what is `asked` about, be it possible or not: the ends decide as they would without being cut.
    """
    most = max(differences * metric.span, abs(asked))
    return within(estimate, -most, most)


def against(difference: Estimate, constant: float, scale: Scale, margin: float = 0.0) -> Estimate:
    """A mean minus a constant, tested on the scale of its ends by the delta method.

    Args:
        difference: the same, tested as if there were no ends; it stays as it is where it has no degrees of freedom.
        constant: what the mean is held against.
        scale: of the metric; a plain one counts where the constant lies at an end, or beyond.
        margin: as for `statistics.mean`.
    """
    from scipy.special import stdtr, stdtrit

    if difference.degrees is None or not difference.deviation:
        return difference
    value, degrees = scale.inside(difference.value + constant), difference.degrees
    if not (scale.has(constant) and scale.has(value)):
        return difference
    at, error = scale.to(value), difference.deviation / math.sqrt(difference.n) * scale.slope(value)
    half = float(stdtrit(degrees, 1 - ALPHA / 2)) * error
    ends = [difference.value, *(scale.back(at + side * half) - constant for side in (-1, 1))]

    def p(limit: float, side: int) -> float:
        """Of the true value being beyond a limit on that side; none is beyond an end."""
        return float(stdtr(degrees, side * (at - scale.to(limit)) / error)) if scale.has(limit) else 0.0

    outside = max(p(constant + margin, 1), p(constant - margin, -1)) if margin else None
    two_sided = min(1.0, 2 * min(p(constant, 1), p(constant, -1)))
    return replace(difference, low=min(ends), high=max(ends), p=two_sided, p_equivalent=outside)
