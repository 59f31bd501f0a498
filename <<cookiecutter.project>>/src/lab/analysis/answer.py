"""The answer to a design's question, as a person would say it: one sentence, the best arm, the number that decides.

It says the same everywhere: on top of the report, at the end of `lab run`, in `lab results`, first in MLflow. It
decides nothing: the outcome is the verdict's, and the sentence never says more than that, nor the opposite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import claim, growth, looks
from lab.analysis.comparisons import claimed_sign
from lab.analysis.decisions import EQUIVALENT, INVALID, SUPPORTED
from lab.analysis.estimates import at_90, best_of, difference
from lab.analysis.next_step import Step, next_step
from lab.analysis.wording import interval, sentence
from lab.decimals import decimals, written
from lab.design.power import ALPHA
from lab.markdown import code, plain
from lab.study import Examples

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison
    from lab.analysis.estimates import ArmResult, Difference
    from lab.analysis.verdict import Verdict
    from lab.study import Study

MOST = 3  # arms that are named


@dataclass(frozen=True)
class Answer:
    """What a design came to, for people.

    Attributes:
        outcome: the verdict's, with whether it is exploratory.
        sentence: what was found.
        best: the best arm with its value and interval; empty where nothing has finished.
        decisive: the number that decides, with its interval and what was asked of it; empty where there is none.
        caveat: what its interval leaves out, and why; empty where nothing.
        step: what to do next.
    """

    outcome: str
    sentence: str
    best: str
    decisive: str
    caveat: str
    step: Step

    def lines(self) -> list[tuple[str, str]]:
        """What stands below the sentence, each with its heading."""
        parts = [("Best", self.best), ("Decisive", self.decisive), ("But", self.caveat)]
        return [(heading, text) for heading, text in parts if text]

    def markdown(self) -> str:
        """For a page: the outcome and the sentence, then the rest as a list."""
        items = [f"- **{heading}**: {plain(text)}" for heading, text in self.lines()]
        command = f": {code(self.step.command)}" if self.step.command else ""
        items.append(f"- **Next**: {plain(self.step.text)}{command}{plain(self.step.time)}")
        return "\n".join([f"**{self.outcome}**: {ended(plain(self.sentence))}", "", *items])


def answer(study: Study, verdict: Verdict) -> Answer:
    """The answer that a verdict gives."""
    outcome = verdict.outcome + (" (exploratory)" if verdict.exploratory else "")
    comparison = deciding(study, verdict)
    decides = comparison if verdict.outcome != INVALID else None
    return Answer(
        outcome=outcome,
        sentence=capital(said(study, verdict, comparison)),
        best=best(study, verdict),
        decisive=decisive(study, decides) if decides else "",
        caveat=decides.difference.note if decides else "",
        step=next_step(study, verdict, comparison),
    )


def deciding(study: Study, verdict: Verdict) -> Comparison | None:
    """The comparison that the outcome rests on: of several the one with the largest gain."""
    claimed = [each for each in verdict.comparisons if each.claimed and each.difference.estimate]
    of_outcome = [each for each in claimed if each.outcome == verdict.outcome] or claimed
    winners = [each for each in of_outcome if each.arm == verdict.winner]
    sign = claimed_sign(study)
    ranked = sorted(
        of_outcome, key=lambda each: -sign * (each.difference.estimate.value if each.difference.estimate else 0)
    )
    return next(iter([*winners, *ranked]), None)


def said(study: Study, verdict: Verdict, comparison: Comparison | None) -> str:
    """What was found, in one sentence."""
    if verdict.outcome == INVALID:
        return (
            f"the runs did something else than the plan said, so that no number of theirs answers: {verdict.reasons[0]}"
        )
    if verdict.best is None or verdict.metric is None:
        over = sum(each.is_over for each in study.replicates)
        by = f", {over} of {len(study.replicates)} runs of the search are over" if study.searched_by else ""
        return f"nothing has been measured yet that answers{by}" if by else "nothing has been measured yet"
    return searching(study) + found(study, verdict, comparison)


def searching(study: Study) -> str:
    """How a search came to the arms that are compared; empty where none are."""
    if not study.finalists or study.searched_by is None:
        return ""
    several = len(study.finalists) > 1
    best = " and ".join(study.finalists) if len(study.finalists) <= MOST else f"{len(study.finalists)} of them"
    named = " or named before" if study.design.claimed_arm or study.reference else ""
    settings = len({each.arm for each in study.replicates})
    early = f" ({settings - len(study.searched)} were stopped early)" if settings > len(study.searched) else ""
    by = f"chosen by {study.metric(study.searched_by).title}{named}"
    return f"of {settings} settings{early} {best} {'were' if several else 'was'} {by}: "


def found(study: Study, verdict: Verdict, comparison: Comparison | None) -> str:
    """What the arms that are compared came to."""
    is_open = "" if verdict.complete else still_open(study)
    assumed = comparison.difference.assumed if comparison else ""
    of_best = study.design.kind == "sweep" and not study.design.claimed_effect
    if mixed := next((each for each in verdict.comparisons if each.claimed and each.difference.mixed), None):
        return f"{is_open}the effect of {mixed.arm} can't be told by these arms from {mixed.difference.mixed}"
    if comparison is None or (of_best and verdict.outcome not in (SUPPORTED, EQUIVALENT)):
        of_claim = f"; of the claim: {claim.told(study, comparison)}" if comparison and not is_open else ""
        return is_open + standing(study, verdict) + of_claim
    several = sum(each.claimed for each in verdict.comparisons)
    among = f"of {several} arms {verdict.winner or comparison.arm} does best: " if several > 1 else ""
    unless = f" (taken that {assumed} does nothing, from which these arms can't tell it)" if assumed else ""
    return is_open + among + claim.told(study, comparison) + unless + at_look(study, verdict, comparison)


def at_look(study: Study, verdict: Verdict, comparison: Comparison) -> str:
    """Where seeds were added as far as it takes: at which look there were enough, or why there are no more."""
    if not study.design.growth or not verdict.complete:
        return ""
    why = growth.stopped(study, comparison, growth.claimed(verdict.comparisons))
    return f"; {why}" if why else ""


def still_open(study: Study) -> str:
    """That runs are missing."""
    left = sum(not each.finished for each in study.replicates)
    return f"{left} of {len(study.replicates)} runs have no result yet; so far "


# The best of several


def standing(study: Study, verdict: Verdict) -> str:
    """Which arm is best, and whether clearly so."""
    metric, best_arm = study.metric(str(verdict.metric)), str(verdict.best)
    value = valued(study, verdict, best_arm)
    measured = [arm for arm in verdict.arms if arm.mean]
    if len(study.arms) == 1:
        return f"{metric.title} is {value}"
    if len(measured) == 1:
        return f"{best_arm} has {metric.title} {value}, and no other arm was measured"
    near = alike(study, verdict, measured)
    second = best_of((arm for arm in measured if arm.arm != best_arm), study.merit(metric.name))
    assert second is not None and second.mean is not None
    gap = abs(claim.mean_of(study, best_arm, metric.name) - claim.mean_of(study, second.arm, metric.name))
    ahead = f"{gap:.2g} ahead of {second.arm}"
    if not near:
        return f"{best_arm} is clearly the best of {len(measured)}, with {metric.title} {value}, {ahead}"
    others = "the other" if len(measured) == 2 else f"{len(near)} of the {len(measured) - 1} others"
    return (
        f"{best_arm} is the best of {len(measured)} on the mean, with {metric.title} {value}, {ahead}; "
        f"{others} can't be told from it"
    )


def alike(study: Study, verdict: Verdict, measured: list[ArmResult]) -> list[str]:
    """The arms that the best is not shown to be better than.

    The best was picked, so any two might have been compared: p is corrected for all pairs (Bonferroni).
    """
    metric, best_arm = str(verdict.metric), str(verdict.best)
    pairs = len(measured) * (len(measured) - 1) / 2
    near = []
    for arm in measured:
        if arm.arm != best_arm:
            estimate = difference(study, best_arm, arm.arm, metric, Examples()).estimate
            if estimate is None or estimate.p is None or estimate.p * pairs >= ALPHA:
                near.append(arm.arm)
    return near


def best(study: Study, verdict: Verdict) -> str:
    """The best arm with its value; where a guardrail of it broke, the best of those that keep theirs."""
    if verdict.best is None or verdict.metric is None:
        return ""
    arm = verdict.winner or verdict.best
    broken = {each.arm for each in verdict.comparisons if any(guard.ok is False for guard in each.guardrails)}
    title = study.metric(verdict.metric).title
    if arm not in broken:
        return f"{arm}, {title} {valued(study, verdict, arm)}"
    kept = best_of((each for each in verdict.arms if each.arm not in broken), study.merit(verdict.metric))
    if kept is None:
        return f"{arm}, {title} {valued(study, verdict, arm)}, but a guardrail is broken"
    value = valued(study, verdict, kept.arm)
    return f"{kept.arm}, {title} {value}, of those whose guardrails hold ({arm} has {valued(study, verdict, arm)})"


def valued(study: Study, verdict: Verdict, arm: str) -> str:
    """`0.953 [0.941, 0.965] MB over 3 seeds`."""
    mean = next(each.mean for each in verdict.arms if each.arm == arm)
    if mean is None:
        return "unknown"
    unit = study.metric(str(verdict.metric)).unit
    numbers = [mean.value, *(end for end in (mean.low, mean.high) if end is not None)]
    places = decimals(numbers)
    texts = [written(number, places) for number in numbers]
    ends = f" [{texts[1]}, {texts[2]}]" if len(set(texts)) > 1 else ""
    return f"{texts[0]}{ends}{f' {unit}' if unit else ''} over {mean.n} seed{'' if mean.n == 1 else 's'}"


def decisive(study: Study, comparison: Comparison) -> str:
    """The difference that decides, and what was asked of it; of a broken guardrail its own."""
    for guard in comparison.guardrails:
        if guard.ok is False:
            allowed = f"{guard.kind.replace('_', ' ')} {guard.limit:g}"
            return f"{sentence(study, guard.difference)}; {allowed} is broken"
    between, hypothesis = comparison.difference, study.design.hypothesis
    text = sentence(study, between)
    if hypothesis is None or (between.versus is None and not between.effect):
        return text
    if comparison.outcome == EQUIVALENT and hypothesis.min_effect and (ends := interval_of_equivalence(study, between)):
        return f"{text}; its 90 % interval {ends} lies within ±{hypothesis.min_effect:g}"
    way = "lower" if hypothesis.direction == "minimize" else "higher"
    least = f" by {hypothesis.min_effect:g} or more" if hypothesis.min_effect else ""
    return f"{text}; claimed is {way}{least}"


def interval_of_equivalence(study: Study, between: Difference) -> str:
    """The 90 % interval, which is what two one-sided tests at 5 % come to; empty where there is none."""
    estimate = between.estimate
    look = looks.at(study, between.arm, between.versus) if between.versus is not None else None
    narrow = at_90(estimate, look) if estimate else None
    return interval(narrow) if narrow else ""


def capital(text: str) -> str:
    """A sentence with its capital, unless a name begins it."""
    return text[:1].upper() + text[1:] if text.startswith(("with ", "of ", "the ", "nothing ")) else text


def ended(text: str) -> str:
    """A sentence with its full stop."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
