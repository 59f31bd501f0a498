"""Which arms take another seed, where a design says `seeds: {from, to}`: those whose question is open and has hope.

An arm's question is decided where its comparison is SUPPORTED, REFUTED or EQUIVALENT by the boundaries of its look. It
is past hope where, by what was seen so far, the claim is shown with the last seed in less than 5 % of cases, and
neither are its contrary or equivalence likely (stochastic curtailment by the predictive distribution: Spiegelhalter,
Freedman and Blackburn, Controlled Clinical Trials 7, 1986). To stop without hope raises no error: boundaries hold
whatever makes one stop.

The records of a design tell how far it has come, so that it is taken up where it was, on any clone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lab.analysis.comparisons import claimed_sign, failed
from lab.analysis.decisions import EQUIVALENT, INVALID, REFUTED, SUPPORTED
from lab.analysis.estimates import BOTH, SEEDS
from lab.analysis.looks import Look, at
from lab.design.models import digest
from lab.design.power import ALPHA

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison
    from lab.analysis.estimates import Difference
    from lab.analysis.verdict import Verdict
    from lab.design.models import Design
    from lab.study import Study

HOPE = 0.05  # of SUPPORTED with the last seed, below which only another answer makes an arm go on
LIKELY = 0.8  # how probable that one has to be


def asked_before(design: Design, records: Iterable[Any]) -> dict[str, int]:
    """How many seeds the arms have been asked for, by the design's own records, whatever came of them."""
    asked: dict[str, int] = {}
    places = {seed: place for place, seed in enumerate(design.seeds, start=1)}
    for block in (record.experiment for record in records):
        if block.get("digest") == digest(design) and block.get("seed") in places:
            asked[block["arm"]] = max(asked.get(block["arm"], design.first_seeds), places[block["seed"]])
    return asked


def grown(
    asked: Mapping[str, int], study_of: Callable[[Mapping[str, int]], Study], more: Callable[[Study], dict[str, int]]
) -> dict[str, int]:
    """How many seeds each arm is asked for: as many as before, or at the next look, until runs are open or none grows.

    The arm that the others are measured against has as many as any: its runs may be another design's, and be in no
    record of this one.

    Args:
        asked: how many they have been asked for; left out, as many as at first.
        study_of: the study with so many seeds.
        more: what comes next (`next_asked`).
    """
    while True:
        study = study_of(asked)
        now = {arm: len(replicates) for arm, replicates in study.arms.items()}
        if study.reference in now and now[study.reference] < max(now.values()):
            asked = now | {study.reference: max(now.values())}
            continue
        if not all(replicate.is_over for replicate in study.replicates) or (then := more(study)) == now:
            return now
        asked = then


def next_asked(study: Study, judged: Verdict) -> dict[str, int]:
    """How many seeds each arm is asked for at the next look; as many as now where nothing grows.

    Of the arm that the others are measured against `grown` asks for as many as any has.
    """
    asked = {arm: len(replicates) for arm, replicates in study.arms.items()}
    if judged.outcome == INVALID:
        return asked
    for comparison in judged.comparisons:
        if not stopped(study, comparison, claimed(judged.comparisons)):
            asked[comparison.arm] += 1
    return asked


def claimed(comparisons: Iterable[Comparison]) -> int:
    """How many arms the hypothesis is about, which share the error."""
    return sum(each.claimed for each in comparisons)


def stopped(study: Study, comparison: Comparison, family: int) -> str:
    """Why an arm, one of a `family` that shares the error, takes no further seed; empty where it takes one."""
    between, look = comparison.difference, at(study, comparison.arm)
    if look is None or not comparison.claimed:
        return "its seeds are fixed"
    if comparison.outcome in (SUPPORTED, REFUTED, EQUIVALENT):
        return f"decided at {look}, after {look.now} of up to {look.last} seeds"
    if look.now == look.last:
        return f"open at the last look, after all {look.last} seeds"
    if lost := failed(study, [between.arm, between.versus]):
        return f"at {look}; no seed is added before what failed is mended: {lost}"
    if between.seeds is None or between.basis not in (SEEDS, BOTH):
        return f"at {look}; more seeds don't tell more"
    shown, otherwise = prospects(study, between, look, family)
    if shown >= HOPE or otherwise >= LIKELY:
        return ""
    return (
        f"past hope at {look}: with all {look.last} seeds the claim would be shown in {100 * shown:.0f} % of cases, "
        f"and excluded, or the difference shown to be too small to count, in {100 * otherwise:.0f} %"
    )


def prospects(study: Study, between: Difference, look: Look, family: int) -> tuple[float, float]:
    """How probable SUPPORTED is with the last seed, by what was seen, and the likelier of REFUTED and EQUIVALENT.

    Of a recipe whose items are known, no further seed changes what it owes to them.
    """
    hypothesis, seeds = study.design.hypothesis, between.seeds
    assert hypothesis is not None and seeds is not None
    n, spread = len(between.values), seeds.deviation
    last = look.last - (look.now - n)  # without the pairs that are lost
    if not spread or last <= n:
        return 1.0, 0.0  # nobody knows
    gain, shared = claimed_sign(study) * seeds.value, between.shared if between.basis == BOTH else 0.0
    end = Look(look.first, look.last, look.last)
    shown, otherwise = foreseen(gain, spread, n, last, hypothesis.min_effect, end, family, shared)
    return float(shown), float(otherwise)


def foreseen(
    gain: Any, spread: Any, n: int, last: int, least: float, end: Look, family: int = 1, shared: float = 0.0
) -> tuple[Any, Any]:
    """The same of numbers, or of arrays of them.

    Args:
        gain, spread: the mean improvement over `n` seeds, and the standard deviation of one seed's.
        last: how many seeds there are at the `end`, the last look.
        least: the improvement that is asked for.
        family: how many arms share the error.
        shared: the variance that all seeds owe to the same items.
    """
    import numpy as np
    from scipy.special import stdtr, stdtrit

    variance = spread**2 / last + shared
    degrees = (last - 1) * (variance / (spread**2 / last)) ** 2
    error, ahead = np.sqrt(variance), spread * math.sqrt(1 / n - 1 / last)

    def reach(alpha: float) -> Any:
        """How far from a value an estimate has to be at the last look."""
        return stdtrit(degrees, 1 - end.level(alpha)) * error

    def below(value: Any) -> Any:
        """How probable a gain below it is at the last look."""
        return stdtr(n - 1, (value - gain) / ahead)

    half = np.maximum(least - reach(ALPHA), 0)
    alike, excluded = below(half) - below(-half), below(least - reach(ALPHA / 2))
    return 1 - below(np.maximum(least, reach(ALPHA / 2 / family))), np.maximum(alike, excluded)
