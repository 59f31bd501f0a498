"""A verdict in sentences: why it is what it is, and what else a reader should know."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lab.analysis import effects, growth, statistics
from lab.analysis.budget import used_up
from lab.analysis.comparisons import claimed_sign, guard_sentence
from lab.analysis.decisions import SUPPORTED
from lab.analysis.estimates import IMAGES, disturbed, unmeasured
from lab.design import search
from lab.study import FAILED, UNMEASURED, UNREADABLE

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison
    from lab.analysis.effects import Effect
    from lab.analysis.estimates import ArmResult
    from lab.study import Replicate, Study

MOST = 5  # arms whose reasons are told; the table has all


def reasons(
    study: Study,
    comparisons: Sequence[Comparison],
    found: Sequence[Effect],
    coming: Sequence[Replicate],
    arms: Sequence[ArmResult],
    best: ArmResult | None,
) -> Iterator[str]:
    """Why, and what else a reader should know.

    Args:
        study: the design and its records.
        comparisons: of all arms; those that the hypothesis is about are told.
        found: the effects of a factorial.
        coming: runs that decide and are still to come.
        arms: every arm's results.
        best: the one of them that may be so by luck.
    """
    claimed = [comparison for comparison in comparisons if comparison.claimed]
    involved = {comparison.arm for comparison in claimed} | {study.reference}
    yield from undecidable(study, claimed, coming)
    yield from of_arms(study, claimed, is_open=bool(coming))
    yield from effects.sentences(study, found)
    yield from luck(claimed, [arm for arm in arms if arm.arm in involved and arm.mean], best)
    yield from left_out(study, [arm for arm in study.arms if arm in involved])
    yield from doubts(study)


def undecidable(study: Study, claimed: Sequence[Comparison], coming: Sequence[Replicate]) -> Iterator[str]:
    """What keeps the question open, whatever the numbers are."""
    if why := used_up(study):
        yield f"{why}; until they have run, the verdict is open"
    elif coming:
        yield f"{len(coming)} of the runs that decide are still to come: until then the verdict is open"
    if study.design.hypothesis is None:
        yield "the design states no hypothesis: there is nothing to support or refute"
    elif not claimed:
        yield "the hypothesis names neither an arm to be measured against nor an effect nor an expected value"


def of_arms(study: Study, claimed: Sequence[Comparison], is_open: bool) -> Iterator[str]:
    """What was found of each arm with its guardrails: of a few, in their order; of many, the best."""
    shown = claimed if len(claimed) <= MOST else sorted(claimed, key=lambda each: rank(study, each))[:MOST]
    for comparison in shown:
        yield comparison.because
        yield from (guard_sentence(study, guard) for guard in comparison.guardrails)
        yield from disagreement(comparison)
        if study.design.growth and not is_open and (why := growth.stopped(study, comparison, len(claimed))):
            yield f"{comparison.arm}: {why}"
    others = Counter(comparison.outcome for comparison in claimed if comparison not in shown)
    if others:
        yield f"and {others.total()} more arms: {', '.join(f'{n} {outcome}' for outcome, n in others.items())}"
    yield from dict.fromkeys(comparison.difference.note for comparison in claimed if comparison.difference.note)


def rank(study: Study, comparison: Comparison) -> tuple[bool, float]:
    """For the order in which arms are told: what is supported first, and the best first."""
    estimate = comparison.difference.estimate
    return comparison.outcome != SUPPORTED, -claimed_sign(study) * estimate.value if estimate else math.inf


def disagreement(comparison: Comparison) -> Iterator[str]:
    """That some seeds' models got better and others' worse, where test items decide about their mean."""
    values = comparison.difference.values
    if comparison.difference.basis == IMAGES and min(values.values()) < 0 < max(values.values()):
        listed = ", ".join(f"{value:+.3g} with seed {seed}" for seed, value in values.items())
        yield f"{comparison.arm}: the models of the seeds don't agree ({listed}); the verdict is about their mean"


def luck(claimed: Sequence[Comparison], arms: Sequence[ArmResult], best: ArmResult | None) -> Iterator[str]:
    """What the best of several measured arms owes to having been picked."""
    if len(arms) > 2 and best in arms and not any(comparison.outcome == SUPPORTED for comparison in claimed):
        yield (
            f"{best.arm} is the best of {len(arms)}, but the best of so many equal ones looks "
            f"{statistics.luck_of_the_best(len(arms)):.2f} standard deviations better than it is: "
            "run it again with fresh seeds before you believe it"
        )


def left_out(study: Study, arms: Sequence[str]) -> Iterator[str]:
    """Runs that don't count: that failed or can't be read, and of the arms that matter those without a number."""
    failed = [f"{each.arm} with seed {each.seed}" for each in study.replicates if each.status == FAILED]
    if failed:
        count = f"{len(failed)} of {len(study.replicates)}"
        yield f"{count} runs failed and are left out, with their pairs: {', '.join(failed)}"
    for each in study.replicates:
        if each.status == UNMEASURED:
            yield f"{each.arm} with seed {each.seed} is without metric, and left out with its pairs: {each.lacks}"
        elif each.status == UNREADABLE:
            yield f"{each.arm} with seed {each.seed} can't be read: {each.trouble}"
    told = {(each.arm, each.seed) for each in study.replicates if each.status == UNMEASURED}
    for name in study.metrics:
        odd = [(arm, seed) for arm in arms for seed in unmeasured(study, arm, name) if (arm, seed) not in told]
        if odd:
            listed = ", ".join(f"{arm} with seed {seed}" for arm, seed in odd)
            yield f"without a finite {name}, and so left out with their pairs: {listed}"


def chosen_on_test(study: Study) -> Iterator[str]:
    """That a sweep chose by the very numbers that it answers with."""
    name = next(iter(study.metrics), "")
    if search.chosen_on_test(study.design, study.contract, name):
        yield f"chosen on the test split: the best of the sweep was chosen by {name}, and looks better than it is"


def doubts(study: Study) -> Iterator[str]:
    """What makes the runs themselves less sure: other programs, configs that nobody noted, objections overridden."""
    yield from chosen_on_test(study)
    yield from filter(None, (disturbed(study, name) for name in study.metrics))
    finished = study.finished
    if finished and not any(record.effective for record in finished):
        yield "what the stages were run with is not recorded: nobody can tell whether they did what the plan says"
    if any(record.experiment.get("forced") for record in finished):
        yield "the runs were queued against the objections of the pre-flight (--force)"
