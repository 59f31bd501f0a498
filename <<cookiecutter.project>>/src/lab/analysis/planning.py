"""What a design can be expected to decide, and with how many seeds where they are added as far as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.growth import HOPE, LIKELY, foreseen
from lab.analysis.looks import Look
from lab.design.power import ALPHA

if TYPE_CHECKING:
    from lab.design.blocks import SeedRange

STUDIES = 4000  # that are made up; of a share of them 1.5 points are chance
SEED = 0  # of their making, so that the same is told each time


def expected_seeds(
    growth: SeedRange, effect: float, deviation: float, least: float, family: int = 1, shared: float = 0.0
) -> tuple[float, float]:
    """How many seeds an arm takes on average, and in which share of cases it is SUPPORTED, at a true effect.

    By studies that are made up and go through the boundaries and the rule that ends without hope (`analysis.growth`).

    Args:
        growth: the range of seeds.
        effect: the true improvement, in the metric's unit.
        deviation: the standard deviation of the differences of two runs with the same seed.
        least: the improvement that is asked for.
        family: how many arms share the error.
        shared: the variance that all seeds owe to the same items.
    """
    import numpy as np
    from scipy.special import stdtrit

    chance = np.random.default_rng(SEED)
    luck = chance.normal(0, shared**0.5, (STUDIES, 1))
    gains = effect + luck + chance.normal(0, deviation, (STUDIES, growth.last))
    end = Look(growth.first, growth.last, growth.last)
    going, supported, taken = np.ones(STUDIES, bool), 0, 0.0
    for n in range(growth.first, growth.last + 1):
        look = Look(growth.first, n, growth.last)
        gain, spread = gains[going, :n].mean(1), gains[going, :n].std(1, ddof=1)
        variance = spread**2 / n + shared
        error, degrees = np.sqrt(variance), (n - 1) * (variance / (spread**2 / n)) ** 2
        half, narrow, corrected = (
            stdtrit(degrees, 1 - look.level(alpha)) * error for alpha in (ALPHA / 2, ALPHA, ALPHA / 2 / family)
        )
        shown = (gain > corrected) & (gain >= least)
        decided = shown | (np.abs(gain) + narrow < least) | (gain + half < least)
        if n < growth.last:
            by_end, otherwise = foreseen(gain, spread, n, growth.last, least, end, family, shared)
            decided |= (by_end < HOPE) & (otherwise < LIKELY)
        else:
            decided[:] = True
        supported, taken = supported + int(shown.sum()), taken + n * int(decided.sum())
        going[going] = ~decided
    return taken / STUDIES, supported / STUDIES
