"""The decision rule: what the difference of one arm comes to, and several of them together.

For a change in the hypothesis' direction, which is called an improvement here, and its `min_effect`:

    SUPPORTED      it is significant (p < 0.05 after Holm), and on the mean no smaller than min_effect
    EQUIVALENT     it is shown to lie within ±min_effect (two one-sided tests, p < 0.05)
    REFUTED        its 95 % interval ends below min_effect, or it is significantly worse; or a guardrail is broken
    UNDERPOWERED   none of these, and with so many seeds or test items none was to be expected: the chance of finding
                   min_effect was below 80 %, or there is one seed, which knows no chance at all
    INCONCLUSIVE   none of these all the same; runs are still to come; or a guardrail can't be told
    INVALID        the runs did not do what the plan said: a stage used another config, or two arms that should differ
                   came out identical in every seed

Held against an expected value, SUPPORTED is to be significantly beyond it, and EQUIVALENT to be within min_effect of
it. Of several arms one that is supported is enough; all have to be equivalent, or refuted, for the design to be so.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import TYPE_CHECKING

from lab.analysis import statistics
from lab.analysis.estimates import BOTH, COUNTED, IMAGES, oriented
from lab.design import power

if TYPE_CHECKING:
    from lab.analysis.estimates import Difference
    from lab.analysis.statistics import Estimate

# The version of the rules by which verdicts come about: a committed report says its own, and is checked by those.
# 2: recipes over seeds and test items; constants near an end; non-inferiority; failed seeds; what was seen (2026-11).
# 3: sweeps choose on validation; looks at growing seeds; effects by the arms' rank, with what shares their figures.
# 4: folds of a cross-validation by their training items in common; what looks spend of the error (2026-11).
RULES = 4
SUPPORTED, REFUTED, EQUIVALENT = "SUPPORTED", "REFUTED", "EQUIVALENT"
INCONCLUSIVE, UNDERPOWERED, INVALID = "INCONCLUSIVE", "UNDERPOWERED", "INVALID"
ONE_SEED = "one seed can't tell an effect from its own luck: there is no interval and no p value"


def decide(
    between: Difference, p: float | None, sign: int, least: float, margin: float, family: int, item: str
) -> tuple[str, str]:
    """The outcome for one arm, and why in words.

    Args:
        between: the difference.
        p: its p value, corrected.
        sign: 1 where more is better, else -1.
        least: the improvement that is asked for.
        margin: what counts as no difference.
        family: how many arms share the correction.
        item: what a test item is called.
    """
    if between.estimate is None:
        return INCONCLUSIVE, "there is nothing to compare"
    gain = oriented(between.estimate, sign)
    claimed, opposite, change = ("higher", "lower", "an increase") if sign > 0 else ("lower", "higher", "a decrease")
    significant = p is not None and p < power.ALPHA
    if significant and gain.value > 0 and gain.value >= least - statistics.TINY:
        return SUPPORTED, f"{claimed}, and on the mean by no less than {least:g}" if least else claimed
    if gain.p_equivalent is not None and gain.p_equivalent < power.ALPHA:
        limits = (
            f"within ±{margin:g} (two one-sided tests at 5 %, p = {gain.p_equivalent:.2g})"
            if margin
            else "no difference"
        )
        return EQUIVALENT, limits
    if significant and gain.value < 0:
        return REFUTED, opposite
    if gain.high is not None and gain.high < least:
        return REFUTED, f"{change}{f' of {least:g}' if least else ''} is excluded"
    if between.basis != IMAGES and gain.n == 1 and gain.p is None:
        return UNDERPOWERED, ONE_SEED
    return undecided(between, gain, margin, family, item)


def undecided(between: Difference, gain: Estimate, margin: float, family: int, item: str) -> tuple[str, str]:
    """Whether more seeds or test items were needed to decide, and how many."""
    if between.basis == COUNTED or gain.deviation is None:
        return INCONCLUSIVE, "the seeds disagree"
    if gain.deviation == 0 and between.basis != IMAGES:
        if margin == 0 and abs(gain.value) < statistics.TINY:
            return INCONCLUSIVE, "no difference with any seed"
        needed = next(n for n in range(2, 100) if power.smallest_p(n, family) < power.ALPHA)
        why = f"the same difference with every seed: without any spread it takes {needed} seeds to rule chance out"
        return (UNDERPOWERED if gain.n < needed else INCONCLUSIVE), why
    if margin == 0:
        return INCONCLUSIVE, "neither shown nor excluded"
    shared = between.shared if between.basis == BOTH else 0.0
    deviation = math.sqrt(max(0.0, gain.deviation**2 - shared * gain.n))
    chance = power.paired_power(margin, deviation, gain.n, family, shared, gain.degrees)
    if chance >= power.POWER:
        return (
            INCONCLUSIVE,
            f"neither shown nor excluded, though an effect of {margin:g} was found in {100 * chance:.0f} % of cases",
        )
    many = more_needed(between, margin, deviation, shared, family, item)
    why = f"an effect of {margin:g} is found in {100 * chance:.0f} % of cases; {many} would find it in 80 %"
    return UNDERPOWERED, why


def more_needed(between: Difference, margin: float, deviation: float, shared: float, family: int, item: str) -> str:
    """How many seeds or test items would find an effect, in words: items where no number of seeds would."""
    of = between.cluster or item
    if between.basis == IMAGES:
        return f"about {items_needed(margin, deviation, family)} {of}s"
    needed = power.seeds_needed(margin, deviation, family, shared)
    if needed is not None:
        return f"about {needed} seeds"
    if shared and between.images:
        alone = items_needed(margin, math.sqrt(shared * between.images.n), family)
        return f"more than {alone} {of}s, and no number of seeds with these,"
    return f"more than {power.MOST_SEEDS} seeds"


def items_needed(effect: float, deviation: float, family: int) -> int:
    """How many test items find an effect with 80 % power, by the normal distribution."""
    from scipy.special import ndtri

    quantiles = float(ndtri(1 - power.ALPHA / family / 2) + ndtri(power.POWER))
    return math.ceil((quantiles * deviation / effect) ** 2)


def overall(outcomes: Set[str]) -> str:
    """The outcome of a claim about several arms, by theirs."""
    if SUPPORTED in outcomes:
        return SUPPORTED
    if outcomes and outcomes <= {EQUIVALENT, REFUTED}:
        return EQUIVALENT if outcomes == {EQUIVALENT} else REFUTED
    return UNDERPOWERED if UNDERPOWERED in outcomes else INCONCLUSIVE
