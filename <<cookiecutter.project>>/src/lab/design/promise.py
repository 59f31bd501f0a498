"""What a design promises: the effect that its seeds decide, how many seeds an effect takes, and how sure that is.

All by the probability of the verdict itself (`power.supported_chance`), not of a significant difference alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.design import power

if TYPE_CHECKING:
    from lab.design.blocks import SeedRange
    from lab.design.models import Design
    from lab.design.preflight import Inputs


@dataclass(frozen=True)
class Spread:
    """How the differences of two arms spread.

    Attributes:
        deviation: over seeds, in the metric's unit.
        n: how many runs, or pairs of them, tell.
        whose: which, in words.
        shared: the variance that all seeds owe to the same test items; None where nobody knows.
    """

    deviation: float
    n: int
    whose: str
    shared: float | None = None


Foreseen = Callable[["SeedRange", float, float, float, int, float], tuple[float, float]]


def effect_of(design: Design, baseline: Sequence[float]) -> float:
    """The true effect that is planned for: expected minus measured or, where that is no more than min_effect, twice it.

    An effect of min_effect itself is SUPPORTED in half of the cases, with any number of seeds.
    """
    hypothesis = design.hypothesis
    assert hypothesis is not None
    known = hypothesis.expected is not None and bool(baseline)
    gap = abs((hypothesis.expected or 0.0) - sum(baseline) / len(baseline)) if known else 0.0
    return gap if gap > hypothesis.min_effect else 2 * hypothesis.min_effect


def seeds_message(n: int, comparisons: int) -> str:
    """What so many seeds can show at best."""
    if n == 1:
        return "one seed: it can't tell an effect from the luck of a seed, nor give an interval"
    arms = f" over {comparisons} arms by Holm" if comparisons > 1 else ""
    exact = f"{n} seeds: an exact paired test reaches p = {power.smallest_p(n, comparisons):.2g} at best{arms}"
    return (
        exact
        if power.smallest_p(n, comparisons) <= power.ALPHA
        else f"{exact}; the t-test can go below, if noise is normal"
    )


def spread_of(inputs: Inputs) -> Spread | None:
    """What is known of the noise before the design's own arms have run in pairs; None below two replicates."""
    noise, n = power.noise_floor(inputs.baseline), len(inputs.baseline)
    return None if noise is None else Spread(power.pair_deviation(noise), n, f"{n} runs of {inputs.replicates}")


def promise(design: Design, spread: Spread, inputs: Inputs, comparisons: int, time: str) -> tuple[bool, str]:
    """Whether the seeds decide the effect that is planned for, and in words: what they decide, and what it takes.

    `time` is how long all of them run, in words; empty where nobody knows.
    """
    hypothesis = design.hypothesis
    assert hypothesis is not None
    span = inputs.contract.metric(hypothesis.metric).span
    n, least, effect = len(design.seeds), hypothesis.min_effect, min(span, effect_of(design, inputs.baseline))
    smallest = power.supportable(least, spread.deviation, n, comparisons, spread.shared or 0.0)
    low, high = power.noise_range(spread.deviation, spread.n)
    needed, few, many = (
        power.supporting_seeds(effect, least, deviation, comparisons, spread.shared or 0.0)
        for deviation in (spread.deviation, low, high)
    )
    count = f"{n} seed{'' if n == 1 else 's'}" if design.growth is None else f"up to {n} seeds"
    parts = []
    if smallest is not None and smallest > span:
        parts.append(f"no effect that {hypothesis.metric} can have, {span:g} at most, is decided by {count}")
    elif smallest is not None:
        parts.append(
            f"{count}{time and f', about {time},'} decide an effect of {smallest:.2g} with {100 * power.POWER:.0f} %"
        )
    if effect == 0:
        parts.append("state hypothesis.min_effect or expected")
    elif needed is None:
        few_items = f" with these test {inputs.contract.item}s" if spread.shared else ""
        parts.append(f"no number of seeds{few_items} shows an effect of {effect:.2g}")
    else:
        ends = f"{few or needed} to {many or f'more than {power.MOST_SEEDS}'}"
        parts.append(f"an effect of {effect:.2g} takes {needed} seeds, or {ends} as the noise may be")
    parts.append(f"differences of {hypothesis.metric} spread by {spread.deviation:.2g}, as {spread.whose} have it")
    if spread.shared is None and inputs.contract.metric(hypothesis.metric).per_item:
        parts.append(f"what the test {inputs.contract.item}s make comes on top, and is known once two arms have run")
    if design.growth and effect:
        none, there = (
            inputs.foreseen(design.growth, true, spread.deviation, least, comparisons, spread.shared or 0.0)
            for true in (0.0, effect)
        )
        parts.append(
            f"an arm takes {none[0]:.1f} seeds on average where there is no effect, and {there[0]:.1f} where it is "
            f"{effect:.2g}, which is SUPPORTED in {100 * there[1]:.0f} %"
        )
    return needed is not None and needed <= n, "; ".join(parts)
