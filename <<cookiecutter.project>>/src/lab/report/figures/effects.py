"""A factorial: the change that each factor makes, and how the factors depend on each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from lab.analysis.effects import step
from lab.design.factorial import called
from lab.design.levels import Level, label, short_names
from lab.report.effect_tables import mean
from lab.report.figures.drawing import (
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    Picture,
    bar,
    canvas,
    interval,
    ruled,
    wrapped,
)

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study

MOST_PAIRS = 6  # interactions that are drawn


def effects(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Main effects and interactions, once every arm has been measured."""
    if not verdict.effects:
        yield Picture("effects", "The factors' effects are not shown: not every arm has a finished run yet.")
        return
    yield main_effects(study, verdict)
    yield interactions(study, verdict)


def main_effects(study: Study, verdict: Verdict) -> Picture:
    """Main effects and two-way interactions, of factors with two levels."""
    import pandas as pd

    assert verdict.metric is not None
    crossed = study.design.crossed()
    names = short_names(list(crossed))
    found = [(effect, effect.estimate) for effect in verdict.effects if effect.estimate]
    figure, axes = canvas(1.2 + 0.36 * len(found))
    rows = []
    for y, (effect, estimate) in enumerate(found):
        is_main = len(effect.components) == 1
        name = called(effect.components, names) + (f" {step(crossed, effect.components[0])}" if is_main else "")
        interval(axes, estimate.value, estimate.low, estimate.high, y, BLUE if is_main else ORANGE, name)
        ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        mixed = ", ".join(called(term, names) for term in effect.aliases)
        rows.append({"effect": name, **ends, "p": effect.p_holm, "can't be told from": mixed})
    axes.axvline(0, color=GREY, lw=1, zorder=0)
    axes.set(yticks=range(len(rows)), yticklabels=wrapped([row["effect"] for row in rows]))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(xlabel=f"change in {study.metric(verdict.metric).label}, with its 95 % interval")
    axes.set_title("what each factor adds, and (×) what it adds to the other's effect")
    ruled(axes)
    caption = "Effects of the factors over all arms (analysis of variance, seeds as blocks)."
    if any(effect.aliases for effect, _ in found):
        caption += " Some can't be told from others, which the table names."
    return Picture("effects", caption, pd.DataFrame(rows), figure)


def interactions(study: Study, verdict: Verdict) -> Picture:
    """For each two factors, the mean at each level of the one, a line for each level of the other."""
    import pandas as pd

    assert verdict.metric is not None
    crossed = study.design.crossed()
    names = short_names(list(crossed))
    strength = {e.components: 1.0 if e.p is None else e.p for e in verdict.effects if len(e.components) == 2}
    pairs = sorted(combinations(crossed, 2), key=lambda pair: strength.get(pair, 1.0))[:MOST_PAIRS]
    lines = (len(pairs) + 2) // 3
    figure, grid = canvas(0.6 + 2.5 * lines, lines, min(3, max(len(pairs), 1)), squeeze=False, sharey=True)
    rows = []
    for axes, (a, b) in zip(grid.flat, pairs, strict=False):
        for i, other in enumerate(crossed[b]):
            shift, colour = 0.06 * (i / max(1, len(crossed[b]) - 1) - 0.5), COLOURS[i % len(COLOURS)]
            means = [(x, mean(study, verdict.metric, {a: at, b: other})) for x, at in enumerate(crossed[a])]
            there = [(x + shift, estimate) for x, estimate in means if estimate]
            axes.plot(  # beside each other, so that the bars of all lines are seen
                [x for x, _ in there],
                [estimate.value for _, estimate in there],
                "o-",
                color=colour,
                label=state(names[b], other),
            )
            for x, estimate in there:
                bar(axes, (x, x), (estimate.low, estimate.high), colour, 1.4)
            for x, estimate in means:
                if estimate:
                    place = {"factor": a, "level": label(crossed[a][x]), "other": b, "other level": label(other)}
                    rows.append(place | {"mean": estimate.value, "low": estimate.low, "high": estimate.high})
        texts = [state(names[a], level) for level in crossed[a]]
        axes.set(xticks=range(len(texts)), xticklabels=wrapped(texts, 14), xlim=(-0.35, len(texts) - 0.65))
        axes.set_title(f"{names[a]} by {names[b]}")
        axes.grid(axis="y")
        axes.margins(y=0.35)
        axes.legend(loc="upper center")
    for axes in list(grid.flat)[len(pairs) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel(study.metric(verdict.metric).label)
    most = f" The {MOST_PAIRS} strongest of all pairs." if len(crossed) * (len(crossed) - 1) // 2 > MOST_PAIRS else ""
    bars = " Bars are 95 % intervals over the seeds." if any(row["low"] is not None for row in rows) else ""
    caption = f"Parallel lines: the factors work independently of each other.{bars}{most}"
    return Picture("interactions", caption, pd.DataFrame(rows), figure)


def state(name: str, level: Level) -> str:
    """`with ema`, `lr=0.01`."""
    return f"{'with' if level else 'without'} {name}" if isinstance(level, bool) else f"{name}={label(level)}"
