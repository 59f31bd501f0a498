"""A numeric factor: the main metric over it, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lab.nested_keys import get
from lab.report import tables
from lab.report.figures.drawing import BLUE, VERMILION, Picture, bar, canvas, marks, mean_told, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Replicate, Study


def response(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The metric over the factor, and each of the figure's that was measured."""
    import pandas as pd

    assert verdict.metric is not None
    (factor,), name = tables.factors(study, 1), entry.file
    short = factor.rpartition(".")[2]
    labels = words(entry, x=short)
    if not any(_place(replicates, factor) is not None for replicates in study.arms.values()):
        yield Picture(name, f"The response to {factor} is not shown: it is no number.")
        return
    metrics = dict.fromkeys([verdict.metric, *tables.resolved(study, entry.metrics)])
    titles = dict(zip_longest(metrics, entry.titles[: len(metrics)], fillvalue=""))
    shown = [metric for metric in metrics if tables.is_measured(study, metric)]
    figure, grid = canvas(3.4, 1, len(shown), squeeze=False)
    rows = []
    for axes, metric in zip(grid[0], shown, strict=True):
        rows += _curve(axes, study, factor, metric, BLUE if metric == verdict.metric else VERMILION)
        axes.set(ylabel=study.metric(metric).label, xlabel=labels["x"])
        axes.grid(axis="y")
        if metric != verdict.metric:
            axes.set_ylim(bottom=0)
        axes.set_title(titles[metric])
    lines = any(row["low"] is not None for row in rows)
    caption = "Circles are single seeds; the line is their mean" + (", its bars the 95 % interval." if lines else ".")
    data = pd.DataFrame([{"arm": row["arm"], short: row["x"]} | row for row in rows]).drop(columns="x")
    yield Picture(name, caption, data, figure)


def _curve(axes: Axes, study: Study, factor: str, metric: str, colour: str) -> list[dict[str, Any]]:
    """A metric over the factor, with its points, mean and intervals."""
    rows: list[dict[str, Any]] = []
    for arm, replicates in study.arms.items():
        x, mean = _place(replicates, factor), tables.mean(study, arm, metric)
        if x is not None and mean:
            ends = {"mean": mean.value, "low": mean.low, "high": mean.high}
            rows.append({"arm": arm, "x": x, "metric": metric, **ends})
            values = tables.by_seed(replicates, metric)
            (line,) = axes.plot([x] * len(values), [*values.values()], "o", ms=4.5, mfc="white", mec=colour, mew=1)
            marks.tell(line, [f"{arm}, seed {seed}: {value:.4g}" for seed, value in values.items()])
    rows.sort(key=lambda row: row["x"])
    places = [row["x"] for row in rows]
    (line,) = axes.plot(places, [row["mean"] for row in rows], "D-", color=colour, ms=5.5, lw=1.5)
    marks.tell(line, [mean_told(row["arm"], row["mean"], row["low"], row["high"]) for row in rows])
    for row in rows:
        bar(axes, (row["x"], row["x"]), (row["low"], row["high"]), colour)
    if places:
        axes.set_xticks(places, [f"{x:g}" for x in places])
    return rows


def _place(replicates: list[Replicate], factor: str) -> float | None:
    """The factor's value in an arm; None where it is no number, or no run tells it."""
    values = (get(replicate.record.params, factor) for replicate in replicates if replicate.record)
    value = next((value for value in values if value not in (None, "")), None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
