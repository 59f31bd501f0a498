"""A factorial ablation: the change that each component makes, and how the components depend on each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean
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
    import pandas as pd

    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study

MOST_PAIRS = 6  # interactions that are drawn


def effects(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Main effects and interactions, once every arm has been measured."""
    if not verdict.effects:
        yield Picture("effects", "The components' effects are not shown: not every arm has a finished run yet.")
        return
    yield main_effects(study, verdict)
    yield interactions(study, verdict)


def main_effects(study: Study, verdict: Verdict) -> Picture:
    """Main effects and two-way interactions of a factorial ablation."""
    import pandas as pd

    assert verdict.metric is not None
    figure, axes = canvas(1.2 + 0.36 * len(verdict.effects))
    rows = []
    for y, effect in enumerate(verdict.effects):
        estimate = effect.estimate
        colour = BLUE if len(effect.components) == 1 else ORANGE
        interval(axes, estimate.value, estimate.low, estimate.high, y, colour, " × ".join(effect.components))
        ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        rows.append({"effect": " × ".join(effect.components), **ends, "p": effect.p_holm})
    axes.axvline(0, color=GREY, lw=1, zorder=0)
    axes.set(yticks=range(len(rows)), yticklabels=wrapped([row["effect"] for row in rows]))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(xlabel=f"change in {study.metric(verdict.metric).label}, with its 95 % interval")
    axes.set_title("what each component adds, and (×) what it adds to the other's effect")
    ruled(axes)
    caption = "Effects of the components over all arms (analysis of variance, seeds as blocks)."
    return Picture("effects", caption, pd.DataFrame(rows), figure)


def interactions(study: Study, verdict: Verdict) -> Picture:
    """For each two components, the mean with and without the one, by whether the other is in place."""
    import pandas as pd

    assert verdict.metric is not None
    frame = _cells(study, verdict.metric)
    components = study.design.factors()
    strength = {e.components: abs(e.estimate.value) for e in verdict.effects if len(e.components) == 2}
    pairs = sorted(combinations(components, 2), key=lambda pair: -strength.get(pair, 0))[:MOST_PAIRS]
    lines = (len(pairs) + 2) // 3
    figure, grid = canvas(0.6 + 2.5 * lines, lines, min(3, max(len(pairs), 1)), squeeze=False, sharey=True)
    rows = []
    for axes, (a, b) in zip(grid.flat, pairs, strict=False):
        sides = ((True, COLOURS[0], f"with {b}", -0.03), (False, COLOURS[1], f"without {b}", 0.03))
        for there, colour, name, shift in sides:
            means = []
            for at in (False, True):
                by_seed: Any = frame[(frame[a] == at) & (frame[b] == there)].groupby("seed")["value"].mean()
                mean = arm_mean(study, verdict.metric, by_seed.to_dict())
                place = {"component": a, "in place": at, "other": b, "other in place": there}
                rows.append(place | {"mean": mean.value, "low": mean.low, "high": mean.high})
                means.append(mean)
            x = [shift, 1 + shift]  # so that the bars of both lines are seen
            axes.plot(x, [mean.value for mean in means], "o-", color=colour, label=name)
            for at, mean in zip(x, means, strict=True):
                bar(axes, (at, at), (mean.low, mean.high), colour, 1.4)
        axes.set(xticks=[0, 1], xticklabels=[f"without {a}", f"with {a}"], xlim=(-0.35, 1.35))
        axes.set_title(f"{a} by {b}")
        axes.grid(axis="y")
        axes.margins(y=0.35)
        axes.legend(loc="upper center")
    for axes in list(grid.flat)[len(pairs) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel(study.metric(verdict.metric).label)
    most = (
        f" The {MOST_PAIRS} strongest of all pairs."
        if len(components) * (len(components) - 1) // 2 > MOST_PAIRS
        else ""
    )
    bars = " Bars are 95 % intervals over the seeds." if any(row["low"] is not None for row in rows) else ""
    caption = f"Parallel lines: the components work independently of each other.{bars}{most}"
    return Picture("interactions", caption, pd.DataFrame(rows), figure)


def _cells(study: Study, metric: str) -> pd.DataFrame:
    """A row a run: which components were in place, and what came out."""
    import pandas as pd

    return pd.DataFrame(
        {**replicates[0].levels, "seed": seed, "value": value}
        for arm, replicates in study.arms.items()
        for seed, value in study.values(arm, metric).items()
    )
