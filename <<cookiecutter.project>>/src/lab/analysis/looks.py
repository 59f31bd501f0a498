"""Looking at a comparison after each further seed without being wrong more often: group-sequential t-tests.

Each look may spend a part of the error that one look at the end would have: α t^2.1 / 2 of it by the time that a share
t < 1 of the seeds is there, and all of it at the end (Lan and DeMets, Biometrika 70, 1983; the power family of Kim and
DeMets, Biometrika 74, 1987, for one half of the error). So early looks decide what is plain, and little is lost at the
last one, which has the other half to itself, much as with Haybittle's and Peto's boundaries (British J. Cancer 34,
1976). They are those of Student's t, exactly and with as few as two seeds (Jennison and Turnbull, Biometrika 78, 1991).
By them go the p values, as the smallest α at which a look decides (repeated p values), and the intervals, which hold
the true value at all looks together (repeated confidence intervals: Jennison and Turnbull, J. Royal Statistical Society
B 51, 1989). So everything that decides by p < 5 % or by an interval decides as it would with fixed seeds, and Holm's
correction holds (Maurer and Bretz, Statistics in Biopharmaceutical Research 5, 2013). Whatever makes one stop or go on,
the level is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from lab.analysis.statistics import Estimate
from lab.design.power import ALPHA

if TYPE_CHECKING:
    import numpy as np

    from lab.study import Study

BEFORE, SPENT = 0.5, 2.1  # how much of the error the looks before the last may spend, and by which power of t
EDGE, CELLS = 6.0, 240  # of the grid on which the statistic moves, in standard normal deviates
LADDER = 60  # levels between which p values are interpolated, beside those that decide
SMALLEST = 1e-9  # p: below it all are alike


@dataclass(frozen=True)
class Look:
    """Which look a comparison is at: after `now` seeds, where the first was after `first`, the last is after `last`."""

    first: int
    now: int
    last: int

    def __str__(self) -> str:
        return f"look {self.number} of {self.last - self.first + 1}"

    @property
    def number(self) -> int:
        """Counted from 1."""
        return self.now - self.first + 1

    def level(self, alpha: float) -> float:
        """What a one-sided p value has to be below at this look, where all looks together may err with `alpha`."""
        import numpy as np
        from scipy.special import ndtr, ndtri

        whole, nominal = _levels(self.first, self.last)
        return float(ndtr(np.interp(ndtri(alpha), whole, nominal[:, self.number - 1])))

    def p(self, nominal: float) -> float:
        """The smallest `alpha` at which a one-sided p value decides at this look."""
        import numpy as np
        from scipy.special import ndtr, ndtri

        whole, levels = _levels(self.first, self.last)
        own = levels[:, self.number - 1]
        at = ndtri(nominal) if nominal > 0 else -math.inf
        return 1.0 if at > own[-1] else float(ndtr(np.interp(at, own, whole)))

    def adjusted(self, estimate: Estimate) -> Estimate:
        """An estimate with the p values and the interval of this look."""
        from scipy.special import stdtrit

        p = None if estimate.p is None else min(1.0, 2 * self.p(estimate.p / 2))
        outside = None if estimate.p_equivalent is None else self.p(estimate.p_equivalent)
        low, high = estimate.low, estimate.high
        if low is not None and high is not None and estimate.degrees is not None:
            wider = float(
                stdtrit(estimate.degrees, 1 - self.level(ALPHA / 2)) / stdtrit(estimate.degrees, 1 - ALPHA / 2)
            )
            low, high = (estimate.value + wider * (end - estimate.value) for end in (low, high))
        return replace(estimate, low=low, high=high, p=p, p_equivalent=outside)


def at(study: Study, *arms: str) -> Look | None:
    """The look at which arms are compared: that of the one with fewest seeds; None where they were fixed before."""
    growth = study.design.growth
    if growth is None:
        return None
    there = min(len(study.arms.get(arm, [])) for arm in arms)
    return Look(growth.first, min(max(there, growth.first), growth.last), growth.last)


@cache
def _levels(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """The levels at which looks decide (levels, looks) for errors in all of `alpha` (levels,), both as normal deviates.

    What is carried from look to look is how probable each value of the statistic is without having been beyond the
    boundary. Under no effect the t statistics of more and more values are a Markov chain, whatever their spread: the
    share that one value has in the length of them all is independent of the direction of those before.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri, ndtri_exp

    deciding = [alpha / k for alpha in (ALPHA, ALPHA / 2) for k in (1, 2)]
    alphas = np.unique([*np.geomspace(SMALLEST, 0.5, LADDER), *deciding])
    edges = np.linspace(-EDGE, EDGE, CELLS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    spent = alphas[:, None] * BEFORE * (np.arange(first, last + 1) / last) ** SPENT
    spent[:, -1] = alphas
    bounds = [-ndtri(spent[:, 0])]
    mass = np.tile(np.diff(ndtr(edges)), (len(alphas), 1))
    for look, n in enumerate(range(first, last), start=1):
        share = np.clip((bounds[-1][:, None] - edges[:-1]) / np.diff(edges), 0, 1)  # of a cell, below the boundary
        beyond = _beyond(middles, edges, n)
        survival = (mass * share) @ beyond
        log_survival = np.log(np.maximum(survival, 1e-300))
        wanted = np.log(spent[:, look] - spent[:, look - 1])
        # Interpolated as deviates of the normal distribution, on which a survival function is nearly straight.
        deviates = -ndtri_exp(np.minimum(log_survival, -1e-12))
        bounds.append(
            np.array([np.interp(-ndtri_exp(at), row, edges) for at, row in zip(wanted, deviates, strict=True)])
        )
        mass = np.maximum(survival[:, :-1] - survival[:, 1:], 0)
    return ndtri(alphas), np.maximum.accumulate(-np.array(bounds).T, axis=0)


def _beyond(middles: np.ndarray, edges: np.ndarray, n: int) -> np.ndarray:
    """How probable it is that the statistic of n + 1 values is above each edge, where that of n is at a cell's middle.

    (cells, edges). In the plane of the n values' direction and the new one, with the cosine c of the direction to that
    of equal values, the new cosine is (√n c cos φ + sin φ) / √(n + 1), and √n tan φ has Student's t distribution.
    """
    import numpy as np
    from scipy.special import stdtr

    before, after = _cosine(middles, n)[:, None], _cosine(edges, n + 1)[None, :]
    turn, length = np.arctan(math.sqrt(n) * before), np.sqrt(1 + n * before**2)
    angle = np.arcsin(np.clip(after * math.sqrt(n + 1) / length, -1, 1))

    def within(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        right = math.pi / 2 - 1e-12
        ends = [stdtr(n, math.sqrt(n) * np.tan(np.clip(end, -right, right))) for end in (low, high)]
        return np.maximum(ends[1] - ends[0], 0)

    below_zero = np.where(angle < 0, within(-math.pi - turn, -math.pi - angle - turn), 0)
    return np.clip(within(angle - turn, math.pi - angle - turn) + below_zero, 0, 1)


def _cosine(deviates: np.ndarray, n: int) -> np.ndarray:
    """The cosine of n values' direction to that of equal ones, by the t statistic's place as a normal deviate."""
    import numpy as np
    from scipy.special import ndtr, stdtrit

    t = np.sign(deviates) * stdtrit(n - 1, ndtr(np.abs(deviates)))
    return t / np.sqrt(n - 1 + t**2)
