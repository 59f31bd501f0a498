"""Comparisons: each arm with the one that it is measured against, or with the expected value; and the guardrails.

The hypothesis' arm is what counts; where it names none, every arm does, with Holm's correction for their number. A
design without a reference (a single one, most sweeps) is held against `expected`.

A guardrail holds while its mean stays within the limit. It is broken when the whole interval is beyond, and can't be
told in between, or where a run has not measured it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.analysis import statistics
from lab.analysis.decisions import INCONCLUSIVE, REFUTED, SUPPORTED, decide
from lab.analysis.estimates import (
    COUNTED,
    Difference,
    difference,
    effect_over_seeds,
    oriented,
    sentence,
    unmeasured,
)

if TYPE_CHECKING:
    from lab.analysis.statistics import EffectSize
    from lab.design.blocks import Guardrail
    from lab.study import Examples, Study


@dataclass(frozen=True)
class Guard:
    """A guardrail: by how much the arm may be higher (`max_increase`) or lower (`max_decrease`) than the reference.

    `ok` is False where the whole interval is beyond the limit, None where that can't be told. `sure` tells that the
    whole interval is within.
    """

    metric: str
    kind: str
    limit: float
    difference: Difference
    ok: bool | None
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


def compare(study: Study, metric: str, examples: Examples) -> list[Comparison]:
    """Every arm with the one that it is measured against, or with the expected value."""
    hypothesis, versus = study.design.hypothesis, study.reference
    expected = hypothesis.expected if hypothesis else None
    if versus is None and expected is None:
        return []
    margin = hypothesis.min_effect if hypothesis else 0.0
    others = [arm for arm in study.arms if arm != versus]
    differences = [difference(study, arm, versus, metric, examples, margin) for arm in others]
    claim = study.design.claimed_arm
    claimed = [hypothesis is not None and claim in (None, arm) for arm in others]
    return [
        comparison(study, between, is_claimed, p, claimed.count(is_claimed), examples)
        for between, is_claimed, p in zip(differences, claimed, corrected(differences, claimed), strict=True)
    ]


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
    study: Study, between: Difference, claimed: bool, p: float | None, family: int, examples: Examples
) -> Comparison:
    """What a difference comes to, its guardrails included."""
    hypothesis = study.design.hypothesis
    effect, words = effect_over_seeds(study, between), sentence(study, between)
    if hypothesis is None:
        because = f"{words}; the design states no hypothesis"
        return Comparison(between, claimed, p, effect, INCONCLUSIVE, because)
    least = hypothesis.min_effect if between.versus is not None else 0.0
    outcome, why = decide(between, p, claimed_sign(study), least, hypothesis.min_effect, family, study.contract.item)
    guards = [guard(study, between, rail, examples) for rail in hypothesis.guardrails]
    if outcome == SUPPORTED and any(each.ok is not True for each in guards):
        outcome = REFUTED if any(each.ok is False for each in guards) else INCONCLUSIVE
        why += ", but a guardrail is broken" if outcome == REFUTED else ", but a guardrail can't be told"
    tested = "" if p is None or between.basis == COUNTED else f", p = {p:.2g}"
    holm = f" after Holm over {family} arms" if tested and family > 1 else ""
    return Comparison(between, claimed, p, effect, outcome, f"{words}{tested}{holm}: {why}", guards)


def guard(study: Study, between: Difference, rail: Guardrail, examples: Examples) -> Guard:
    """Whether a guardrail holds for the arm of a comparison."""
    kind, limit = (
        ("max_increase", rail.max_increase) if rail.max_increase is not None else ("max_decrease", rail.max_decrease)
    )
    assert limit is not None
    arm, versus = between.arm, between.versus
    if versus is None:  # nothing to be higher or lower than
        return Guard(rail.metric, kind, limit, Difference(rail.metric, arm, None, {}), None, False)
    change = difference(study, arm, versus, rail.metric, examples)
    if change.estimate is None or any(unmeasured(study, side, rail.metric) for side in (arm, versus)):
        return Guard(rail.metric, kind, limit, change, None, False)
    worse = oriented(change.estimate, 1 if kind == "max_increase" else -1)
    beyond = worse.low is not None and worse.low > limit
    ok = True if worse.value <= limit else False if beyond else None
    return Guard(rail.metric, kind, limit, change, ok, worse.high is not None and worse.high <= limit)


def guard_sentence(study: Study, guard: Guard) -> str:
    """`the guardrail max_increase 0.5 holds: new − old in evaluate.seconds: +0.2 over 5 seeds`."""
    state = {True: "holds", False: "is broken", None: "can't be told"}[guard.ok]
    rail = f"the guardrail {guard.kind} {guard.limit:g}"
    if guard.difference.versus is None:
        return f"{rail} of {guard.metric} {state} without an arm to be measured against"
    doubt = ", but not for certain" if guard.ok and not guard.sure else ""
    return f"{rail} {state}{doubt}: {sentence(study, guard.difference)}"
