"""Arms beside each other: what each measured, seed by seed, and how it differs from the reference."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import IMAGES, SEEDS, arm_mean, measured
from lab.design.models import AblationDesign
from lab.records.study import minimized
from lab.report import tables
from lab.report.figures.drawing import (
    BLUE,
    COLOURS,
    DASHED,
    GREY,
    ORANGE,
    VERMILION,
    Picture,
    bar,
    canvas,
    interval,
    key,
    png,
    points,
    ruled,
    wrapped,
)
from lab.report.tables import Shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.records.study import Study

MOST_METRICS = 3  # rows of a figure
MOST_PAIRS = 6  # interactions that are drawn
OVER = {SEEDS: "seeds", IMAGES: "test images"}


def comparison(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The arms, and their differences from the reference."""
    assert verdict.metric is not None
    yield arms(study, verdict, [verdict.metric, *study.metrics[1:]][:MOST_METRICS])


def ablation(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The change that each component makes, and for a factorial how the components depend on each other."""
    yield from comparison(study, verdict)
    if verdict.effects:
        yield effects(study, verdict)
        yield interactions(study, verdict)
    elif tables.shape(study.design) is Shape.FACTORIAL:
        yield Picture("effects", "The components' effects are not shown: not every arm has a finished run yet.")


def arms(study: Study, verdict: Verdict, metrics: Sequence[str], more: Iterable[dict[str, Any]] = ()) -> Picture:
    """A row of panels for each metric: the arms' values on the left, their changes on the right.

    `more` are further lines of the first metric that no arm of the design stands for: their name as `arm`, and `values`
    by seed.
    """
    import pandas as pd

    names, seeds = list(study.arms), list(study.design.seeds)
    more = list(more)
    reference = study.reference
    columns = 2 if reference in study.arms and len(names) > 1 else 1
    height = 0.9 + len(metrics) * (0.75 + 0.34 * (len(names) + len(more)))
    figure, grid = canvas(height, len(metrics), columns, squeeze=False, sharey="row")
    rows: list[dict[str, Any]] = []
    over: set[str] = set()
    dashed: dict[str, str] = {}
    for line, metric in zip(grid, metrics, strict=True):
        found = tables.arms(study, verdict, metric)
        left = line[0]
        for y, arm in enumerate(found):
            colour = GREY if arm["arm"] == reference else BLUE
            values = measured(study.arms[arm["arm"]], metric)
            rows += [{"metric": metric, **arm, "seed": seed, "value": value} for seed, value in values.items()]
            if arm["mean"] is None:
                left.annotate("no finished run", (0.02, y), xycoords=("axes fraction", "data"), va="center", color=GREY)
                continue
            points(left, values, seeds, y, colour)
            interval(left, arm["mean"], arm["low"], arm["high"], y, colour)
            over |= {"seeds"} if arm["low"] is not None else set()
            if columns == 2 and arm["change"] is not None:
                change = tables.changed(study, verdict, arm["arm"], metric)
                points(line[1], change.values if change else {}, seeds, y, colour)
                interval(line[1], arm["change"], arm["change_low"], arm["change_high"], y, colour)
                over |= {OVER[arm["basis"]]} if arm["change_low"] is not None and arm["basis"] in OVER else set()
        extra = more if metric == metrics[0] else []
        for y, each in enumerate(extra, start=len(found)):
            alone = arm_mean(study, metric, each["values"])
            points(left, each["values"], seeds, y, ORANGE)
            interval(left, alone.value, alone.low, alone.high, y, ORANGE)
            told = {"metric": metric, "arm": each["arm"], "seeds": len(each["values"])}
            told |= {"mean": alone.value, "low": alone.low, "high": alone.high}
            rows += [told | {"seed": seed, "value": value} for seed, value in each["values"].items()]
            over |= {"seeds"} if alone.low is not None else set()
        labels = wrapped([*names, *(each["arm"] for each in extra)])
        left.set(yticks=range(len(labels)), yticklabels=labels, xlabel=tables.title(metric))
        left.set_ylim(len(labels) - 0.5, -0.5)
        if columns == 2:
            dashed |= _differences(line[1], study, verdict, metric, str(reference))
        elif metric == verdict.metric and verdict.expected:
            left.axvline(verdict.expected.value, color=ORANGE, lw=1.2, ls=DASHED, zorder=1)
            dashed["expected"] = ORANGE
        for axes in line:
            ruled(axes)
    grid[0][0].set_title("each arm")
    if columns == 2:
        grid[0][1].set_title("\n".join(textwrap.wrap(_question(study), 46)))
    key(figure, bool(over), " or ".join(sorted(over)), dashed)
    return Picture("arms", _caption(study, metrics, bool(over)), pd.DataFrame(rows), png(figure))


def _differences(axes: Axes, study: Study, verdict: Verdict, metric: str, reference: str) -> dict[str, str]:
    """The scale of the changes; returns the dashed lines that it has: the least change that is claimed, and one too many."""
    axes.axvline(0, color=GREY, lw=1, zorder=1)
    axes.set_xlabel(f"change in {tables.title(metric)}")
    hypothesis = study.design.hypothesis
    dashed: dict[str, tuple[float, str]] = {}
    if hypothesis and metric == verdict.metric and hypothesis.min_effect:
        sign = 1 if hypothesis.direction == "maximize" else -1
        dashed["least that is claimed"] = (sign * hypothesis.min_effect, ORANGE)
    for rail in hypothesis.guardrails if hypothesis else []:
        if rail.metric == metric:
            limit = rail.max_increase if rail.max_increase is not None else -(rail.max_decrease or 0)
            dashed["limit"] = (limit, VERMILION)
    for value, colour in dashed.values():
        axes.axvline(value, color=colour, lw=1.2, ls=DASHED, zorder=1)
    # Where there is more room, up to a dashed line or the end of the axis.
    ends = [*axes.get_xlim(), *(value for value, _ in dashed.values())]
    room = {side: min((side * end for end in ends if side * end > 0), default=0) for side in (1, -1)}
    side = 1 if room[1] > room[-1] else -1
    axes.annotate(
        "reference",
        (0, list(study.arms).index(reference)),
        xytext=(6 * side, 0),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va="center",
        color=GREY,
        bbox={"fc": "white", "ec": "none", "pad": 1},
    )
    return {text: colour for text, (_, colour) in dashed.items()}


def _question(study: Study) -> str:
    """What a change is."""
    design = study.design
    if isinstance(design, AblationDesign) and design.ablation.method == "leave_one_out":
        return "what changes when one component is taken away"
    if isinstance(design, AblationDesign) and design.ablation.method == "add_one_in":
        return "what changes when one component is added"
    if tables.shape(design) is Shape.AUGMENTATION:
        return f"the effect of each policy, against {study.reference}"
    return f"difference from {study.reference}, seed by seed"


def _caption(study: Study, metrics: Sequence[str], has_interval: bool) -> str:
    """What makes a model better, whichever way the claim goes: `More is better in macro-F1, less in size.`"""
    sides: dict[str, list[str]] = {"more": [], "less": []}
    for metric in metrics:
        sides["less" if minimized(study.design, metric) else "more"].append(tables.title(metric).partition(",")[0])
    first, *rest = [(way, " and ".join(names)) for way, names in sides.items() if names]
    said = f"{first[0].capitalize()} is better in {first[1]}{''.join(f', {way} in {names}' for way, names in rest)}."
    alone = len(study.design.seeds) == 1 and not has_interval
    return f"{said} With one seed there are no intervals: any difference may be chance." if alone else said


def effects(study: Study, verdict: Verdict) -> Picture:
    """Main effects and two-way interactions of a factorial ablation."""
    import pandas as pd

    assert verdict.metric is not None
    figure, axes = canvas(1.2 + 0.36 * len(verdict.effects))
    rows = []
    for y, effect in enumerate(verdict.effects):
        found = effect.estimate
        colour = BLUE if len(effect.components) == 1 else ORANGE
        interval(axes, found.value, found.low, found.high, y, colour)
        rows.append(
            {
                "effect": " × ".join(effect.components),
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "p": effect.p_holm,
            }
        )
    axes.axvline(0, color=GREY, lw=1, zorder=0)
    axes.set(yticks=range(len(rows)), yticklabels=wrapped([row["effect"] for row in rows]))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(xlabel=f"change in {tables.title(verdict.metric)}, with its 95 % interval")
    axes.set_title("what each component adds, and (×) what it adds to the other's effect")
    ruled(axes)
    caption = "Effects of the components over all arms (analysis of variance, seeds as blocks)."
    return Picture("effects", caption, pd.DataFrame(rows), png(figure))


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
                found = arm_mean(study, verdict.metric, by_seed.to_dict())
                place = {"component": a, "in place": at, "other": b, "other in place": there}
                rows.append(place | {"mean": found.value, "low": found.low, "high": found.high})
                means.append(found)
            x = [shift, 1 + shift]  # so that the bars of both lines are seen
            axes.plot(x, [found.value for found in means], "o-", color=colour, label=name)
            for at, found in zip(x, means, strict=True):
                bar(axes, (at, at), (found.low, found.high), colour, 1.4)
        axes.set(xticks=[0, 1], xticklabels=[f"without {a}", f"with {a}"], xlim=(-0.35, 1.35))
        axes.set_title(f"{a} by {b}")
        axes.grid(axis="y")
        axes.margins(y=0.35)
        axes.legend(loc="upper center")
    for axes in list(grid.flat)[len(pairs) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel(tables.title(verdict.metric))
    most = (
        f" The {MOST_PAIRS} strongest of all pairs."
        if len(components) * (len(components) - 1) // 2 > MOST_PAIRS
        else ""
    )
    bars = " Bars are 95 % intervals over the seeds." if any(row["low"] is not None for row in rows) else ""
    caption = f"Parallel lines: the components work independently of each other.{bars}{most}"
    return Picture("interactions", caption, pd.DataFrame(rows), png(figure))


def _cells(study: Study, metric: str) -> pd.DataFrame:
    """A row a run: which components were in place, and what came out."""
    import pandas as pd

    return pd.DataFrame(
        {**rows[0].levels, "seed": seed, "value": value}
        for rows in study.arms.values()
        for seed, value in measured(rows, metric).items()
    )
