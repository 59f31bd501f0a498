"""The verdict: what a design's hypothesis comes to, by its records. A pure function, the same on every clone.

**What is compared.** The hypothesis' arm with the one that it is measured against; where it names no arm, every arm, with
Holm's correction for their number. A design without a reference (a single one, most sweeps) is held against `expected`.

**By what.** A design of type train asks about a recipe: arms are compared in pairs over seeds, by the paired t-test. One
of type infer or quant asks about models that are there: they are compared in pairs over test images, by the bootstrap,
where the metric follows from what was said of each image and DVC's cache has it; else over seeds. What is counted, such
as a file's size, is what it is. All three give an interval, a p value and a test of equivalence. A spread over seeds that
is below what one test image makes is taken for as much, and a seed with which the very same was said counts once.

**What it comes to**, for an improvement in the hypothesis' direction and its `min_effect`:

    SUPPORTED      it is significant (p < 0.05 after Holm), and on the mean no smaller than min_effect
    EQUIVALENT     it is shown to lie within ±min_effect (two one-sided tests, p < 0.05)
    REFUTED        its 95 % interval ends below min_effect, or it is significantly worse; or a guardrail is broken
    UNDERPOWERED   none of these, and with so many seeds or images none was to be expected: the chance of finding
                   min_effect was below 80 %, or there is one seed, which knows no chance at all
    INCONCLUSIVE   none of these all the same; runs are still to come; or a guardrail can't be told
    INVALID        the runs did not do what the plan said: a stage used another config, or two arms that should differ
                   came out identical in every seed

Held against `expected`, SUPPORTED is to be significantly beyond it, and EQUIVALENT to be within min_effect of it. Of several
arms one that is supported is enough; all have to be equivalent, or refuted, for the design to be so.

A guardrail holds while its mean stays within the limit. It is broken when the whole interval is beyond, and can't be told
in between. Runs that failed are left out with their pair, and named. Runs that are still to come leave the verdict open: to
stop as soon as a p value pleases would find effects where there are none.

*Exploratory* is a verdict on a design that was not the same before the runs.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ..design import power
from ..design.models import AblationDesign, Level, label
from . import examples as images
from . import statistics
from .records import FAILED, FINISHED
from .statistics import Effect, EffectSize, Estimate

if TYPE_CHECKING:
    import pandas as pd

    from ..design.models import Guardrail
    from .examples import Examples
    from .records import Record
    from .study import Row, Study

SUPPORTED, REFUTED, EQUIVALENT = "SUPPORTED", "REFUTED", "EQUIVALENT"
INCONCLUSIVE, UNDERPOWERED, INVALID = "INCONCLUSIVE", "UNDERPOWERED", "INVALID"

SEEDS, IMAGES, COUNTED = "seeds", "images", "counted"  # what a difference is decided by
COUNTS = ("quant.size_mb", "quant.torch_size_mb")  # metrics that no seed and no image changes by chance
ONE_SEED = "one seed can't tell an effect from its own luck: there is no interval and no p value"
SAME = 1e-4  # by how much a metric and what the images say of it may differ: equal confidences have no order

OUTPUTS = {"train": "weights", "infer": "predictions", "quant": "predictions and size"}  # what no two arms share
# Settings that may leave a stage's output as it is: where and how fast, not what.
NEUTRAL = {
    "train": ("training.threads", "training.devices"),
    "infer": ("infer.device", "infer.batch_size", "infer.latency"),
    "quant": ("quant.threads", "quant.warmup", "quant.repeats", "quant.rounds"),
}


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


@dataclass(frozen=True)
class Guard:
    """A guardrail: by how much the arm may be higher (`max_increase`) or lower (`max_decrease`) than the reference.

    `ok` is False where the whole interval is beyond the limit, None where that can't be told. `sure` tells that the whole
    interval is within.
    """

    metric: str
    kind: str
    limit: float
    difference: Difference
    ok: bool | None
    sure: bool

    def __str__(self) -> str:
        state = {True: "holds", False: "is broken", None: "can't be told"}[self.ok]
        doubt = ", but not for certain" if self.ok and not self.sure else ""
        if self.difference.versus is None:
            return f"the guardrail {self.kind} {self.limit:g} of {self.metric} {state} without an arm to be measured against"
        return f"the guardrail {self.kind} {self.limit:g} {state}{doubt}: {self.difference}"


@dataclass(frozen=True)
class Comparison:
    """What the records say of one arm.

    Attributes:
        difference: to the arm that it is measured against, or to the expected value.
        claimed: whether the hypothesis is about this arm; the others are told for their own sake.
        p: of the difference, after Holm's correction over the claimed arms, or over the others; None without a test.
        effect: standardized, over the seeds.
        outcome: as for a verdict; never INVALID.
        because: why, in a sentence.
        guardrails: those of the hypothesis.
    """

    difference: Difference
    claimed: bool
    p: float | None
    effect: EffectSize | None
    outcome: str
    because: str
    guardrails: list[Guard] = field(default_factory=list)

    @property
    def arm(self) -> str:
        """The arm's name."""
        return self.difference.arm


@dataclass(frozen=True)
class Mark:
    """A value to be reached: the expected one, or a target of the design. `sure`: the whole interval is beyond it."""

    name: str
    value: float
    reached: bool
    sure: bool


@dataclass(frozen=True)
class Verdict:
    """What a design came to.

    Attributes:
        outcome: SUPPORTED, REFUTED, EQUIVALENT, INCONCLUSIVE, UNDERPOWERED or INVALID.
        exploratory: the design was not the same before the runs.
        complete: no run is still to come.
        metric, direction: what was asked for; no metric where nothing was measured.
        winner: the arm that the verdict supports, the best of them; None where it supports none.
        best: the arm with the best mean, whatever that is worth; None where nothing has finished.
        reasons: sentences for people.
        arms: every arm's results.
        comparisons: of every arm but the reference.
        effects: of a factorial ablation, the components' effects and how they depend on each other.
        expected: whether the hypothesis' expected value was reached, by its arm or the best one.
        targets: the design's, the easiest first, in the same way.
    """

    outcome: str
    exploratory: bool
    complete: bool
    metric: str | None
    direction: str
    winner: str | None
    best: str | None
    reasons: list[str]
    arms: list[ArmResult]
    comparisons: list[Comparison]
    effects: list[Effect]
    expected: Mark | None
    targets: list[Mark]

    @property
    def tier(self) -> str | None:
        """The highest target that was reached."""
        return next((mark.name for mark in reversed(self.targets) if mark.reached), None)

    @property
    def guardrails(self) -> list[Guard]:
        """The guardrails of the arms that the hypothesis is about."""
        return [guard for comparison in self.comparisons if comparison.claimed for guard in comparison.guardrails]


def judge(study: Study, examples: Examples | None = None, exploratory: bool = False) -> Verdict:
    """The verdict on a study.

    Args:
        study: the design and its records.
        examples: what was said of each test image, by arm and seed, as `examples.read` finds it.
        exploratory: git knows that the design was changed after its runs. What the records know of that is added.
    """
    hypothesis = study.design.hypothesis
    metric = next(iter(study.metrics), None)
    direction = hypothesis.direction if hypothesis else "maximize"
    sign = 1 if direction == "maximize" else -1
    arms = [arm_result(study, name, metric) for name in study.arms]
    best = best_of(arms, sign)
    comparisons = compare(study, metric, examples or {}) if metric else []
    faults = [*other_configs(study), *no_op_arms(study)]
    coming = [row for row in relevant(study) if row.status not in (FINISHED, FAILED)]
    outcome = INVALID if faults else INCONCLUSIVE if coming else overall([c for c in comparisons if c.claimed])
    supported = {each.arm for each in comparisons if each.claimed and each.outcome == SUPPORTED}
    winner = best_of((arm for arm in arms if arm.arm in supported), sign) if outcome == SUPPORTED else None
    exploratory = exploratory or changed(study)
    subject = next((arm for arm in arms if arm.arm == claimed_arm(study)), winner or best)
    marks = {"expected": hypothesis.expected} if hypothesis and hypothesis.expected is not None else {}
    targets = sorted(study.design.targets.items(), key=lambda item: sign * item[1])
    return Verdict(
        outcome=outcome,
        exploratory=exploratory,
        complete=all(row.status in (FINISHED, FAILED) for row in study.rows),
        metric=metric,
        direction=direction,
        winner=winner.arm if winner else None,
        best=best.arm if best else None,
        reasons=[*faults, *reasons(study, comparisons, coming, best, exploratory)],
        arms=arms,
        comparisons=comparisons,
        effects=factorial(study, metric),
        expected=next(reached(marks.items(), subject, sign), None),
        targets=list(reached(targets, subject, sign)),
    )


def arm_result(study: Study, arm: str, metric: str | None) -> ArmResult:
    """An arm's values and their mean, which is tested against nothing."""
    rows = study.arms[arm]
    values = measured(rows, metric)
    mean = replace(over_seeds(study, metric, values), p=None, p_equivalent=None) if metric and values else None
    return ArmResult(arm, dict(rows[0].levels), values, mean)


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
    finished = [row.record for row in study.rows if row.record and row.status == FINISHED]
    numbers = [record.value(f"{stage}.{of}") for record in finished for of in ("objects", "images")]
    return next((1 / number for number in numbers if number), 0.0)


def best_of(arms: Iterable[ArmResult], sign: int) -> ArmResult | None:
    """The arm with the best mean: the largest, or with `sign` -1 the smallest; None where none has finished."""
    found = [(sign * arm.mean.value, arm) for arm in arms if arm.mean]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def measured(rows: Iterable[Row], metric: str | None) -> dict[int, float]:
    """A metric of the finished runs by seed, where it is a number."""
    found = {row.seed: row.record.value(metric) for row in rows if metric and row.record and row.status == FINISHED}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def claimed_arm(study: Study) -> str | None:
    """The arm that the hypothesis names; None where it is about all."""
    hypothesis = study.design.hypothesis
    return label(hypothesis.arm) if hypothesis and hypothesis.arm is not None else None


def relevant(study: Study) -> list[Row]:
    """The runs that the claim depends on."""
    arm = claimed_arm(study)
    return [row for row in study.rows if arm is None or row.arm in (arm, study.reference)]


def changed(study: Study) -> bool:
    """Whether a run was made for another wording of the design than the one in its baseline."""
    blocks = [row.record.experiment for row in study.rows if row.record and not row.reused]
    return any(block.get("digest") not in (None, study.digest) for block in blocks)


# Comparisons


def compare(study: Study, metric: str, examples: Examples) -> list[Comparison]:
    """Every arm with the one that it is measured against, or with the expected value."""
    hypothesis, versus = study.design.hypothesis, study.reference
    expected = hypothesis.expected if hypothesis else None
    if versus is None and expected is None:
        return []
    margin = hypothesis.min_effect if hypothesis else 0.0
    others = [arm for arm in study.arms if arm != versus]
    found = [difference(study, arm, versus, metric, examples, margin) for arm in others]
    claim = claimed_arm(study)
    claimed = [hypothesis is not None and claim in (None, each.arm) for each in found]
    ps = corrected(found, claimed)
    return [
        comparison(study, each, is_claimed, p, claimed.count(is_claimed), examples)
        for each, is_claimed, p in zip(found, claimed, ps, strict=True)
    ]


def corrected(found: Sequence[Difference], claimed: Sequence[bool]) -> list[float | None]:
    """The p values after Holm, over the claimed arms and over the others, each a family of its own.

    An arm that couldn't be tested counts in its family, as if with p = 1.
    """
    raw = [each.estimate.p if each.estimate else None for each in found]
    result: list[float | None] = [None] * len(found)
    for family in (True, False):
        places = [i for i, is_claimed in enumerate(claimed) if is_claimed == family]
        ps = statistics.holm([1.0 if raw[i] is None else raw[i] for i in places])  # type: ignore[misc]
        for i, p in zip(places, ps, strict=True):
            result[i] = None if raw[i] is None else p
    return result


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
    return statistics.bootstrap(lambda weights: score(weights) - offset, n, margin), ""


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


def agrees(frame: pd.DataFrame, metric: str, recorded: float) -> bool:
    """Whether the images give the metric that the record has."""
    import numpy as np

    score = images.scorer(frame, metric)
    return score is not None and abs(float(score(np.ones((len(frame), 1)))[0]) - recorded) < SAME


def comparison(
    study: Study, found: Difference, claimed: bool, p: float | None, family: int, examples: Examples
) -> Comparison:
    """What a difference comes to, its guardrails included."""
    hypothesis = study.design.hypothesis
    effect = effect_over_seeds(study, found)
    if hypothesis is None:
        return Comparison(found, claimed, p, effect, INCONCLUSIVE, f"{found}; the design states no hypothesis")
    sign = 1 if hypothesis.direction == "maximize" else -1
    least = hypothesis.min_effect if found.versus is not None else 0.0
    outcome, why = decide(found, p, sign, least, hypothesis.min_effect, family)
    guards = [guard(study, found, rail, examples) for rail in hypothesis.guardrails]
    if outcome == SUPPORTED and any(each.ok is not True for each in guards):
        outcome = REFUTED if any(each.ok is False for each in guards) else INCONCLUSIVE
        why += ", but a guardrail is broken" if outcome == REFUTED else ", but a guardrail can't be told"
    tested = "" if p is None or found.basis == COUNTED else f", p = {p:.2g}"
    holm = f" after Holm over {family} arms" if tested and family > 1 else ""
    return Comparison(found, claimed, p, effect, outcome, f"{found}{tested}{holm}: {why}", guards)


def effect_over_seeds(study: Study, found: Difference) -> EffectSize | None:
    """The standardized difference; None with one seed, and for what is counted."""
    if found.metric in COUNTS or not found.values:
        return None
    return statistics.effect_size([*found.values.values()], resolution(study, found.metric))


def decide(found: Difference, p: float | None, sign: int, least: float, margin: float, family: int) -> tuple[str, str]:
    """The outcome for one arm, and why in words.

    Args:
        found: the difference.
        p: its p value, corrected.
        sign: 1 where more is better, else -1.
        least: the improvement that is asked for.
        margin: what counts as no difference.
        family: how many arms share the correction.
    """
    if found.estimate is None:
        return INCONCLUSIVE, "there is nothing to compare"
    gain = oriented(found.estimate, sign)
    significant = p is not None and p < power.ALPHA
    if significant and gain.value > 0 and gain.value >= least - statistics.TINY:
        return SUPPORTED, f"better, and on the mean by no less than {least:g}" if least else "better"
    if gain.p_equivalent is not None and gain.p_equivalent < power.ALPHA:
        limits = f"within ±{margin:g} (two one-sided tests, p = {gain.p_equivalent:.2g})" if margin else "no difference"
        return EQUIVALENT, limits
    if significant and gain.value < 0:
        return REFUTED, "worse"
    if gain.high is not None and gain.high < least:
        return REFUTED, f"an improvement of {least:g} is excluded" if least else "an improvement is excluded"
    if found.basis == SEEDS and gain.n == 1:
        return UNDERPOWERED, ONE_SEED
    return undecided(found, gain, margin, family)


def undecided(found: Difference, gain: Estimate, margin: float, family: int) -> tuple[str, str]:
    """Whether more seeds or images were needed to decide, and how many."""
    if found.basis == COUNTED or gain.deviation is None:
        return INCONCLUSIVE, "the seeds disagree"
    if gain.deviation == 0 and found.basis == SEEDS:
        if margin == 0 and abs(gain.value) < statistics.TINY:
            return INCONCLUSIVE, "no difference with any seed"
        needed = next(n for n in range(2, 100) if power.smallest_p(n, family) < power.ALPHA)
        why = f"the same difference with every seed: without any spread it takes {needed} seeds to rule chance out"
        return (UNDERPOWERED if gain.n < needed else INCONCLUSIVE), why
    if margin == 0:
        return INCONCLUSIVE, "neither shown nor excluded"
    chance = power.paired_power(margin, gain.deviation, gain.n, family)
    if chance >= power.POWER:
        return (
            INCONCLUSIVE,
            f"neither shown nor excluded, though an effect of {margin:g} was found in {chance:.0%} of cases",
        )
    if found.basis == IMAGES:
        needed = images_needed(margin, gain.deviation, family)
        many = f"about {needed} images"
    else:
        needed = power.seeds_needed(margin, gain.deviation, family)
        many = f"about {needed} seeds" if needed else f"more than {power.MOST_SEEDS} seeds"
    return UNDERPOWERED, f"an effect of {margin:g} is found in {chance:.0%} of cases; {many} would find it in 80 %"


def images_needed(effect: float, deviation: float, family: int) -> int:
    """How many test images find an effect with 80 % power, by the normal distribution."""
    from scipy.special import ndtri

    quantiles = float(ndtri(1 - power.ALPHA / family / 2) + ndtri(power.POWER))
    return math.ceil((quantiles * deviation / effect) ** 2)


def oriented(estimate: Estimate, sign: int) -> Estimate:
    """The estimate with its sign turned where less is better: positive is an improvement."""
    if sign > 0:
        return estimate
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return replace(estimate, value=-estimate.value, low=low, high=high)


def guard(study: Study, found: Difference, rail: Guardrail, examples: Examples) -> Guard:
    """Whether a guardrail holds for the arm of a comparison."""
    kind, limit = (
        ("max_increase", rail.max_increase) if rail.max_increase is not None else ("max_decrease", rail.max_decrease)
    )
    assert limit is not None
    if found.versus is None:  # nothing to be higher or lower than
        return Guard(rail.metric, kind, limit, Difference(rail.metric, found.arm, None, {}), None, False)
    other = difference(study, found.arm, found.versus, rail.metric, examples)
    if other.estimate is None:
        return Guard(rail.metric, kind, limit, other, None, False)
    worse = oriented(other.estimate, 1 if kind == "max_increase" else -1)
    beyond = worse.low is not None and worse.low > limit
    ok = True if worse.value <= limit else False if beyond else None
    return Guard(rail.metric, kind, limit, other, ok, worse.high is not None and worse.high <= limit)


def overall(claimed: Sequence[Comparison]) -> str:
    """The outcome of a claim about several arms."""
    outcomes = [each.outcome for each in claimed]
    if SUPPORTED in outcomes:
        return SUPPORTED
    if outcomes and set(outcomes) <= {EQUIVALENT, REFUTED}:
        return EQUIVALENT if set(outcomes) == {EQUIVALENT} else REFUTED
    return UNDERPOWERED if UNDERPOWERED in outcomes else INCONCLUSIVE


def factorial(study: Study, metric: str | None) -> list[Effect]:
    """The effects of a factorial ablation, once every arm has been measured; empty for all others."""
    design = study.design
    if not isinstance(design, AblationDesign) or design.ablation.method != "factorial" or metric is None:
        return []
    if not all(measured(rows, metric) for rows in study.arms.values()):
        return []
    found = [
        (dict(rows[0].levels), value, seed)
        for rows in study.arms.values()
        for seed, value in measured(rows, metric).items()
    ]
    levels, values, seeds = zip(*found, strict=True)
    return statistics.factorial_effects(levels, values, seeds)


def reached(marks: Iterable[tuple[str, float]], subject: ArmResult | None, sign: int) -> Iterator[Mark]:
    """Which values an arm's mean has reached."""
    if subject is None or subject.mean is None:
        return
    found = oriented(subject.mean, sign)
    for name, value in marks:
        yield Mark(name, value, found.value >= sign * value, found.low is not None and found.low >= sign * value)


# Runs that did something else than the plan said


def other_configs(study: Study) -> list[str]:
    """Stages that used another config than the plan's, a sentence each."""
    found = []
    for row in study.rows:
        if row.record is None or row.status != FINISHED:
            continue
        planned = flat(row.record.params)
        for stage, entry in row.record.effective.items():
            used = flat(entry.get("config") or {})
            wrong = [key for key, value in used.items() if key not in planned or planned[key] != value]
            if wrong:
                key = wrong[0]
                more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                found.append(
                    f"{row.arm}, seed {row.seed}: the stage {stage} used {key}={used[key]}, where the plan says "
                    f"{planned.get(key, 'nothing')}{more}"
                )
    return found


def no_op_arms(study: Study) -> list[str]:
    """Pairs of arms that told a stage something different and got the same from it with every seed, a sentence each."""
    found = []
    for stage, what in OUTPUTS.items():
        made: dict[int, dict[str, tuple[Any, Any]]] = defaultdict(dict)
        for row in study.rows:
            if row.record and row.status == FINISHED and stage in row.record.effective:
                made[row.seed][row.arm] = (output(row.record, stage), settings(row.record, stage))
        same = Counter(pair for arms in made.values() for pair in alike(arms))
        found += [
            f"no-op arm: {a} and {b} have identical {what}, though what the stage {stage} was told differs"
            for (a, b), times in same.items()
            if times == sum(a in arms and b in arms for arms in made.values())
        ]
    return found


def alike(arms: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, str]]:
    """Each two of the arms whose outputs are the same and whose settings are not."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for arm, (content, _) in arms.items():
        if content is not None:
            groups[content].append(arm)
    for group in groups.values():
        yield from ((a, b) for a, b in combinations(group, 2) if arms[a][1] != arms[b][1])


def output(record: Record, stage: str) -> Any:
    """What tells a stage's results apart; None where there are none."""
    path = "models/model.pt" if stage == "train" else f"results/{stage}/predictions.parquet"
    md5 = record.outputs.get(path, {}).get("md5")
    # A smaller network may predict exactly the same: that is what one hopes of a quantization.
    return (md5, record.value("quant.size_mb")) if md5 and stage == "quant" else md5


def settings(record: Record, stage: str) -> dict[str, Any]:
    """What a stage was told, but for what may leave its output as it is."""
    told = flat(record.effective[stage].get("config") or {})
    neutral = tuple(f"{key}." for key in NEUTRAL[stage])
    return {key: value for key, value in told.items() if not f"{key}.".startswith(neutral)}


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


# Words


def interval(estimate: Estimate) -> str:
    """` [+0.003, +0.021]`, or nothing where there is none."""
    return "" if estimate.low is None or estimate.high is None else f" [{estimate.low:+.3g}, {estimate.high:+.3g}]"


def reasons(
    study: Study, comparisons: Sequence[Comparison], coming: Sequence[Row], best: ArmResult | None, exploratory: bool
) -> Iterator[str]:
    """Why, and what else a reader should know."""
    if coming:
        yield f"{len(coming)} of the runs that decide are still to come: until then the verdict is open"
    if study.design.hypothesis is None:
        yield "the design states no hypothesis: there is nothing to support or refute"
    claimed = [each for each in comparisons if each.claimed]
    if study.design.hypothesis is not None and not claimed:
        yield "the hypothesis names neither an arm to be measured against nor an expected value"
    for each in claimed:
        yield each.because
        yield from map(str, each.guardrails)
        values = each.difference.values
        if each.difference.basis == IMAGES and min(values.values()) < 0 < max(values.values()):
            listed = ", ".join(f"{value:+.3g} with seed {seed}" for seed, value in values.items())
            yield f"{each.arm}: the models of the seeds don't agree ({listed}); the verdict is about their mean"
    yield from dict.fromkeys(each.difference.note for each in claimed if each.difference.note)
    yield from luck(claimed, best)
    failed = [f"{row.arm} with seed {row.seed}" for row in study.rows if row.status == FAILED]
    if failed:
        yield f"{len(failed)} of {len(study.rows)} runs failed and are left out, with their pairs: {', '.join(failed)}"
    finished = [row.record for row in study.rows if row.record and row.status == FINISHED]
    if finished and not any(record.effective for record in finished):
        yield "what the stages were run with is not recorded: nobody can tell whether they did what the plan says"
    if any(record.experiment.get("forced") for record in finished):
        yield "the runs were queued against the objections of the pre-flight (--force)"
    if exploratory:
        yield "exploratory: the design was not the same before the runs"


def luck(claimed: Sequence[Comparison], best: ArmResult | None) -> Iterator[str]:
    """What the best of several arms owes to having been picked."""
    if len(claimed) > 1 and best is not None and not any(each.outcome == SUPPORTED for each in claimed):
        yield (
            f"{best.arm} is the best of {len(claimed)}, but the best of so many equal ones looks "
            f"{statistics.luck_of_the_best(len(claimed)):.2f} standard deviations better than it is: "
            "run it again with fresh seeds before you believe it"
        )
