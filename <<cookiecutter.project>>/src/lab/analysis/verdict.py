"""The verdict: what a design's hypothesis comes to, by its records. A pure function, the same on every clone.

`estimates` gives the numbers, `comparisons` holds each arm against its reference, `decisions` has the rule and what its
outcomes mean, and `fidelity` tells runs that did something else than the plan said.

Runs that failed are left out with their pair, and named. Runs that are still to come leave the verdict open: to stop as
soon as a p value pleases would find effects where there are none.

*Exploratory* is a verdict on a design that was not the same before the runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import statistics, validity
from lab.analysis.comparisons import compare
from lab.analysis.decisions import INCONCLUSIVE, INVALID, SUPPORTED, overall
from lab.analysis.estimates import IMAGES, arm_result, best_of, disturbed, measured, oriented, resolution, unmeasured
from lab.design.models import AblationDesign
from lab.records.record import FAILED, FINISHED
from lab.records.study import merit

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison, Guard
    from lab.analysis.estimates import ArmResult
    from lab.analysis.per_image import Examples
    from lab.analysis.statistics import Effect
    from lab.records.study import Row, Study

MOST = 5  # arms whose reasons are told; the table has all


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
        winner: where the claim is supported, the best of all arms that are shown to be better; else None, also where the
            claim is that models get worse.
        best: the arm with the best models on the mean, whatever that is worth; None where nothing has finished.
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


def judge(study: Study, examples: Examples | None = None) -> Verdict:
    """The verdict on a study.

    Args:
        study: the design and its records.
        examples: what was said of each test image, by arm and seed, as `examples.read` finds it.
    """
    hypothesis = study.design.hypothesis
    metric = next(iter(study.metrics), None)
    direction = hypothesis.direction if hypothesis else "maximize"
    sign = 1 if direction == "maximize" else -1
    arms = [arm_result(study, name, metric) for name in study.arms]
    better = merit(study.design, metric or "")
    best = best_of(arms, better)
    comparisons = compare(study, metric, examples or {}) if metric else []
    claimed = [each for each in comparisons if each.claimed]
    faults = [*validity.other_configs(study), *validity.no_op_arms(study)]
    coming = [row for row in relevant(study) if row.status not in (FINISHED, FAILED)]
    outcome = INVALID if faults else INCONCLUSIVE if coming else overall({each.outcome for each in claimed})
    supported = {each.arm for each in comparisons if each.outcome == SUPPORTED}
    wins = outcome == SUPPORTED and sign == better
    winner = best_of((arm for arm in arms if arm.arm in supported), sign) if wins else None
    seen = list(seen_before(study, claimed, outcome))
    subject = next((arm for arm in arms if arm.arm == study.design.claimed_arm), winner or best)
    marks = {"expected": hypothesis.expected} if hypothesis and hypothesis.expected is not None else {}
    targets = sorted(study.design.targets.items(), key=lambda item: sign * item[1])
    return Verdict(
        outcome=outcome,
        exploratory=bool(seen),
        complete=all(row.status in (FINISHED, FAILED) for row in study.rows),
        metric=metric,
        direction=direction,
        winner=winner.arm if winner else None,
        best=best.arm if best else None,
        reasons=[*faults, *reasons(study, comparisons, coming, arms, best if sign == better else None), *seen],
        arms=arms,
        comparisons=comparisons,
        effects=factorial(study, metric),
        expected=next(reached(marks.items(), subject, sign), None),
        targets=list(reached(targets, subject, sign)),
    )


def relevant(study: Study) -> list[Row]:
    """The runs that the claim depends on."""
    arm = study.design.claimed_arm
    return [row for row in study.rows if arm is None or row.arm in (arm, study.reference)]


def seen_before(study: Study, claimed: Sequence[Comparison], outcome: str) -> Iterator[str]:
    """What of the results could be known when the design was written as it reads now.

    Runs of this design with other words; or of others, where all that decides has a pair that was there before.
    """
    name = study.design.name
    if any(row.record and row.record.experiment.get("design") == name and not row.stated for row in study.rows):
        yield "exploratory: the design was not the same before the runs"
        return
    later = {(row.arm, row.seed) for row in study.rows if row.record is None or row.stated}
    deciding = [each.difference for each in claimed if each.outcome == outcome] or [each.difference for each in claimed]
    known = [
        any(not later & {(found.arm, seed), (found.versus or found.arm, seed)} for seed in found.values)
        for found in deciding
    ]
    if known and all(known):
        yield "exploratory: the design as it reads was committed after runs that decide"


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
    return statistics.factorial_effects(levels, values, seeds, resolution(study, metric))


def reached(marks: Iterable[tuple[str, float]], subject: ArmResult | None, sign: int) -> Iterator[Mark]:
    """Which values an arm's mean has reached."""
    if subject is None or subject.mean is None:
        return
    found = oriented(subject.mean, sign)
    for name, value in marks:
        yield Mark(name, value, found.value >= sign * value, None if found.low is None else found.low >= sign * value)


def reasons(
    study: Study,
    comparisons: Sequence[Comparison],
    coming: Sequence[Row],
    arms: Sequence[ArmResult],
    best: ArmResult | None,
) -> Iterator[str]:
    """Why, and what else a reader should know; `best` of the `arms` is the one that may be so by luck."""
    if coming:
        yield f"{len(coming)} of the runs that decide are still to come: until then the verdict is open"
    if study.design.hypothesis is None:
        yield "the design states no hypothesis: there is nothing to support or refute"
    claimed = [each for each in comparisons if each.claimed]
    if study.design.hypothesis is not None and not claimed:
        yield "the hypothesis names neither an arm to be measured against nor an expected value"
    sign = -1 if study.design.hypothesis and study.design.hypothesis.direction == "minimize" else 1
    told = claimed if len(claimed) <= MOST else sorted(claimed, key=lambda each: rank(each, sign))[:MOST]
    for each in told:
        yield each.because
        yield from map(str, each.guardrails)
        values = each.difference.values
        if each.difference.basis == IMAGES and min(values.values()) < 0 < max(values.values()):
            listed = ", ".join(f"{value:+.3g} with seed {seed}" for seed, value in values.items())
            yield f"{each.arm}: the models of the seeds don't agree ({listed}); the verdict is about their mean"
    others = Counter(each.outcome for each in claimed if each not in told)
    if others:
        yield f"and {others.total()} more arms: {', '.join(f'{n} {outcome}' for outcome, n in others.items())}"
    yield from dict.fromkeys(each.difference.note for each in claimed if each.difference.note)
    deciding = {each.arm for each in claimed} | {study.reference}
    yield from luck(claimed, [arm for arm in arms if arm.arm in deciding and arm.mean], best)
    failed = [f"{row.arm} with seed {row.seed}" for row in study.rows if row.status == FAILED]
    if failed:
        yield f"{len(failed)} of {len(study.rows)} runs failed and are left out, with their pairs: {', '.join(failed)}"
    for name in study.metrics:
        odd = [
            f"{arm} with seed {seed}" for arm in study.arms if arm in deciding for seed in unmeasured(study, arm, name)
        ]
        if odd:
            yield f"without a finite {name}, and so left out with their pairs: {', '.join(odd)}"
    yield from filter(None, (disturbed(study, name) for name in study.metrics))
    finished = study.finished
    if finished and not any(record.effective for record in finished):
        yield "what the stages were run with is not recorded: nobody can tell whether they did what the plan says"
    if any(record.experiment.get("forced") for record in finished):
        yield "the runs were queued against the objections of the pre-flight (--force)"


def rank(found: Comparison, sign: int) -> tuple[bool, float]:
    """For the order in which arms are told: what is supported first, and the best first."""
    estimate = found.difference.estimate
    return found.outcome != SUPPORTED, -sign * estimate.value if estimate else math.inf


def luck(claimed: Sequence[Comparison], arms: Sequence[ArmResult], best: ArmResult | None) -> Iterator[str]:
    """What the best of several measured arms owes to having been picked."""
    if len(arms) > 2 and best in arms and not any(each.outcome == SUPPORTED for each in claimed):
        yield (
            f"{best.arm} is the best of {len(arms)}, but the best of so many equal ones looks "
            f"{statistics.luck_of_the_best(len(arms)):.2f} standard deviations better than it is: "
            "run it again with fresh seeds before you believe it"
        )
