"""The effects of factors that are crossed, and how much that of one depends on another.

All runs measure each effect, by the analysis of variance with seeds as blocks. Told is what the arms can tell by their
rank; what is in the same figure stands beside it (`lab.design.factorial`). A claim about an effect is decided as one
about an arm is: of a recipe over seeds and test items in one interval, of given models over items.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lab.analysis import bounded, per_item, resampling, statistics
from lab.analysis.estimates import BOTH, COUNTED, IMAGES, Difference, contradiction, is_scored, resolution
from lab.analysis.folds import overlap
from lab.analysis.statistics import Estimate, holm
from lab.analysis.wording import with_interval
from lab.design import factorial
from lab.design.factorial import Crossed, Model, Term, called
from lab.design.levels import Level, label, short_names
from lab.design.power import ALPHA
from lab.study import FAILED

if TYPE_CHECKING:
    import numpy as np

    from lab.study import Examples, Study

MOST = 4  # effects that are told in sentences


@dataclass(frozen=True)
class Effect:
    """What a factor does, or for two of them how much the one's effect depends on the other.

    A factor's effect is the mean with its second level minus the mean with its first. An interaction is a factor's
    effect at the other's second level, minus that at its first; Montgomery halves it. Of a component of an ablation the
    second level is to have it.

    Attributes:
        components: the factor, or the two.
        estimate: of factors with two levels; None of others, which have a test alone.
        p: of there being no effect; None without a test.
        p_holm: the same, corrected over all effects but the one that the hypothesis names.
        aliases: the effects that are in the same figure, and are taken for nought.
    """

    components: Term
    estimate: Estimate | None
    p: float | None
    p_holm: float | None
    aliases: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Fit:
    """The analysis of variance of runs: the effects, and the weights of the runs in each (effects by columns, runs)."""

    model: Model
    effects: list[Effect]
    weights: np.ndarray
    noise: float
    free: float


def fit(
    rows: Sequence[Mapping[str, Level]],
    crossed: Crossed,
    values: Sequence[float],
    blocks: Sequence[Any],
    resolution: float = 0.0,
    alone: Term = (),
    overlap: float = 0.0,
) -> Fit:
    """The effects that runs tell, by the analysis of variance with seeds as blocks.

    Effects of three and more factors are taken for noise. Montgomery, Design and Analysis of Experiments, 8th edition,
    2012, chapters 5 and 6.

    Args:
        rows: the levels of each run.
        crossed: the factors with their levels.
        values: the metric of each run.
        blocks: its seed.
        resolution, overlap: as for `statistics.mean`: what is left unexplained is taken for no less, and for more where
            blocks are folds of a cross-validation.
        alone: the effect whose p is no part of Holm's correction.
    """
    import numpy as np
    from scipy.special import fdtrc, stdtr, stdtrit

    found, y = factorial.model(rows, crossed, blocks), np.array(values, float)
    weights = np.linalg.pinv(found.matrix)
    coefficients = weights @ y
    free = len(y) - found.matrix.shape[1]
    rest = float(((y - found.matrix @ coefficients) ** 2).sum())
    noise = max(math.sqrt(rest / free), resolution) * math.sqrt(1 + len(set(blocks)) * overlap) if free else 0.0
    effects, n = [], len(y)
    for term, places in found.columns.items():
        own, spread = coefficients[places], weights[places] @ weights[places].T
        value, aliases = float(own[0]), tuple(found.aliases[term])
        tested = noise > statistics.TINY  # as many effects as runs, or no noise: there is no test
        if len(places) > 1:
            ratio = own @ np.linalg.solve(spread, own) / len(places) / noise**2 if tested else 0.0
            p = float(fdtrc(len(places), free, ratio)) if tested else None
            effects.append(Effect(term, None, p, None, aliases))
        elif not tested:
            effects.append(Effect(term, Estimate(value, n=n), None, None, aliases))
        else:
            error = noise * math.sqrt(spread[0, 0])
            p, width = 2 * float(stdtr(free, -abs(value) / error)), float(stdtrit(free, 1 - ALPHA / 2)) * error
            estimate = Estimate(value, value - width, value + width, n, error * math.sqrt(n), free, p)
            effects.append(Effect(term, estimate, p, None, aliases))
    others = [i for i, effect in enumerate(effects) if effect.p is not None and effect.components != alone]
    for i, p in zip(others, holm([effects[i].p or 0.0 for i in others]), strict=True):
        effects[i] = replace(effects[i], p_holm=p)
    return Fit(found, effects, weights, noise, free)


# Of a study


def effects(study: Study, metric: str | None) -> list[Effect]:
    """The effects that a study's arms tell, once every arm has been measured; empty before, and of other designs."""
    found = fitted(study, metric) if metric is not None else None
    if metric is None or found is None:
        return []
    known = study.metric(metric)
    return [
        replace(each, estimate=each.estimate and bounded.change(each.estimate, known, 0.0, len(each.components)))
        for each in found.effects
    ]


def fitted(study: Study, metric: str) -> Fit | None:
    """The analysis of a study's runs; None where an arm has none, the arms don't tell the factors apart, or
    have other numbers of seeds, added by what was seen."""
    crossed, runs = study.design.crossed(), measured_runs(study, metric)
    if not crossed or study.design.growth or not runs or len({arm for arm, _, _ in runs}) < len(study.arms):
        return None
    rows = [study.arms[arm][0].levels for arm, _, _ in runs]
    claimed = factorial.in_order(study.design.claimed_effect, crossed)
    values, seeds = [value for _, _, value in runs], [seed for _, seed, _ in runs]
    found = fit(rows, crossed, values, seeds, resolution(study, metric), claimed, overlap(study, seeds))
    return found if factorial.laid_out(found.model, crossed) else None


def measured_runs(study: Study, metric: str) -> list[tuple[str, int, float]]:
    """Arm, seed and value of each finished run."""
    return [(arm, seed, value) for arm in study.arms for seed, value in study.values(arm, metric).items()]


def claimed(study: Study, metric: str, examples: Examples, margin: float) -> tuple[Difference, list[Term], bool]:
    """The effect that the hypothesis is about, as a difference; and what it can't be told from (`factorial.confused`).

    Without an estimate where an arm has no run yet, or the arms don't tell it.
    """
    crossed = study.design.crossed()
    term = factorial.in_order(study.design.claimed_effect, crossed)
    name = called(term, short_names(list(crossed)))
    found = fitted(study, metric)
    if found is None:
        return Difference(metric, name, None, {}, effect=term), [], False
    others, undecided = factorial.confused(term, found.model)
    if term not in found.model.columns:
        return Difference(metric, name, None, {}, effect=term), others, undecided
    weights = found.weights[found.model.columns[term][0]]
    between = of_weights(study, Difference(metric, name, None, {}, effect=term), found, weights, examples, margin)
    known = study.metric(metric)
    return between.each(lambda estimate: bounded.change(estimate, known, margin, len(term))), others, undecided


def of_weights(
    study: Study, between: Difference, found: Fit, weights: np.ndarray, examples: Examples, margin: float
) -> Difference:
    """An effect's estimate, by the weight of each run in it."""
    import numpy as np

    metric, runs = between.metric, measured_runs(study, between.metric)
    seeds = list(dict.fromkeys(seed for _, seed, _ in runs))
    of_seed = np.array(
        [
            [len(seeds) * w if seed == own else 0.0 for (_, own, _), w in zip(runs, weights, strict=True)]
            for seed in seeds
        ]
    )  # (seeds, runs), whose mean is the effect
    values = of_seed @ np.array([value for _, _, value in runs])
    between = replace(between, values=dict(zip(seeds, values.tolist(), strict=True)))
    value, n = float(values.mean()), len(seeds)
    if study.metric(metric).exact:
        return replace(between, seeds=statistics.counted(values.tolist(), margin), basis=COUNTED)
    error = found.noise * math.sqrt(float((weights**2).sum()))
    if error <= statistics.TINY:
        return replace(between, seeds=Estimate(value, n=n))
    between = replace(between, seeds=statistics.student(value, error * math.sqrt(n), n, margin, found.free))
    return with_items(study, between, found, of_seed, error, examples, margin)


def with_items(
    study: Study, between: Difference, found: Fit, of_seed: np.ndarray, error: float, examples: Examples, margin: float
) -> Difference:
    """The effect with what test items make of it, where it is known what was said of each (`estimates.with_items`)."""
    metric, runs = between.metric, measured_runs(study, between.metric)
    if not is_scored(study, metric):
        return between
    frames = [examples.frames[arm, seed] for arm, seed, _ in runs if (arm, seed) in examples.frames]
    item = study.contract.item
    why = f"what was said of each test {item} is not in DVC's cache here for every run: dvc pull brings it"
    if len(frames) == len(runs):
        told = (contradiction(study, metric, run, frame, examples) for run, frame in zip(runs, frames, strict=True))
        why = next(filter(None, told), "")
    if why:
        return replace(between, note=f"the luck of the test {item}s is not in the interval: {why}")
    cluster = per_item.cluster(study.contract.predictions, frames)
    column = cluster or (study.contract.predictions.item if study.contract.predictions else "path")
    scored = per_item.scores(frames, metric, examples, column)
    if scored is None or scored[1] < 2:
        return between
    score, items = scored
    drawn = resampling.resampled(lambda weights: of_seed @ score(weights), items)  # (seeds, draws)
    images = resampling.bootstrap(
        lambda weights: (of_seed @ score(weights)).mean(0), items, margin, drawn=drawn.mean(0)
    )
    between = replace(between, images=images, cluster=cluster)
    if not study.contract.is_recipe(study.design.type):
        return replace(between, basis=IMAGES)
    n = len(between.values)
    if n < 2:
        return between
    shared, value = resampling.shared_variance(drawn, items), sum(between.values.values()) / n
    variance = error**2 + shared
    degrees = found.free * (variance / error**2) ** 2
    both = statistics.student(value, math.sqrt(variance * n), n, margin, degrees)
    return replace(between, both=both, shared=shared, basis=BOTH)


def failed(study: Study) -> str:
    """How many runs failed, in words: all of them measure an effect; empty where none has."""
    lost = sum(replicate.status == FAILED for replicate in study.replicates)
    return f"{lost} of the {len(study.replicates)} runs failed" if lost else ""


# In words


def sentences(study: Study, found: Sequence[Effect]) -> Iterator[str]:
    """Which effects are shown, the strongest first, and of interactions how many are not; and what they may be."""
    crossed = study.design.crossed()
    names, claim = short_names(list(crossed)), factorial.in_order(study.design.claimed_effect, crossed)
    others = [effect for effect in found if effect.components != claim]
    shown = sorted(
        (effect for effect in others if effect.p_holm is not None and effect.p_holm < ALPHA),
        key=lambda effect: effect.p_holm or 0.0,
    )
    for effect in shown[:MOST]:
        yield f"{said(study, effect, names)}{mixed(effect, names)}"
    if len(shown) > MOST:
        yield f"and {len(shown) - MOST} more effects are shown: the table of effects has them"
    tested = [effect for effect in others if effect.p_holm is not None and effect not in shown]
    for what, order in (("effect of a factor", 1), ("interaction", 2)):
        count = sum(len(effect.components) == order for effect in tested)
        if count:
            rest = [called(effect.components, names) for effect in tested if len(effect.components) == order]
            listed = f" ({', '.join(rest)})" if count <= MOST else ""
            yield f"{count} {what}{'' if count == 1 else 's'} not shown{listed}: p after Holm is 0.05 or more"
    if found and not any(effect.p is not None for effect in found):
        yield "the effects have no test: there are as many of them as runs, or no noise between the runs"


def said(study: Study, effect: Effect, names: Mapping[str, str]) -> str:
    """`ema × warmup: +0.02 [+0.01, +0.03], p = 0.003: what ema does depends on warmup`."""
    crossed, estimate = study.design.crossed(), effect.estimate
    name, p = called(effect.components, names), effect.p_holm if effect.p_holm is not None else effect.p
    tested = "" if p is None else f", p = {p:.2g}"
    first = names[effect.components[0]]
    if len(effect.components) == 2:
        does = f"what {first} does depends on {names[effect.components[1]]}"
        return f"{name}: {with_interval(estimate) if estimate else does}{tested}" + (f": {does}" if estimate else "")
    if estimate is None:
        return f"{name}: its {len(crossed[effect.components[0]])} levels differ{tested}"
    return f"{name} {step(crossed, effect.components[0])}: {with_interval(estimate)}{tested}"


def step(crossed: Crossed, factor: str) -> str:
    """`(0.01 → 0.03)`, of a factor with two levels."""
    first, second = crossed[factor]
    return "(in place)" if first is False and second is True else f"({label(first)} → {label(second)})"


def mixed(effect: Effect, names: Mapping[str, str]) -> str:
    """With what an effect shares its figure."""
    if not effect.aliases:
        return ""
    return f"; it can't be told from {', '.join(called(term, names) for term in effect.aliases)}"
