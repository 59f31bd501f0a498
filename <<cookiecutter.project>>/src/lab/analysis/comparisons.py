"""Comparisons: each arm with the one that it is measured against, or with the expected value; and the guardrails.

The hypothesis' arm is what counts; where it names none, every arm does, with Holm's correction for their number. A
design without a reference (a single one, most sweeps) is held against `expected`. One about an effect is held by all
arms together (`effects`).

A guardrail holds where it is shown that its metric gets worse by less than the limit: a test of non-inferiority at 5 %
(Blackwelder, Controlled Clinical Trials 3, 1982). It is broken when the whole interval is beyond, and can't be told in
between, or where a run has not measured it. One that says `strict: false` holds while its mean stays within the limit.

An arm that is claimed to be better, or its reference, may not have failed with some of its seeds: what crashes where it
would have done badly is no better than it was where it didn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab.analysis import effects, looks, statistics
from lab.analysis.decisions import INCONCLUSIVE, REFUTED, SUPPORTED, decide
from lab.analysis.estimates import COUNTED, Difference, difference, effect_over_seeds, oriented, unmeasured
from lab.analysis.wording import sentence
from lab.design import power
from lab.design.factorial import called
from lab.design.levels import short_names
from lab.study import FAILED

if TYPE_CHECKING:
    from lab.analysis.statistics import EffectSize
    from lab.design.blocks import Guardrail
    from lab.study import Examples, Study


@dataclass(frozen=True)
class Guard:
    """A guardrail: by how much the arm may be higher (`max_increase`) or lower (`max_decrease`) than the reference.

    `ok` is False where the whole interval is beyond the limit, None where that can't be told. `p` is that of being
    worse by the limit or more, None where nothing was measured; `sure` tells that it is below 5 %.
    """

    metric: str
    kind: str
    limit: float
    strict: bool
    difference: Difference
    ok: bool | None
    p: float | None
    sure: bool


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


def claimed_sign(study: Study) -> int:
    """1 where more of the metric is claimed, -1 where less is."""
    hypothesis = study.design.hypothesis
    return -1 if hypothesis and hypothesis.direction == "minimize" else 1


def compare(study: Study, metric: str, examples: Examples, chosen_from: int = 1) -> list[Comparison]:
    """Every arm with the one that it is measured against, or with the expected value.

    The claimed ones' p are corrected once more where they were `chosen_from` several (Bonferroni).
    """
    hypothesis, versus = study.design.hypothesis, study.reference
    expected = hypothesis.expected if hypothesis else None
    margin = hypothesis.min_effect if hypothesis else 0.0
    of_effect = [effect(study, metric, examples)] if study.design.claimed_effect else []
    if versus is None and expected is None:
        return of_effect
    others = [arm for arm in study.arms if arm != versus]
    differences = [difference(study, arm, versus, metric, examples, margin) for arm in others]
    claim = study.design.claimed_arm
    claimed = [hypothesis is not None and not of_effect and claim in (None, arm) for arm in others]
    return of_effect + [
        comparison(study, between, is_claimed, p, claimed.count(is_claimed), examples, chosen_from if is_claimed else 1)
        for between, is_claimed, p in zip(differences, claimed, corrected(differences, claimed), strict=True)
    ]


def effect(study: Study, metric: str, examples: Examples) -> Comparison:
    """What the effect comes to that the hypothesis is about. Alone in its family, p is not corrected."""
    hypothesis = study.design.hypothesis
    assert hypothesis is not None
    least, crossed = hypothesis.min_effect, study.design.crossed()
    between, others, undecided = effects.claimed(study, metric, examples, least)
    names, p = short_names(list(crossed)), between.estimate.p if between.estimate else None
    listed = ", ".join(called(term, names) for term in others)
    if undecided:
        outcome, why = INCONCLUSIVE, f"by these arms it can't be told from {listed}"
        return Comparison(replace(between, mixed=listed), True, p, None, outcome, f"{sentence(study, between)}: {why}")
    between = replace(between, assumed=listed)
    outcome, why = decide(between, p, claimed_sign(study), least, least, 1, study.contract.item)
    if others:
        why += f", if {listed}, from which it can't be told, {'is' if len(others) == 1 else 'are'} nought"
    if outcome == SUPPORTED and (crashed := effects.failed(study)):
        outcome = INCONCLUSIVE
        why += f", but {crashed}: what they would have shown nobody knows"
    tested = "" if p is None or between.basis == COUNTED else f", p = {p:.2g}"
    return Comparison(between, True, p, None, outcome, f"{sentence(study, between)}{tested}: {why}")


def corrected(differences: Sequence[Difference], claimed: Sequence[bool]) -> list[float | None]:
    """The p values after Holm, over the claimed arms and over the others, each a family of its own.

    An arm that couldn't be tested counts in its family, as if with p = 1.
    """
    raw = [between.estimate.p if between.estimate else None for between in differences]
    result: list[float | None] = [None] * len(differences)
    for family in (True, False):
        places = [i for i, is_claimed in enumerate(claimed) if is_claimed == family]
        ps = statistics.holm([1.0 if (p := raw[i]) is None else p for i in places])
        for i, p in zip(places, ps, strict=True):
            result[i] = None if raw[i] is None else p
    return result


def comparison(
    study: Study,
    between: Difference,
    claimed: bool,
    p: float | None,
    family: int,
    examples: Examples,
    chosen_from: int = 1,
) -> Comparison:
    """What a difference comes to, its guardrails included."""
    p = None if p is None else min(1.0, p * chosen_from)
    hypothesis = study.design.hypothesis
    effect, words = effect_over_seeds(study, between), sentence(study, between)
    if hypothesis is None:
        because = f"{words}; the design states no hypothesis"
        return Comparison(between, claimed, p, effect, INCONCLUSIVE, because)
    least = hypothesis.min_effect if between.versus is not None else 0.0
    outcome, why = decide(
        between, p, claimed_sign(study), least, hypothesis.min_effect, family * chosen_from, study.contract.item
    )
    guards = [guard(study, between, rail, examples) for rail in hypothesis.guardrails]
    if outcome == SUPPORTED and any(each.ok is not True for each in guards):
        outcome = REFUTED if any(each.ok is False for each in guards) else INCONCLUSIVE
        why += ", but a guardrail is broken" if outcome == REFUTED else ", but a guardrail can't be told"
    if outcome == SUPPORTED and (crashed := failed(study, [between.arm, between.versus])):
        outcome = INCONCLUSIVE
        why += f", but {crashed}: what they would have shown nobody knows"
    tested = "" if p is None or between.basis == COUNTED else f", p = {p:.2g}"
    holm = f" after Holm over {family} arms" if tested and family > 1 else ""
    holm += f" times the {chosen_from} arms that it was chosen from" if tested and chosen_from > 1 else ""
    return Comparison(between, claimed, p, effect, outcome, f"{words}{tested}{holm}: {why}", guards)


def failed(study: Study, arms: Sequence[str | None]) -> str:
    """The runs of arms that failed, in words: `2 of the 5 runs of new failed`; empty where none has."""
    told = []
    for arm in filter(None, arms):
        replicates = study.arms.get(arm, [])
        lost = sum(replicate.status == FAILED for replicate in replicates)
        told += [f"{lost} of the {len(replicates)} runs of {arm} failed"] if lost else []
    return " and ".join(told)


def guard(study: Study, between: Difference, rail: Guardrail, examples: Examples) -> Guard:
    """Whether a guardrail holds for the arm of a comparison."""
    kind, limit = (
        ("max_increase", rail.max_increase) if rail.max_increase is not None else ("max_decrease", rail.max_decrease)
    )
    assert limit is not None
    arm, versus = between.arm, between.versus
    unknown = Guard(rail.metric, kind, limit, rail.strict, Difference(rail.metric, arm, versus, {}), None, None, False)
    if versus is None:  # nothing to be higher or lower than
        return unknown
    change = difference(study, arm, versus, rail.metric, examples, abs(limit))
    if change.estimate is None or any(unmeasured(study, side, rail.metric) for side in (arm, versus)):
        return replace(unknown, difference=change)
    worse = oriented(change.estimate, 1 if kind == "max_increase" else -1)
    p = statistics.beyond(worse, limit)
    if p is not None and change.basis != COUNTED and (look := looks.at(study, arm, versus)):
        p = look.p(p)
    sure = p is not None and p < power.ALPHA
    holds = sure if rail.strict else worse.value <= limit
    beyond = worse.low is not None and worse.low > limit
    return replace(unknown, difference=change, ok=True if holds else False if beyond else None, p=p, sure=sure)


def guard_sentence(study: Study, guard: Guard) -> str:
    """`the guardrail max_increase 0.5 holds: new − old in evaluate.seconds: +0.2 over 5 seeds`."""
    state = {True: "holds", False: "is broken", None: "can't be told"}[guard.ok]
    rail = f"the guardrail {guard.kind} {guard.limit:g}"
    if guard.difference.versus is None:
        return f"{rail} of {guard.metric} {state} without an arm to be measured against"
    told = "" if guard.p is None or guard.ok is False else f" (p = {guard.p:.2g} of being worse by more)"
    if guard.ok and not guard.strict:
        told = "" if guard.sure else " on the mean, but not for certain (strict: false)"
    return f"{rail} {state}{told}: {sentence(study, guard.difference)}"
