"""What a study's records measured: each arm's mean over seeds, and the difference of two arms.

A difference is taken in pairs: over seeds by the paired t-test; over test items by the bootstrap, where the metric
follows from what was said of each item and DVC's cache has it. What is counted, such as a file's size, is what it is.
All give an interval, a p value and a test of equivalence. A design about a recipe asks what it makes of any seed and is
worth on any items: both are in one variance, or where nobody knows what was said of the items, the seeds alone. One
about models that are there is decided by the items. A spread over seeds that is below what one test item makes is taken
for as much, and a seed with which the very same was said counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis import bounded, looks, per_item, resampling, statistics
from lab.analysis.folds import overlap
from lab.analysis.statistics import EffectSize, Estimate
from lab.design.levels import Level
from lab.design.power import ALPHA
from lab.study import FINISHED, UNMEASURED

if TYPE_CHECKING:
    import pandas as pd

    from lab.study import Examples, Study

# What a difference is decided by, as committed reports call it.
SEEDS, IMAGES, BOTH, COUNTED = "seeds", "images", "seeds and images", "counted"
BUSY = 0.1  # the share of a machine's CPUs from which on other programs' work is told
SAME = 1e-4  # by how much a metric and what the items say of it may differ: equal confidences have no order


@dataclass(frozen=True)
class ArmResult:
    """What an arm's finished runs measured: the metric by seed, its mean over them; None where none has finished."""

    arm: str
    levels: dict[str, Level]
    values: dict[int, float]
    mean: Estimate | None


@dataclass(frozen=True)
class Difference:
    """An arm minus another, or minus the expected value (`versus` is None), in a metric's unit.

    Attributes:
        metric, arm, versus: what of whom.
        values: the difference by seed, of the seeds that both have.
        seeds: their mean; None without any.
        images: the difference over test items, or over clusters of them, where it is known.
        both: that over seeds and items, of a recipe.
        shared: the variance that all seeds owe to having been measured on the same items.
        cluster: the column of items that count as one; empty where each counts.
        basis: SEEDS, IMAGES, BOTH or COUNTED: which one decides.
        note: why the items don't, where they should.
        effect: the factors of an effect (`analysis.effects`), which all arms measure: `arm` is what it is called.
        mixed: what an effect can't be told from by these arms, so that a claim about it stays undecided.
        assumed: what it can't be told from either, and is taken for nought.
    """

    metric: str
    arm: str
    versus: str | None
    values: dict[int, float]
    seeds: Estimate | None = None
    images: Estimate | None = None
    both: Estimate | None = None
    shared: float = 0.0
    cluster: str = ""
    basis: str = SEEDS
    note: str = ""
    effect: tuple[str, ...] = ()
    mixed: str = ""
    assumed: str = ""

    def each(self, change: Callable[[Estimate], Estimate]) -> Difference:
        """The same with every estimate changed."""
        seeds, images, both = (known and change(known) for known in (self.seeds, self.images, self.both))
        return replace(self, seeds=seeds, images=images, both=both)

    @property
    def estimate(self) -> Estimate | None:
        """The one that decides."""
        return {IMAGES: self.images, BOTH: self.both}.get(self.basis, self.seeds)


# One metric


def is_scored(study: Study, metric: str) -> bool:
    """Whether a metric follows from what was said of each test item."""
    return study.metric(metric).per_item is not None


def resolution(study: Study, metric: str) -> float:
    """By how much one test item, or one object in them, moves a metric; 0 where that is not known."""
    sources = study.metric(metric).counted_over
    numbers = (record.value(source) for record in study.finished for source in sources)
    return next((1 / number for number in numbers if number), 0.0)


def unmeasured(study: Study, arm: str, metric: str) -> list[int]:
    """The seeds of an arm that came to their end, and have no finite value of a metric that other runs have."""
    if not any(study.values(other, metric) for other in study.arms):
        return []
    ended = [each.seed for each in study.arms.get(arm, []) if each.status in (FINISHED, UNMEASURED)]
    values = study.values(arm, metric)
    return [seed for seed in ended if seed not in values]


def disturbed(study: Study, metric: str) -> str:
    """Whether other programs kept the machine busy while a speed was measured; empty where it was left alone."""
    source = study.metric(metric).busy
    shares = [record.value(source) or 0.0 for record in study.finished] if source else []
    busy = [share for share in shares if share > BUSY]
    if not busy:
        return ""
    return (
        f"{len(busy)} of {len(shares)} runs measured {metric} while other programs, such as another run, took up to "
        f"{100 * max(busy):.0f} % of the machine's CPUs: alone a model is faster"
    )


# One arm


def arm_result(study: Study, arm: str, metric: str | None) -> ArmResult:
    """An arm's values and their mean, which is tested against nothing."""
    values = study.values(arm, metric)
    mean = arm_mean(study, metric, independent_values(study, arm, metric)) if metric and values else None
    return ArmResult(arm, dict(study.arms[arm][0].levels), values, mean)


def independent_values(study: Study, arm: str, metric: str) -> dict[int, float]:
    """A metric of an arm by seed, each model once: the champion, say, is the same one with every seed."""
    values = study.values(arm, metric)
    again = repeated(study, [arm], values) if is_scored(study, metric) else []
    return {seed: value for seed, value in values.items() if seed not in again}


def arm_mean(study: Study, metric: str, values: dict[int, float]) -> Estimate:
    """The mean over an arm's seeds, tested against nothing.

    The interval ends where a metric does: a share's at 0 and 1, a time's or a size's at 0. So it covers as often.
    """
    mean = replace(over_seeds(study, metric, values), p=None, p_equivalent=None)
    known = study.metric(metric)
    return bounded.within(mean, known.low, known.high)


def best_of(arms: Iterable[ArmResult], sign: int) -> ArmResult | None:
    """The arm with the best mean: the largest, or with `sign` -1 the smallest; None where none has finished."""
    means = [(sign * arm.mean.value, arm) for arm in arms if arm.mean]
    return max(means, key=lambda pair: pair[0])[1] if means else None


def over_seeds(study: Study, metric: str, values: dict[int, float], margin: float = 0.0) -> Estimate:
    """The mean over seeds of a metric, or of differences in it."""
    if study.metric(metric).exact:
        return statistics.counted([*values.values()], margin)
    return statistics.mean([*values.values()], margin, resolution(study, metric), overlap(study, values))


# Two arms


def mean_change(study: Study, metric: str, changes: dict[int, float]) -> Estimate:
    """The mean over seeds of differences in a metric; its interval ends at the largest that there can be."""
    return bounded.change(over_seeds(study, metric, changes), study.metric(metric))


def difference(
    study: Study, arm: str, versus: str | None, metric: str, examples: Examples, margin: float = 0.0
) -> Difference:
    """The difference of two arms in a metric, over the seeds that both have, and over test items.

    Intervals end at the largest difference that the metric can have, which changes no decision.
    """
    mine, theirs = study.values(arm, metric), _reference_values(study, arm, versus, metric)
    values = {seed: mine[seed] - theirs[seed] for seed in mine if seed in theirs}
    if is_scored(study, metric):
        again = repeated(study, [arm, versus], values)
        values = {seed: value for seed, value in values.items() if seed not in again}
    if not values:
        return Difference(metric, arm, versus, values)
    basis = COUNTED if study.metric(metric).exact else SEEDS
    between = Difference(metric, arm, versus, values, over_seeds(study, metric, values, margin), basis=basis)
    if is_scored(study, metric):
        between = with_items(study, between, theirs, examples, margin)
    if versus is None and basis != COUNTED and between.basis != IMAGES:
        between = against_constant(study, between, next(iter(theirs.values())), margin)
    look = looks.at(study, arm, versus) if versus is not None and basis != COUNTED else None
    known, expected = study.metric(metric), next(iter(theirs.values()))

    def told(estimate: Estimate) -> Estimate:
        if versus is not None:
            return bounded.change(look.adjusted(estimate) if look else estimate, known, margin)
        low, high = (end if end is None else end - expected for end in (known.low, known.high))
        return bounded.within(estimate, low and min(low, 0.0), high and max(high, 0.0))

    return between.each(told)


def _reference_values(study: Study, arm: str, versus: str | None, metric: str) -> dict[int, float]:
    """The metric by seed of the arm that another is measured against; without one, the expected value."""
    if versus is not None:
        return study.values(versus, metric)
    hypothesis = study.design.hypothesis
    assert hypothesis is not None and hypothesis.expected is not None
    return dict.fromkeys(study.values(arm, metric), hypothesis.expected)


def with_items(
    study: Study, between: Difference, theirs: dict[int, float], examples: Examples, margin: float
) -> Difference:
    """The difference with what test items make of it, of a metric that follows from them."""
    is_recipe = study.contract.is_recipe(study.design.type)
    frames, note = items(study, between, examples)
    cluster = per_item.cluster(study.contract.predictions, [frame for side in frames for frame in side])
    column = cluster or study.contract.predictions.item if study.contract.predictions else "path"
    scored = None if note else per_item.by_seed(*frames, between.metric, examples, column)
    if scored and scored[1] < 2:
        note = f"all test {study.contract.item}s are of one {column}, which tells nothing of another"
    if scored is None or note:
        unknown = f"the luck of the test {study.contract.item}s is not in the interval: {note}"
        return replace(between, note=note if not is_recipe else unknown if len(between.values) > 1 else "")
    score, n = scored
    drawn = resampling.resampled(score, n)
    offset = 0.0 if between.versus else next(iter(theirs.values()))
    images = resampling.bootstrap(lambda weights: score(weights).mean(0), n, margin, offset, drawn=drawn.mean(0))
    between = replace(between, images=images, cluster=cluster)
    if not is_recipe:
        return replace(between, basis=IMAGES)
    if len(between.values) < 2:
        return between
    shared = resampling.shared_variance(drawn, n)
    step, common = resolution(study, between.metric), overlap(study, between.values)
    both = resampling.over_both([*between.values.values()], shared, margin, step, common)
    return replace(between, both=both, shared=shared, basis=BOTH)


def against_constant(study: Study, between: Difference, constant: float, margin: float) -> Difference:
    """The difference to a constant, whose metric may be near its ends, and whose seeds share the luck of their items.

    Where nobody knows what was said of the items, the seeds may have in common all that so many items can make; where
    it is known, no less than half an item makes: if all seeds have all items right, another item may still be wrong.
    """
    values, step = [*between.values.values()], resolution(study, between.metric)
    if len(values) < 2:
        return between
    known = study.metric(between.metric)
    scale = bounded.Scale(known.low, known.high, step)
    worst = known.high if between.basis == BOTH else constant + sum(values) / len(values)
    shared = max(between.shared, scale.share_variance(worst or 0.0))
    alone = resampling.over_both(values, shared, margin, step, overlap(study, between.values))
    estimate = bounded.against(alone, constant, scale, margin)
    return replace(between, both=estimate) if between.basis == BOTH else replace(between, seeds=estimate)


def items(
    study: Study, between: Difference, examples: Examples
) -> tuple[tuple[list[pd.DataFrame], list[pd.DataFrame]], str]:
    """The tables of what was said of each test item, by seed: of the arm, and of what it is measured against.

    Empty with a sentence why, where they are not here or don't give what the records have.
    """
    metric, item = between.metric, study.contract.item
    found: dict[str | None, list[pd.DataFrame]] = {None: []}
    for arm in filter(None, (between.arm, between.versus)):
        found[arm] = [examples.frames[arm, seed] for seed in between.values if (arm, seed) in examples.frames]
        if len(found[arm]) < len(between.values):
            whose = "for every run" if study.contract.is_recipe(study.design.type) else f"for {arm}"
            return ([], []), f"what was said of each test {item} is not in DVC's cache here {whose}: dvc pull brings it"
        recorded = study.values(arm, metric)
        for frame, seed in zip(found[arm], between.values, strict=True):
            if wrong := contradiction(study, metric, (arm, seed, recorded[seed]), frame, examples):
                return ([], []), wrong
    return (found[between.arm], found[between.versus]), ""


def contradiction(
    study: Study, metric: str, measured: tuple[str, int, float], frame: pd.DataFrame, examples: Examples
) -> str:
    """Why the items don't give the metric that was `measured` of an arm with a seed; empty where they do."""
    import numpy as np

    arm, seed, recorded = measured
    scorer = examples.scorer(frame, metric)
    given = None if scorer is None else float(scorer(np.ones((len(frame), 1)))[0])
    if given is not None and abs(given - recorded) < SAME:
        return ""
    numbers = "" if given is None else f": they give {given:.4g}, and its run says {recorded:.4g}"
    return f"{metric} does not follow from the test {study.contract.item}s of {arm}, seed {seed}{numbers}"


def repeated(study: Study, arms: Sequence[str | None], seeds: Iterable[int]) -> list[int]:
    """The seeds with which the arms said the very same as with one before: the same models again, and no replicates."""
    path = study.contract.predictions_path(study.stage) or ""
    seen: set[tuple[str, ...]] = set()
    again = []
    for seed in seeds:
        records = [each.record for each in study.replicates if each.arm in arms and each.seed == seed and each.record]
        hashes = tuple(record.outputs.get(path, {}).get("md5", "") for record in records)
        if hashes in seen:
            again.append(seed)
        if all(hashes):
            seen.add(hashes)
    return again


def effect_over_seeds(study: Study, between: Difference) -> EffectSize | None:
    """The standardized difference; None with one seed, and for what is counted."""
    if study.metric(between.metric).exact or not between.values:
        return None
    return statistics.effect_size([*between.values.values()], resolution(study, between.metric))


def oriented(estimate: Estimate, sign: int) -> Estimate:
    """The estimate with its sign turned where less is better: positive is an improvement."""
    if sign > 0:
        return estimate
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return replace(estimate, value=-estimate.value, low=low, high=high)


def at_90(estimate: Estimate, look: looks.Look | None = None) -> Estimate | None:
    """The estimate with its 90 % interval: that lies within the margin where two one-sided tests at 5 % say so.

    As wide as its look has it, where that is one of several. None where the test of equivalence takes no spread. What
    is counted is what it is.
    """
    from scipy.special import stdtrit

    if estimate.deviation is None:
        return estimate if estimate.p_equivalent is not None and estimate.low is not None else None
    if estimate.n < 2 or not estimate.deviation:
        return None
    tail = look.level(ALPHA) if look else ALPHA
    half = float(stdtrit(estimate.degrees or estimate.n - 1, 1 - tail)) * estimate.deviation / math.sqrt(estimate.n)
    return replace(estimate, low=estimate.value - half, high=estimate.value + half)
