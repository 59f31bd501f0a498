"""What a study's records measured: each arm's mean over seeds, and the difference of two arms.

A difference is taken in pairs: over seeds by the paired t-test; over test images by the bootstrap, where the metric follows
from what was said of each image and DVC's cache has it. What is counted, such as a file's size, is what it is. All three
give an interval, a p value and a test of equivalence. A design of type train asks about a recipe: the seeds decide. One of
type infer or quant asks about models that are there: the images do. A spread over seeds that is below what one test image
makes is taken for as much, and a seed with which the very same was said counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis import per_image as images
from lab.analysis import statistics
from lab.analysis.statistics import EffectSize, Estimate
from lab.design.levels import Level
from lab.records.record import FINISHED

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.per_image import Examples
    from lab.records.study import Row, Study

SEEDS, IMAGES, COUNTED = "seeds", "images", "counted"  # what a difference is decided by
COUNTS = ("quant.size_mb", "quant.torch_size_mb")  # metrics that no seed and no image changes by chance
NEVER_BELOW_0 = ("latency", "seconds", "size", "speedup", "throughput")
BUSY = 0.1  # the share of a machine's CPUs from which on other programs' work is told
SAME = 1e-4  # by how much a metric and what the images say of it may differ: equal confidences have no order


@dataclass(frozen=True)
class ArmResult:
    """What an arm's finished runs measured: the metric by seed, and its mean over them. None where none has finished."""

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
        images: the difference over test images, where it is known.
        basis: SEEDS, IMAGES or COUNTED: which one decides.
        note: why the images don't, where they should.
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

    def __str__(self) -> str:
        name = f"{self.arm} − {self.versus or 'expected'} in {self.metric}"
        found = self.estimate
        if found is None:
            return f"{name}: no pair of runs has finished"
        counts = {SEEDS: "seed", IMAGES: "test image", COUNTED: "seed"}
        number = f"{found.n} {counts[self.basis]}{'' if found.n == 1 else 's'}"
        return f"{name}: {found.value:+.3g}{interval(found)} over {number}"


def measured(rows: Iterable[Row], metric: str | None) -> dict[int, float]:
    """A metric of the finished runs by seed, where it is a number."""
    found = {row.seed: row.record.value(metric) for row in rows if metric and row.record and row.status == FINISHED}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def unmeasured(study: Study, arm: str, metric: str) -> list[int]:
    """The seeds of an arm that have finished, and have no finite value of a metric that other runs have."""
    if not any(measured(rows, metric) for rows in study.arms.values()):
        return []
    finished = [row.seed for row in study.arms.get(arm, []) if row.status == FINISHED]
    return [seed for seed in finished if seed not in measured(study.arms[arm], metric)]


def disturbed(study: Study, metric: str) -> str:
    """Whether other programs kept the machine busy while a speed was measured; empty where it was left alone."""
    finished = [row for row in study.rows if row.status == FINISHED]
    shares = [row.value(f"{metric.partition('.')[0]}.measured.busy") or 0.0 for row in finished]
    busy = [share for share in shares if share > BUSY]
    if not busy:
        return ""
    return (
        f"{len(busy)} of {len(finished)} runs measured {metric} while other programs, such as another run, took up to "
        f"{100 * max(busy):.0f} % of the machine's CPUs: alone a model is faster"
    )


def arm_result(study: Study, arm: str, metric: str | None) -> ArmResult:
    """An arm's values and their mean, which is tested against nothing."""
    rows = study.arms[arm]
    values = measured(rows, metric)
    mean = arm_mean(study, metric, replicates(study, arm, metric)) if metric and values else None
    return ArmResult(arm, dict(rows[0].levels), values, mean)


def replicates(study: Study, arm: str, metric: str) -> dict[int, float]:
    """A metric of an arm by seed, each model once: the champion, say, is the same one with every seed."""
    values = measured(study.arms[arm], metric)
    again = repeated(study, [arm], values) if images.is_scored(metric) else []
    return {seed: value for seed, value in values.items() if seed not in again}


def arm_mean(study: Study, metric: str, values: dict[int, float]) -> Estimate:
    """The mean over an arm's seeds, tested against nothing.

    The interval ends where a metric does: a share's at 0 and 1, a time's or a size's at 0. So it covers as often.
    """
    found = replace(over_seeds(study, metric, values), p=None, p_equivalent=None)
    if found.low is None or found.high is None:
        return found
    if images.is_scored(metric):
        return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))
    return replace(found, low=max(found.low, 0.0)) if any(part in metric for part in NEVER_BELOW_0) else found


def best_of(arms: Iterable[ArmResult], sign: int) -> ArmResult | None:
    """The arm with the best mean: the largest, or with `sign` -1 the smallest; None where none has finished."""
    found = [(sign * arm.mean.value, arm) for arm in arms if arm.mean]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def over_seeds(study: Study, metric: str, values: dict[int, float], margin: float = 0.0) -> Estimate:
    """The mean over seeds of a metric, or of differences in it."""
    if metric in COUNTS:
        return statistics.counted([*values.values()], margin)
    return statistics.mean([*values.values()], margin, resolution(study, metric))


def resolution(study: Study, metric: str) -> float:
    """By how much one test image, or one object in them, moves a metric; 0 where that is not known."""
    stage = metric.partition(".")[0]
    if not images.is_scored(metric) and not metric.startswith("quant.drop."):
        return 0.0
    finished = study.finished
    numbers = [record.value(f"{stage}.{of}") for record in finished for of in ("objects", "images")]
    return next((1 / number for number in numbers if number), 0.0)


def difference(
    study: Study, arm: str, versus: str | None, metric: str, examples: Examples, margin: float = 0.0
) -> Difference:
    """The difference of two arms in a metric, over the seeds that both have, and over test images."""
    hypothesis = study.design.hypothesis
    mine = measured(study.arms[arm], metric)
    if versus is None:
        assert hypothesis is not None and hypothesis.expected is not None
        theirs = dict.fromkeys(mine, hypothesis.expected)
    else:
        theirs = measured(study.arms.get(versus, []), metric)
    values = {seed: mine[seed] - theirs[seed] for seed in mine if seed in theirs}
    if images.is_scored(metric):
        again = repeated(study, [arm, versus], values)
        values = {seed: value for seed, value in values.items() if seed not in again}
    result = Difference(metric, arm, versus, values)
    if not values:
        return result
    result = replace(
        result, seeds=over_seeds(study, metric, values, margin), basis=COUNTED if metric in COUNTS else SEEDS
    )
    asked = study.design.type != "train"
    if not images.is_scored(metric) or not (asked or versus):
        return result
    estimate, note = over_images(study, result, theirs, examples, margin)
    return replace(result, images=estimate, basis=IMAGES if asked and estimate else SEEDS, note=note if asked else "")


def over_images(
    study: Study, found: Difference, theirs: dict[int, float], examples: Examples, margin: float
) -> tuple[Estimate | None, str]:
    """The difference over test images, its seeds averaged; or None and why."""
    frames: dict[str | None, list[pd.DataFrame]] = {None: []}
    for arm in filter(None, (found.arm, found.versus)):
        frames[arm] = [examples[arm, seed] for seed in found.values if (arm, seed) in examples]
        if len(frames[arm]) < len(found.values):
            return None, f"what was said of each test image is not in DVC's cache here for {arm}: dvc pull brings it"
        recorded = measured(study.arms[arm], found.metric)
        for frame, seed in zip(frames[arm], found.values, strict=True):
            if not agrees(frame, found.metric, recorded[seed]):
                return None, f"{found.metric} does not follow from the cached test images of {arm}, seed {seed}"
    scored = images.difference(frames[found.arm], frames[found.versus], found.metric)
    assert scored is not None
    score, n = scored
    offset = 0.0 if found.versus else next(iter(theirs.values()))
    return statistics.bootstrap(score, n, margin, offset), ""


def agrees(frame: pd.DataFrame, metric: str, recorded: float) -> bool:
    """Whether the images give the metric that the record has."""
    import numpy as np

    score = images.scorer(frame, metric)
    return score is not None and abs(float(score(np.ones((len(frame), 1)))[0]) - recorded) < SAME


def repeated(study: Study, arms: Sequence[str | None], seeds: Iterable[int]) -> list[int]:
    """The seeds with which the arms said the very same as with one before: the same models once more, and no replicates."""
    path = f"results/{study.design.target}/predictions.parquet"
    seen: set[tuple[str, ...]] = set()
    again = []
    for seed in seeds:
        records = [row.record for row in study.rows if row.arm in arms and row.seed == seed and row.record]
        said = tuple(record.outputs.get(path, {}).get("md5", "") for record in records)
        if said in seen:
            again.append(seed)
        if all(said):
            seen.add(said)
    return again


def effect_over_seeds(study: Study, found: Difference) -> EffectSize | None:
    """The standardized difference; None with one seed, and for what is counted."""
    if found.metric in COUNTS or not found.values:
        return None
    return statistics.effect_size([*found.values.values()], resolution(study, found.metric))


def oriented(estimate: Estimate, sign: int) -> Estimate:
    """The estimate with its sign turned where less is better: positive is an improvement."""
    if sign > 0:
        return estimate
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return replace(estimate, value=-estimate.value, low=low, high=high)


def interval(estimate: Estimate) -> str:
    """` [+0.003, +0.021]`, or nothing where there is none, or none that can be read."""
    ends = [] if estimate.low is None or estimate.high is None else [f"{estimate.low:+.3g}", f"{estimate.high:+.3g}"]
    return f" [{', '.join(ends)}]" if len(set(ends)) > 1 else ""
