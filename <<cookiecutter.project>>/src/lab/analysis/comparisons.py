"""Comparisons: each arm with the one that it is measured against, or with the expected value; and the guardrails.

The hypothesis' arm is what counts; where it names none, every arm does, with Holm's correction for their number. A design
without a reference (a single one, most sweeps) is held against `expected`.

A guardrail holds while its mean stays within the limit. It is broken when the whole interval is beyond, and can't be told
in between, or where a run has not measured it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.analysis import statistics
from lab.analysis.decisions import INCONCLUSIVE, REFUTED, SUPPORTED, decide
from lab.analysis.estimates import COUNTED, Difference, difference, effect_over_seeds, oriented, unmeasured

if TYPE_CHECKING:
    from lab.analysis.per_image import Examples
    from lab.analysis.statistics import EffectSize
    from lab.design.models import Guardrail
    from lab.records.study import Study


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


def compare(study: Study, metric: str, examples: Examples) -> list[Comparison]:
    """Every arm with the one that it is measured against, or with the expected value."""
    hypothesis, versus = study.design.hypothesis, study.reference
    expected = hypothesis.expected if hypothesis else None
    if versus is None and expected is None:
        return []
    margin = hypothesis.min_effect if hypothesis else 0.0
    others = [arm for arm in study.arms if arm != versus]
    found = [difference(study, arm, versus, metric, examples, margin) for arm in others]
    claim = study.design.claimed_arm
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


def guard(study: Study, found: Difference, rail: Guardrail, examples: Examples) -> Guard:
    """Whether a guardrail holds for the arm of a comparison."""
    kind, limit = (
        ("max_increase", rail.max_increase) if rail.max_increase is not None else ("max_decrease", rail.max_decrease)
    )
    assert limit is not None
    if found.versus is None:  # nothing to be higher or lower than
        return Guard(rail.metric, kind, limit, Difference(rail.metric, found.arm, None, {}), None, False)
    other = difference(study, found.arm, found.versus, rail.metric, examples)
    if other.estimate is None or any(unmeasured(study, arm, rail.metric) for arm in (found.arm, found.versus)):
        return Guard(rail.metric, kind, limit, other, None, False)
    worse = oriented(other.estimate, 1 if kind == "max_increase" else -1)
    beyond = worse.low is not None and worse.low > limit
    ok = True if worse.value <= limit else False if beyond else None
    return Guard(rail.metric, kind, limit, other, ok, worse.high is not None and worse.high <= limit)
