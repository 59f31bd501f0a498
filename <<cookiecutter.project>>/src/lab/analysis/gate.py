"""What speaks against a run that would become the champion, as far as the numbers alone tell: it is not shown to be
better, by the level that is left to it; luck, runs that failed, and hidden losses.

`lab.review.gate` finds the champion's runs that it is measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from lab.analysis import bounded, per_item, resampling, statistics, verdict
from lab.analysis.comparisons import claimed_sign, failed
from lab.analysis.decisions import SUPPORTED
from lab.analysis.estimates import COUNTED, difference, resolution
from lab.analysis.wording import sentence, with_interval
from lab.design.blocks import ComparisonConfig, Hypothesis
from lab.design.models import ComparisonDesign
from lab.design.power import ALPHA
from lab.nested_keys import flat
from lab.study import Examples, Replicate, Study

if TYPE_CHECKING:
    from lab.analysis.statistics import Estimate
    from lab.analysis.verdict import Verdict

NAME = "champion"  # the arm that the candidate is measured against
LEAST_SEEDS = 2


def typical(study: Study, arm: str | None, metric: str | None) -> Replicate | None:
    """The finished run of an arm that is nearest to its mean: what the arm delivers, not its luckiest seed."""
    finished = [replicate for replicate in study.arms.get(arm or "", []) if replicate.finished]
    values = study.values(arm, metric)
    if metric is None or not values:
        return next(iter(finished), None)
    middle, sign = mean(values.values()), study.merit(metric)
    # Of two that are as near the worse; rounded, so that it is the same on every machine.
    return min(
        (replicate for replicate in finished if replicate.seed in values),
        key=lambda replicate: (round(abs(values[replicate.seed] - middle), 9), sign * values[replicate.seed]),
    )


def lucky(study: Study, judged: Verdict, candidate: Replicate) -> Iterator[str]:
    """A run that is no example of its arm: better than its other seeds by more than chance, as far as they can tell."""
    arm, metric = candidate.arm, judged.metric
    values = study.values(arm, metric)
    own = values.pop(candidate.seed, None)
    if metric is None or own is None:
        return
    others = [*values.values()]
    if not others:
        yield f"a lucky seed can't be told: {arm} has one seed, {candidate.seed}, with {own:.4g} in {metric}"
        return
    sign = study.merit(metric)
    if sign * (own - mean(others)) <= 0:
        return
    measured = f"{arm} with seed {candidate.seed} has {own:.4g} in {metric}"
    if len(others) == 1:
        [(seed, other)] = values.items()
        pair = f"{measured}, with seed {seed} {other:.4g}"
        yield f"a lucky seed can't be told of two: {pair}. Promote that run, or add a seed"
        return
    p = statistics.outlier(sign * own, [sign * value for value in others], resolution(study, metric))
    if p < ALPHA:
        nearest = max(others) if sign > 0 else min(others)
        yield (
            f"a lucky seed: {measured}, where its other {len(others)} have {mean(others):.4g} on the mean and "
            f"{nearest:.4g} at best (Grubbs' test, p = {p:.2g})"
        )


@dataclass(frozen=True)
class Duel:
    """An arm against the champion.

    Attributes:
        pairs: the study of the two.
        verdict: on it; p is corrected for the arms that this one was chosen from.
        chosen_from: how many these are.
        p: one-sided, of the champion being as good or better; None for what is counted, where chance has no part.
        level: what it has to stay below.
    """

    pairs: Study
    verdict: Verdict
    chosen_from: int
    p: float | None
    level: float

    @property
    def won(self) -> bool:
        """Whether the arm is shown to be better."""
        return self.verdict.outcome == SUPPORTED and (self.p is None or self.p <= self.level)


def challenge(
    study: Study,
    judged: Verdict,
    candidates: Sequence[Replicate],
    champions: Mapping[int, Any],
    level: float,
    read: Callable[[Study], Examples] = lambda pairs: Examples(),
) -> Duel:
    """Hold an arm against the champion.

    Args:
        study: the arm's.
        judged: the verdict on it.
        candidates: the arm's runs with the champion's seeds.
        champions: the champion's runs, by seed.
        level: what the one-sided p may come to (`analysis.online`).
        read: finds what was said of each test item.
    """
    pairs = duel(study, judged, candidates, champions)
    k = chosen_from(study, judged, candidates[0].arm)
    result = verdict.judge(pairs, read(pairs), k)
    comparison = next(each for each in result.comparisons if each.claimed)
    between, p = comparison.difference, None
    if comparison.p is not None and between.estimate and between.basis != COUNTED:
        is_better = claimed_sign(pairs) * between.estimate.value > 0
        p = comparison.p / 2 if is_better else 1 - comparison.p / 2
    return Duel(pairs, result, k, p, level)


def chosen_from(study: Study, judged: Verdict, arm: str) -> int:
    """How many arms one was chosen from: itself alone where the hypothesis named it before the runs."""
    if arm == study.design.claimed_arm and not judged.exploratory:
        return 1
    return len(study.arms) - (1 if judged.winner == arm and study.reference in study.arms else 0)


def crashed(study: Study, arm: str) -> Iterator[str]:
    """Runs of the arm that failed: what it would have shown with their seeds nobody knows."""
    if told := failed(study, [arm]):
        yield f"{told}: lab run {study.path} tries them again"


def duel(study: Study, judged: Verdict, candidates: Sequence[Replicate], champions: Mapping[int, Any]) -> Study:
    """A study of its own: an arm against the champion, by the design's metric, smallest effect and guardrails.

    Args:
        study: the arm's.
        judged: the verdict on it.
        candidates: the arm's runs.
        champions: the champion's runs with the same seeds, by seed.
    """
    arm, metric = candidates[0].arm, judged.metric or ""
    asked = study.design.hypothesis or Hypothesis(claim=study.design.title, metric=metric)
    direction = "minimize" if study.minimized(metric) else "maximize"
    design = ComparisonDesign.model_construct(
        kind="comparison",
        name=study.design.name,
        type=study.design.type,
        title=study.design.title,
        hypothesis=asked.model_copy(
            update={"arm": arm, "versus": NAME, "effect": None, "expected": None, "direction": direction}
        ),
        seeds=study.design.growth or sorted(champions),  # added by what was seen, they need its boundaries here as well
        comparison=ComparisonConfig.model_construct(values=[arm, NAME], versus=NAME),
    )
    ours = [replace(candidate, reused=True) for candidate in candidates]
    theirs = [Replicate(NAME, {}, seed, record, reused=True) for seed, record in sorted(champions.items())]
    return replace(study, design=design, replicates=[*ours, *theirs])


def hidden(pairs: Study, arm: str, judged: Verdict, examples: Examples) -> Iterator[str]:
    """Guarded metrics and parts of the test items that got significantly worse, whatever the mean did, with Holm.

    Paired over test items, since it is about these models; over seeds where nobody knows what was said of the items.
    """
    estimates = dict([*guarded(pairs, arm, judged, examples), *by_slice(pairs, arm, judged, examples)])
    ps = statistics.holm([1.0 if estimate.p is None else estimate.p for _, estimate in estimates.values()])
    whole = next((sentence(pairs, comparison.difference) for comparison in judged.comparisons), "")
    for (name, (merit, estimate)), p in zip(estimates.items(), ps, strict=True):
        if merit * estimate.value < 0 and p < ALPHA:
            yield (
                f"a regression hidden by the mean: {name} {with_interval(estimate)}, p = {p:.2g} after "
                f"Holm over {len(ps)}, while {whole}"
            )


Part = tuple[str, tuple[int, "Estimate"]]  # what is looked at, and which way it is better, with its difference


def guarded(pairs: Study, arm: str, judged: Verdict, examples: Examples) -> Iterator[Part]:
    """The difference in each metric that the contract guards, of those beside the main one."""
    files = {pairs.stage, (judged.metric or "").partition(".")[0]}
    names = {
        f"{file}.{key}" for record in pairs.finished for file in files for key in flat(record.metrics.get(file, {}))
    }
    metrics = [metric for metric in map(pairs.metric, sorted(names)) if metric.guarded]
    for metric in metrics:
        between = difference(pairs, arm, NAME, metric.name, examples)
        merit = pairs.merit(metric.name)
        if between.images:
            yield metric.name, (merit, between.images)
        elif len(between.values) >= LEAST_SEEDS:
            # Of a metric that is broken down, each part has its share of the items.
            parts = len({other.parts for other in metrics if other.by == metric.by}) if metric.by else 1
            step = parts * resolution(pairs, metric.name)
            mean = statistics.mean([*between.values.values()], resolution=step)
            yield metric.name, (merit, bounded.change(mean, metric))


def by_slice(pairs: Study, arm: str, judged: Verdict, examples: Examples) -> Iterator[Part]:
    """The difference in the metric on each part of the test items, by the columns that divide them into several."""
    predictions, metric = pairs.contract.predictions, judged.metric
    if predictions is None or metric is None:
        return
    ours, theirs = ([frame for (name, _), frame in examples.frames.items() if name == side] for side in (arm, NAME))
    for column in predictions.slices:
        values = {value for frame in (*ours, *theirs) if column in frame for value in frame[column]}
        for value in sorted(values, key=str) if len(values) > 1 else ():
            mine, others = (
                [frame.loc[frame[column] == value, :] for frame in frames if column in frame]
                for frames in (ours, theirs)
            )
            unit = per_item.cluster(predictions, [*mine, *others]) or predictions.item
            scored = per_item.difference(mine, others, metric, examples, unit) if mine and others else None
            if scored and scored[1] > 1:
                yield f"{metric} of {column} {value}", (pairs.merit(metric), resampling.bootstrap(*scored))
