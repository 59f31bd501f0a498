"""The verdict: what a design's hypothesis comes to, by its records. A pure function, the same on every clone.

`estimates` gives the numbers, `comparisons` holds each arm against its reference, `decisions` has the rule and what its
outcomes mean, `validity` tells runs that did something else than the plan said, and `reasons` puts it into sentences.

Runs that failed are left out with their pair, and named. Runs that are still to come leave the verdict open: to stop as
soon as a p value pleases would find effects where there are none.

*Exploratory* is a verdict on a design that was not the same before the runs, or on what was known before it: the same
results, the same settings but for those that change nothing, or a run that was repeated until it pleased.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis import validity
from lab.analysis.comparisons import claimed_sign, compare
from lab.analysis.decisions import INCONCLUSIVE, INVALID, SUPPORTED, overall
from lab.analysis.effects import effects
from lab.analysis.estimates import arm_result, best_of, oriented
from lab.analysis.reasons import reasons
from lab.study import Examples

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison, Guard
    from lab.analysis.effects import Effect
    from lab.analysis.estimates import ArmResult, Difference
    from lab.study import Replicate, Study


@dataclass(frozen=True)
class Mark:
    """A value to be reached: the expected one, or a target of the design.

    `sure`: the whole interval is beyond it; None where there is no interval.
    """

    name: str
    value: float
    reached: bool
    sure: bool | None


@dataclass(frozen=True)
class Verdict:
    """What a design came to.

    Attributes:
        outcome: SUPPORTED, REFUTED, EQUIVALENT, INCONCLUSIVE, UNDERPOWERED or INVALID.
        exploratory: the design was not the same before the runs.
        complete: no run is still to come.
        metric, direction: what was asked for; no metric where nothing was measured.
        winner: where the claim is supported, the best of all arms that are shown to be better; else None, as it is
            where the claim is that models get worse.
        best: the arm with the best models on the mean, whatever that is worth; None where nothing has finished.
        reasons: sentences for people.
        arms: every arm's results.
        comparisons: of every arm but the reference.
        effects: of a factorial, the factors' effects and how they depend on each other.
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


def judge(study: Study, examples: Examples | None = None, chosen_from: int = 1) -> Verdict:
    """The verdict on a study.

    Args:
        study: the design and its records.
        examples: what was said of each test item, as `records.per_item.read` finds it.
        chosen_from: how many arms the claimed one was chosen from, where that was not said before.
    """
    metric = next(iter(study.metrics), None)
    arms = [arm_result(study, arm, metric) for arm in study.arms]
    comparisons = compare(study, metric, examples or Examples(), chosen_from) if metric else []
    faults = [*validity.other_configs(study), *validity.no_op_arms(study)]
    coming = [replicate for replicate in deciding(study) if is_coming(replicate)]
    outcome = outcome_of(comparisons, faults, coming)

    better, sign = study.merit(metric or ""), claimed_sign(study)
    best = best_of(arms, better)
    shown = {comparison.arm for comparison in comparisons if comparison.outcome == SUPPORTED}
    wins = outcome == SUPPORTED and sign == better
    winner = best_of((arm for arm in arms if arm.arm in shown), sign) if wins else None

    warnings = [*known_before(study, comparisons, outcome)]
    found = as_claimed(effects(study, metric), comparisons)
    why = reasons(study, comparisons, found, coming, arms, best if sign == better else None)
    subject = next((arm for arm in arms if arm.arm == study.design.claimed_arm), winner or best)
    return Verdict(
        outcome=outcome,
        exploratory=bool(warnings),
        complete=not any(map(is_coming, study.replicates)),
        metric=metric,
        direction="maximize" if sign > 0 else "minimize",
        winner=winner.arm if winner else None,
        best=best.arm if best else None,
        reasons=[*faults, *why, *warnings],
        arms=arms,
        comparisons=comparisons,
        effects=found,
        expected=next(reached(expected(study), subject, sign), None),
        targets=targets(study, subject, sign),
    )


def as_claimed(found: Sequence[Effect], comparisons: Sequence[Comparison]) -> list[Effect]:
    """The effects, of which the one that the hypothesis names is told as it is decided: with the luck of test items."""
    decided = {each.difference.effect: each for each in comparisons if each.claimed and each.difference.estimate}
    return [
        replace(effect, estimate=claim.difference.estimate, p=claim.p)
        if (claim := decided.get(effect.components))
        else effect
        for effect in found
    ]


def outcome_of(comparisons: Sequence[Comparison], faults: Sequence[str], coming: Sequence[Replicate]) -> str:
    """The outcome of the claimed arms together, unless the runs did something else, or some are still to come."""
    if faults:
        return INVALID
    return INCONCLUSIVE if coming else overall({each.outcome for each in comparisons if each.claimed})


def deciding(study: Study) -> list[Replicate]:
    """The runs that the claim depends on."""
    arm = study.design.claimed_arm
    return [each for each in study.replicates if arm is None or each.arm in (arm, study.reference)]


def is_coming(replicate: Replicate) -> bool:
    """Whether a run may still bring a result."""
    return not replicate.is_over


def known_before(study: Study, comparisons: Sequence[Comparison], outcome: str) -> Iterator[str]:
    """What of the results could be known when the design was written as it reads now, or was known when it ran again.

    Runs of this design with other words; or of others, where all that decides has a pair that was there before.
    """
    name = study.design.name
    if any(r.record and r.record.experiment.get("design") == name and not r.stated for r in study.replicates):
        yield "exploratory: the design was not the same before the runs"
        return
    if again := [replicate for replicate in deciding(study) if rerolled(study, replicate)]:
        listed = ", ".join(f"{each.arm} with seed {each.seed} {len(each.superseded) + 1} times" for each in again)
        yield f"exploratory: run again after the results were known, and the last run counts: {listed}"
        return
    claimed = [comparison for comparison in comparisons if comparison.claimed]
    decisive = [comparison for comparison in claimed if comparison.outcome == outcome] or claimed
    if not decisive:
        return

    def sides(difference: Difference) -> Iterable[str]:
        """The arms that measure it."""
        return study.arms if difference.effect else (difference.arm, difference.versus or difference.arm)

    def known(later: set[tuple[str, int]]) -> bool:
        """Whether all that decides has a pair of which nothing came later."""
        return all(
            any(not later & {(side, seed) for side in sides(each)} for seed in each.values) for each in differences
        )

    differences = [comparison.difference for comparison in decisive]
    if known({(r.arm, r.seed) for r in study.replicates if r.record is None or r.stated}):
        yield "exploratory: the design as it reads was committed after runs that decide"
    elif known({(r.arm, r.seed) for r in study.replicates if r.record is None or (r.stated and not r.seen)}):
        names = dict.fromkeys(r.seen for r in deciding(study) if r.seen)
        yield (
            "exploratory: what decides was known before the design as it reads: the same came out of, or by the "
            f"settings had to come out of, {', '.join([*names][:3])}{' and others' if len(names) > 3 else ''}"
        )


def rerolled(study: Study, replicate: Replicate) -> bool:
    """Whether the code that made a run had made it before, and measured something else."""
    return any(
        each.code == replicate.record.code
        and any(each.value(metric) != replicate.record.value(metric) for metric in study.metrics)
        for each in replicate.superseded
    )


def expected(study: Study) -> list[tuple[str, float]]:
    """The hypothesis' expected value, where it has one."""
    hypothesis = study.design.hypothesis
    return [("expected", hypothesis.expected)] if hypothesis and hypothesis.expected is not None else []


def targets(study: Study, subject: ArmResult | None, sign: int) -> list[Mark]:
    """The design's targets, the easiest first by the hypothesis' metric: reached where all of their metrics are."""
    hypothesis, marks = study.design.hypothesis, []
    if hypothesis is None or subject is None:
        return []
    for name, tier in study.design.tiers().items():
        main = [*reached([(name, tier[hypothesis.metric])], subject, sign)]
        others = {metric: value for metric, value in tier.items() if metric != hypothesis.metric}
        beside = [
            mark
            for metric, value in others.items()
            for mark in reached([(name, value)], arm_result(study, subject.arm, metric), study.merit(metric))
        ]
        every = len(beside) == len(others)  # what was not measured is not reached
        sure = [mark.sure for mark in (*main, *beside)]
        surely = None if None in sure or not every else all(sure)
        marks += [
            replace(mark, reached=every and mark.reached and all(other.reached for other in beside), sure=surely)
            for mark in main
        ]
    return sorted(marks, key=lambda mark: sign * mark.value)


def reached(marks: Iterable[tuple[str, float]], subject: ArmResult | None, sign: int) -> Iterator[Mark]:
    """Which values an arm's mean has reached."""
    if subject is None or subject.mean is None:
        return
    mean = oriented(subject.mean, sign)
    for name, value in marks:
        yield Mark(name, value, mean.value >= sign * value, None if mean.low is None else mean.low >= sign * value)
