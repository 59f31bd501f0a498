"""What a study's records measured: each arm's mean over seeds, and the difference of two arms.

A difference is taken in pairs: over seeds by the paired t-test; over test items by the bootstrap, where the metric
follows from what was said of each item and DVC's cache has it. What is counted, such as a file's size, is what it is.
All three give an interval, a p value and a test of equivalence. A design about a recipe asks what it makes of any seed:
the seeds decide. One about models that are there is decided by the items. A spread over seeds that is below what one
test item makes is taken for as much, and a seed with which the very same was said counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis import per_item, statistics
from lab.analysis.statistics import EffectSize, Estimate
from lab.design.levels import Level
from lab.design.power import ALPHA

if TYPE_CHECKING:
    import pandas as pd

    from lab.study import Examples, Study

SEEDS, IMAGES, COUNTED = "seeds", "images", "counted"  # what a difference is decided by, as committed reports call it
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
        images: the difference over test items, where it is known.
        basis: SEEDS, IMAGES or COUNTED: which one decides.
        note: why the items don't, where they should.
    """

    metric: str
    arm: str
    versus: str | None
    values: dict[int, float]
    seeds: Estimate | None = None
    images: Estimate | None = None
    basis: str = SEEDS
    note: str = ""

    @property
    def estimate(self) -> Estimate | None:
        """The one that decides."""
        return self.images if self.basis == IMAGES else self.seeds


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
    """The seeds of an arm that have finished, and have no finite value of a metric that other runs have."""
    if not any(study.values(other, metric) for other in study.arms):
        return []
    finished = [replicate.seed for replicate in study.arms.get(arm, []) if replicate.finished]
    values = study.values(arm, metric)
    return [seed for seed in finished if seed not in values]


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
    if mean.low is None or mean.high is None:
        return mean
    known = study.metric(metric)
    low = mean.low if known.low is None else max(mean.low, known.low)
    high = mean.high if known.high is None else min(mean.high, known.high)
    return replace(mean, low=low, high=high)


def best_of(arms: Iterable[ArmResult], sign: int) -> ArmResult | None:
    """The arm with the best mean: the largest, or with `sign` -1 the smallest; None where none has finished."""
    means = [(sign * arm.mean.value, arm) for arm in arms if arm.mean]
    return max(means, key=lambda pair: pair[0])[1] if means else None


def over_seeds(study: Study, metric: str, values: dict[int, float], margin: float = 0.0) -> Estimate:
    """The mean over seeds of a metric, or of differences in it."""
    if study.metric(metric).exact:
        return statistics.counted([*values.values()], margin)
    return statistics.mean([*values.values()], margin, resolution(study, metric))


# Two arms


def difference(
    study: Study, arm: str, versus: str | None, metric: str, examples: Examples, margin: float = 0.0
) -> Difference:
    """The difference of two arms in a metric, over the seeds that both have, and over test items."""
    mine, theirs = study.values(arm, metric), _reference_values(study, arm, versus, metric)
    values = {seed: mine[seed] - theirs[seed] for seed in mine if seed in theirs}
    if is_scored(study, metric):
        again = repeated(study, [arm, versus], values)
        values = {seed: value for seed, value in values.items() if seed not in again}
    if not values:
        return Difference(metric, arm, versus, values)
    basis = COUNTED if study.metric(metric).exact else SEEDS
    by_seed = Difference(metric, arm, versus, values, over_seeds(study, metric, values, margin), basis=basis)
    items_decide = not study.contract.is_recipe(study.design.type)
    if not is_scored(study, metric) or not (items_decide or versus):
        return by_seed
    estimate, note = over_items(study, by_seed, theirs, examples, margin)
    if not items_decide:
        return replace(by_seed, images=estimate)
    return replace(by_seed, images=estimate, basis=IMAGES if estimate else SEEDS, note=note)


def _reference_values(study: Study, arm: str, versus: str | None, metric: str) -> dict[int, float]:
    """The metric by seed of the arm that another is measured against; without one, the expected value."""
    if versus is not None:
        return study.values(versus, metric)
    hypothesis = study.design.hypothesis
    assert hypothesis is not None and hypothesis.expected is not None
    return dict.fromkeys(study.values(arm, metric), hypothesis.expected)


def over_items(
    study: Study, by_seed: Difference, theirs: dict[int, float], examples: Examples, margin: float
) -> tuple[Estimate | None, str]:
    """The difference over test items, its seeds averaged; or None and why."""
    metric, item, predictions = by_seed.metric, study.contract.item, study.contract.predictions
    frames: dict[str | None, list[pd.DataFrame]] = {None: []}
    for arm in filter(None, (by_seed.arm, by_seed.versus)):
        frames[arm] = [examples.frames[arm, seed] for seed in by_seed.values if (arm, seed) in examples.frames]
        if len(frames[arm]) < len(by_seed.values):
            what = f"what was said of each test {item}"
            return None, f"{what} is not in DVC's cache here for {arm}: dvc pull brings it"
        recorded = study.values(arm, metric)
        for frame, seed in zip(frames[arm], by_seed.values, strict=True):
            if not agrees(frame, metric, recorded[seed], examples):
                return None, f"{metric} does not follow from the cached test {item}s of {arm}, seed {seed}"
    column = predictions.item if predictions else "path"
    scored = per_item.difference(frames[by_seed.arm], frames[by_seed.versus], metric, examples, column)
    assert scored is not None
    score, n = scored
    offset = 0.0 if by_seed.versus else next(iter(theirs.values()))
    return statistics.bootstrap(score, n, margin, offset), ""


def agrees(frame: pd.DataFrame, metric: str, recorded: float, examples: Examples) -> bool:
    """Whether the items give the metric that the record has."""
    import numpy as np

    score = examples.scorer(frame, metric)
    return score is not None and abs(float(score(np.ones((len(frame), 1)))[0]) - recorded) < SAME


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


# In words


def oriented(estimate: Estimate, sign: int) -> Estimate:
    """The estimate with its sign turned where less is better: positive is an improvement."""
    if sign > 0:
        return estimate
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return replace(estimate, value=-estimate.value, low=low, high=high)


def at_90(estimate: Estimate) -> Estimate | None:
    """The estimate with its 90 % interval: that lies within the margin where two one-sided tests at 5 % say so.

    None where the test of equivalence takes no spread. What is counted is what it is.
    """
    from scipy.special import stdtrit

    if estimate.deviation is None:
        return estimate if estimate.p_equivalent is not None and estimate.low is not None else None
    if estimate.n < 2 or not estimate.deviation:
        return None
    half = float(stdtrit(estimate.n - 1, 1 - ALPHA)) * estimate.deviation / math.sqrt(estimate.n)
    return replace(estimate, low=estimate.value - half, high=estimate.value + half)


def interval(estimate: Estimate) -> str:
    """` [+0.003, +0.021]`, or nothing where there is none, or none that can be read."""
    ends = [] if estimate.low is None or estimate.high is None else [f"{estimate.low:+.3g}", f"{estimate.high:+.3g}"]
    return f" [{', '.join(ends)}]" if len(set(ends)) > 1 else ""


def sentence(study: Study, between: Difference) -> str:
    """`new − old in evaluate.score: +0.02 [+0.01, +0.03] over 5 seeds`."""
    name = f"{between.arm} − {between.versus or 'expected'} in {between.metric}"
    estimate = between.estimate
    if estimate is None:
        finished = {replicate.arm for replicate in study.replicates if replicate.finished}
        both = between.arm in finished and between.versus in (None, *finished)
        return f"{name}: no pair of runs has {'measured it' if both else 'finished'}"
    noun = f"test {study.contract.item}" if between.basis == IMAGES else "seed"
    number = f"{estimate.n} {noun}{'' if estimate.n == 1 else 's'}"
    return f"{name}: {estimate.value:+.3g}{interval(estimate)} over {number}"
