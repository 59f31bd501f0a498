"""Arms beside each other: what each measured, seed by seed, and how it differs from the reference."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.analysis import looks
from lab.analysis.decisions import EQUIVALENT
from lab.analysis.estimates import BOTH, COUNTED, IMAGES, SEEDS, arm_mean, at_90
from lab.design.models import AblationDesign
from lab.report import tables
from lab.report.figures.colours import coloured
from lab.report.figures.drawing import (
    DASHED,
    GREY,
    INK,
    ORANGE,
    VERMILION,
    Picture,
    bar,
    canvas,
    interval,
    key,
    points,
    ruled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study

MOST_METRICS = 3  # rows of a figure
MANY = 12  # arms from which on the best come first


def arms(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The arms, and their differences from the reference."""
    yield beside_each_other(study, verdict)


def beside_each_other(study: Study, verdict: Verdict, more: Mapping[str, dict[int, float]] | None = None) -> Picture:
    """A row of panels for each metric: the arms' values on the left, their changes on the right.

    `more` are further lines of the main metric that no arm of the design stands for: values by seed, by their names.
    """
    import pandas as pd

    assert verdict.metric is not None
    metrics = [verdict.metric, *study.metrics[1:]][:MOST_METRICS]
    names, seeds = ordered(study, verdict), list(study.seeds)
    more = more or {}
    reference = study.reference
    columns = 2 if reference in study.arms and len(names) > 1 else 1
    height = 0.9 + len(metrics) * (0.75 + 0.34 * (len(names) + len(more)))
    figure, grid = canvas(height, len(metrics), columns, squeeze=False, sharey="row")
    rows: list[dict[str, Any]] = []
    colours = coloured(study, verdict)
    over: set[str] = set()
    item = f"test {study.contract.item}s"
    basis = {SEEDS: "seeds", IMAGES: item, BOTH: f"seeds and {item}"}
    dashed: dict[str, str] = {}
    for line, metric in zip(grid, metrics, strict=True):
        measured = sorted(tables.arms(study, verdict, metric), key=lambda arm: names.index(arm["arm"]))
        left = line[0]
        for y, arm in enumerate(measured):
            colour = colours.get(arm["arm"], GREY)
            values = study.values(arm["arm"], metric)
            rows += [{"metric": metric, **arm, "seed": seed, "value": value} for seed, value in values.items()]
            if arm["mean"] is None:
                left.annotate("no finished run", (0.02, y), xycoords=("axes fraction", "data"), va="center", color=GREY)
                continue
            points(left, values, seeds, y, colour, arm["arm"])
            interval(left, arm["mean"], arm["low"], arm["high"], y, colour, arm["arm"])
            over |= {"seeds"} if arm["low"] is not None else set()
            if columns == 2 and arm["change"] is not None:
                change = tables.changed(study, verdict, arm["arm"], metric)
                about = f"{arm['arm']} − {reference}"
                points(line[1], change.values if change else {}, seeds, y, colour, about)
                interval(line[1], arm["change"], arm["change_low"], arm["change_high"], y, colour, about)
                if change is not None and equivalent(verdict, arm["arm"], metric):
                    look = looks.at(study, arm["arm"], reference) if reference else None
                    narrow = at_90(change.estimate, look) if change.estimate else None
                    bar(line[1], (narrow.low, narrow.high) if narrow else (None, None), (y, y), INK, 4.5)
                    dashed |= {"90 % interval, which the test of equivalence takes": INK} if narrow else {}
                has_basis = arm["change_low"] is not None and arm["basis"] in basis
                over |= {basis[arm["basis"]]} if has_basis else set()
        extra = more if metric == metrics[0] else {}
        for y, (name, values) in enumerate(extra.items(), start=len(measured)):
            mean = arm_mean(study, metric, values)
            points(left, values, seeds, y, ORANGE)
            interval(left, mean.value, mean.low, mean.high, y, ORANGE)
            row = {"metric": metric, "arm": name, "seeds": len(values)}
            row |= {"mean": mean.value, "low": mean.low, "high": mean.high}
            rows += [row | {"seed": seed, "value": value} for seed, value in values.items()]
            over |= {"seeds"} if mean.low is not None else set()
        labels = [
            f"{text} ★" if name == (verdict.winner or verdict.best) else text
            for name, text in zip([*names, *extra], wrapped([*names, *extra]), strict=True)
        ]
        left.set(yticks=range(len(labels)), yticklabels=labels, xlabel=study.metric(metric).label)
        left.set_ylim(len(labels) - 0.5, -0.5)
        if columns == 2:
            dashed |= _differences(line[1], study, verdict, metric, names.index(str(reference)))
        elif metric == verdict.metric and verdict.expected:
            left.axvline(verdict.expected.value, color=ORANGE, lw=1.2, ls=DASHED, zorder=1)
            dashed["expected"] = ORANGE
        for axes in line:
            ruled(axes)
    grid[0][0].set_title("each arm")
    if columns == 2:
        grid[0][1].set_title("\n".join(textwrap.wrap(_question(study), 46)))
    key(figure, bool(over), " or ".join(sorted(over)), dashed)
    return Picture("arms", _caption(study, metrics, bool(over)), pd.DataFrame(rows), figure)


def _differences(axes: Axes, study: Study, verdict: Verdict, metric: str, place: int) -> dict[str, str]:
    """The scale of the changes; returns the colours of its dashed lines: the least claimed, the most allowed."""
    axes.axvline(0, color=GREY, lw=1, zorder=1)
    axes.set_xlabel(f"change in {study.metric(metric).label}")
    hypothesis = study.design.hypothesis
    dashed: dict[str, tuple[float, str]] = {}
    sign = -1 if hypothesis and hypothesis.direction == "minimize" else 1
    if hypothesis and metric == verdict.metric and hypothesis.min_effect:
        dashed["least that is claimed"] = (sign * hypothesis.min_effect, ORANGE)
    for rail in hypothesis.guardrails if hypothesis else []:
        if rail.metric == metric:
            limit = rail.max_increase if rail.max_increase is not None else -(rail.max_decrease or 0)
            dashed["limit"] = (limit, VERMILION)
    if hypothesis and hypothesis.min_effect and any(equivalent(verdict, arm, metric) for arm in study.arms):
        axes.axvspan(-hypothesis.min_effect, hypothesis.min_effect, color=GREY, alpha=0.15, lw=0, zorder=0)
        dashed["no difference that counts"] = (-sign * hypothesis.min_effect, ORANGE)
    for value, colour in dashed.values():
        axes.axvline(value, color=colour, lw=1.2, ls=DASHED, zorder=1)
    # Where there is more room, up to a dashed line or the end of the axis.
    ends = [*axes.get_xlim(), *(value for value, _ in dashed.values())]
    room = {side: min((side * end for end in ends if side * end > 0), default=0) for side in (1, -1)}
    side = 1 if room[1] > room[-1] else -1
    axes.annotate(
        "reference",
        (0, place),
        xytext=(6 * side, 0),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        va="center",
        color=GREY,
        bbox={"fc": "white", "ec": "none", "pad": 1},
    )
    return {text: colour for text, (_, colour) in dashed.items()}


def ordered(study: Study, verdict: Verdict) -> list[str]:
    """The arms as the design has them; many of them the best first."""
    if len(study.arms) <= MANY:
        return list(study.arms)
    sign = study.merit(str(verdict.metric))
    means = {arm.arm: sign * arm.mean.value for arm in verdict.arms if arm.mean}
    return sorted(study.arms, key=lambda arm: -means.get(arm, -math.inf))


def equivalent(verdict: Verdict, arm: str, metric: str) -> bool:
    """Whether an arm's change in a metric was shown to be none that counts: by its 90 % interval."""
    compared = tables.compared(verdict, arm)
    if compared is None or not compared.claimed or compared.difference.basis == COUNTED:
        return False
    return compared.outcome == EQUIVALENT and compared.difference.metric == metric


def _question(study: Study) -> str:
    """What a change is."""
    design = study.design
    if isinstance(design, AblationDesign) and design.ablation.method == "leave_one_out":
        return "what changes when one component is taken away"
    if isinstance(design, AblationDesign) and design.ablation.method == "add_one_in":
        return "what changes when one component is added"
    if study.question.heading:
        return study.question.heading.format(reference=study.reference)
    return f"difference from {study.reference}, seed by seed"


def _caption(study: Study, metrics: Sequence[str], has_interval: bool) -> str:
    """What makes a model better, whichever way the claim goes: `More is better in recall, less in size.`"""
    sides: dict[str, list[str]] = {"more": [], "less": []}
    for metric in metrics:
        sides["less" if study.minimized(metric) else "more"].append(study.metric(metric).title)
    first, *rest = [(way, " and ".join(names)) for way, names in sides.items() if names]
    better = f"{first[0].capitalize()} is better in {first[1]}{''.join(f', {way} in {names}' for way, names in rest)}."
    alone = len(study.seeds) == 1 and not has_interval
    return f"{better} With one seed there are no intervals: any difference may be chance." if alone else better
