"""The answer to a design's question, as a person would say it: one sentence, the best arm, the number that decides.

It says the same everywhere: on top of the report, at the end of `lab run`, in `lab results`, first in MLflow. It
decides nothing: the outcome is the verdict's, and the sentence never says more than that, nor the opposite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import growth, looks
from lab.analysis.comparisons import claimed_sign
from lab.analysis.decisions import EQUIVALENT, INVALID, REFUTED, SUPPORTED
from lab.analysis.effects import step
from lab.analysis.estimates import COUNTED, IMAGES, at_90, best_of, difference, interval, sentence
from lab.analysis.next_step import Step, next_step
from lab.decimals import decimals, written
from lab.design.levels import label, short_names
from lab.design.power import ALPHA
from lab.markdown import code, plain
from lab.study import Examples

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison, Guard
    from lab.analysis.estimates import ArmResult, Difference
    from lab.analysis.verdict import Verdict
    from lab.study import Study

MOST = 3  # arms that are named
RATIO = 1.2  # from which on a change is told as a factor, too


@dataclass(frozen=True)
class Answer:
    """What a design came to, for people.

    Attributes:
        outcome: the verdict's, with whether it is exploratory.
        sentence: what was found.
        best: the best arm with its value and interval; empty where nothing has finished.
        decisive: the number that decides, with its interval and what was asked of it; empty where there is none.
        step: what to do next.
    """

    outcome: str
    sentence: str
    best: str
    decisive: str
    step: Step

    def lines(self) -> list[tuple[str, str]]:
        """What stands below the sentence, each with its heading."""
        parts = [("Best", self.best), ("Decisive", self.decisive)]
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
    return Answer(
        outcome=outcome,
        sentence=capital(said(study, verdict, comparison)),
        best=best(study, verdict),
        decisive=decisive(study, comparison) if comparison and verdict.outcome != INVALID else "",
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
        claim = f"; of the claim: {of_claim(study, verdict, comparison)}" if comparison and not is_open else ""
        return is_open + standing(study, verdict) + claim
    several = sum(each.claimed for each in verdict.comparisons)
    among = f"of {several} arms {verdict.winner or comparison.arm} does best: " if several > 1 else ""
    unless = f" (taken that {assumed} does nothing, from which these arms can't tell it)" if assumed else ""
    return is_open + among + of_claim(study, verdict, comparison) + unless + at_look(study, verdict, comparison)


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


def of_claim(study: Study, verdict: Verdict, comparison: Comparison) -> str:
    """What the deciding arm's difference comes to, as its outcome has it."""
    between, outcome = comparison.difference, comparison.outcome
    estimate = between.estimate
    assert estimate is not None
    sign, hypothesis = claimed_sign(study), study.design.hypothesis
    changed = change(study, between)
    broken = [guard for guard in comparison.guardrails if guard.ok is False]
    untold = [guard for guard in comparison.guardrails if guard.ok is None]
    least = hypothesis.min_effect if hypothesis else 0.0
    if outcome == SUPPORTED:
        unsure = [guard for guard in comparison.guardrails if not guard.sure]
        doubt = f"; {guarded(study, unsure[0])} on the mean, but not for certain" if unsure else ""
        return changed + doubt
    if outcome == EQUIVALENT:
        return f"{changed}: no difference that counts, as it lies within ±{least:g}" if least else changed
    if outcome == REFUTED and broken:
        return f"{changed}, but {' and '.join(guarded(study, guard) for guard in broken)}"
    if outcome == REFUTED and between.versus is None and not between.effect:
        return f"{changed}, and that is sure"
    if outcome == REFUTED:
        nearest = estimate.high if sign > 0 else estimate.low
        if nearest is not None and sign * nearest < 0:
            return f"{changed}, the opposite of what is claimed"
        return f"{changed}; the {least:g} that is claimed is excluded" if least else f"{changed}: the claim is excluded"
    if untold:
        return f"{changed}, but whether {untold[0].metric} keeps its limit can't be told"
    return changed + doubtful(study, between)


def doubtful(study: Study, between: Difference) -> str:
    """Why a difference decides nothing."""
    estimate = between.estimate
    assert estimate is not None
    if between.basis == COUNTED:
        return ", but not with every seed"
    if estimate.n == 1:
        return ", but one seed can't tell that from luck"
    if estimate.low is None or estimate.high is None:
        return f", but {estimate.n} seeds can't tell that from luck"
    noun = f"test {study.contract.item}s" if between.basis == IMAGES else "seeds"
    places = decimals([estimate.low, estimate.high], 2)
    ends = f"{written(estimate.low, places, '+')} to {written(estimate.high, places, '+')}"
    return f", but {estimate.n} {noun} can't tell: anything from {ends} fits"


def change(study: Study, between: Difference) -> str:
    """`with new instead of old, size falls by 0.28 MB, from 0.53 to 0.25 (a factor of 2.1)`."""
    metric, estimate = study.metric(between.metric), between.estimate
    assert estimate is not None
    unit = f" {metric.unit}" if metric.unit else ""
    half = 0.0 if estimate.low is None or estimate.high is None else (estimate.high - estimate.low) / 2
    places = decimals([max(abs(estimate.value), half)], 2)
    size = written(abs(estimate.value), places)
    if between.effect:
        return effect_told(study, between, f"{metric.title}", f"{size}{unit}")
    mine = mean_of(study, between.arm, between.metric)
    if between.versus is None:
        hypothesis = study.design.hypothesis
        expected = hypothesis.expected if hypothesis else None
        place = "above" if estimate.value > 0 else "below"
        gap = f"{size}{unit} {place} the {expected:g} expected" if float(size) else f"the {expected:g} expected"
        return f"{metric.title} of {between.arm} is {written(mine, places)}{unit}, {gap}"
    theirs = mine - estimate.value
    if not float(size):
        return f"with {between.arm} instead of {between.versus}, {metric.title} stays at {written(mine, places)}{unit}"
    verb = "rises" if estimate.value > 0 else "falls"
    ends = f"from {written(theirs, places)} to {written(mine, places)}{unit}"
    return (
        f"with {between.arm} instead of {between.versus}, {metric.title} {verb} by {size}{unit}, {ends}"
        f"{factor(study, between.metric, theirs, mine)}"
    )


def effect_told(study: Study, between: Difference, title: str, size: str) -> str:
    """`ema (in place) raises macro-F1 by 0.012 on the mean over the other settings`; of two, how the one's depends."""
    crossed, estimate = study.design.crossed(), between.estimate
    assert estimate is not None
    names = short_names(list(crossed))
    first, *others = between.effect
    does, more = f"{names[first]} {step(crossed, first)}", estimate.value > 0
    if others:
        low, high = crossed[others[0]]
        ends = f"at {names[others[0]]}={label(high)} than at {names[others[0]]}={label(low)}"
        if low is False and high is True:
            ends = f"with {names[others[0]]} than without it"
        return f"{does} adds {size} {'more' if more else 'less'} to {title} {ends}"
    return f"{does} {'raises' if more else 'lowers'} {title} by {size} on the mean over all other settings"


def factor(study: Study, metric: str, old: float, new: float) -> str:
    """How many times as much, of what has a natural zero and no upper end, such as a time or a size."""
    known = study.metric(metric)
    if known.low != 0 or known.high is not None or min(old, new) <= 0:
        return ""
    ratio = max(old, new) / min(old, new)
    return f" ({ratio:.2g} times {'more' if new > old else 'less'})" if ratio >= RATIO else ""


def mean_of(study: Study, arm: str, metric: str) -> float:
    """An arm's mean."""
    values = study.values(arm, metric)
    return sum(values.values()) / len(values) if values else float("nan")


def guarded(study: Study, guard: Guard) -> str:
    """`accuracy falls by 0.011, more than the 0.010 that is allowed`."""
    metric, estimate = study.metric(guard.metric), guard.difference.estimate
    if estimate is None:
        return f"{metric.title} was not measured"
    places = max(decimals([estimate.value], 2), decimals([guard.limit], 2))
    unit = f" {metric.unit}" if metric.unit else ""
    verb = "rises" if estimate.value > 0 else "falls"
    way = "more than" if guard.ok is False else "within"
    size, limit = written(abs(estimate.value), places), written(guard.limit, places)
    return f"{metric.title} {verb} by {size}{unit}, {way} the {limit} that is allowed"


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
    gap = abs(mean_of(study, best_arm, metric.name) - mean_of(study, second.arm, metric.name))
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
