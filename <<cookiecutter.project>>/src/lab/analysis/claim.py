"""What a claim came to, in a sentence: the difference that decides, and the guardrails beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.comparisons import claimed_sign
from lab.analysis.decisions import EQUIVALENT, REFUTED, SUPPORTED
from lab.analysis.effects import step
from lab.analysis.estimates import COUNTED, IMAGES
from lab.decimals import decimals, written
from lab.design.levels import label, short_names

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison, Guard
    from lab.analysis.estimates import Difference
    from lab.study import Study

RATIO = 1.2  # from which on a change is told as a factor, too


def told(study: Study, comparison: Comparison) -> str:
    """What an arm's difference comes to, as its outcome has it."""
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
