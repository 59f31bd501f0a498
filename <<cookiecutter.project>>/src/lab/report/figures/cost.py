"""What accuracy costs: quantized models by size and speed, image sizes by time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis import statistics
from lab.report import tables
from lab.report.figures.drawing import (
    BLUE,
    COLOURS,
    DASHED,
    GREY,
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.records.study import Study


def quantization(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Accuracy against size and latency, then what each variant loses and gains."""
    metric = tables.accuracy(study)
    if metric is None:
        yield Picture("pareto", "Accuracy against size and speed is not shown: no run has measured an accuracy.")
        return
    yield pareto(study, metric)
    yield loss(study, metric)


def pareto(study: Study, metric: str) -> Picture:
    """Which variants no other beats in accuracy and cost at once."""
    import pandas as pd

    costs = ["quant.size_mb", tables.latency(study.design)]
    rows = []
    for arm in study.arms:
        rows.append({"arm": arm})
        for name in (metric, *costs):
            rows[-1] |= tables.ends(name, tables.mean(study, arm, name))
    frame: Any = pd.DataFrame(rows).dropna(subset=[metric, *costs])
    if frame.empty:
        return Picture("pareto", "Accuracy against size and speed is not shown: no run has measured them all.")
    figure, grid = canvas(3.6, 1, 2, sharey=True)
    markers = "osD^vP*X"
    for axes, cost in zip(grid, costs, strict=True):
        best = statistics.pareto(frame[[metric, cost]].to_numpy().tolist(), [True, False])
        frame[f"best by {cost}"] = best
        front = frame[best].sort_values(cost)
        axes.plot(front[cost], front[metric], color=GREY, lw=1, ls=DASHED, zorder=1)
        for i, arm in enumerate(study.arms):
            here = frame[frame["arm"] == arm]
            colour, marker = COLOURS[i % len(COLOURS)], markers[i % len(markers)]
            pairs = [(tables.by_seed(study.arms[arm], name)) for name in (cost, metric)]
            both = [(pairs[0][seed], pairs[1][seed]) for seed in pairs[0] if seed in pairs[1]]
            axes.plot(*zip(*both, strict=True), marker, ms=4, mfc="white", mec=colour, mew=1) if len(both) > 1 else None
            axes.plot(here[cost], here[metric], marker, ms=8, color=colour, label=arm)
            x, y = (tables.mean(study, arm, name) for name in (cost, metric))
            if x and y:
                bar(axes, (x.low, x.high), (y.value, y.value), colour, 1.2)
                bar(axes, (x.value, x.value), (y.low, y.high), colour, 1.2)
        axes.set(xlabel=tables.title(cost))
        axes.set_xlim(left=0, right=max([*axes.get_xlim(), *(frame[cost] * 1.08)]))
        axes.grid(True)
    grid[0].set(ylabel=tables.title(metric))
    grid[0].set_title("accuracy by size: best up and left")
    grid[1].set_title("accuracy by latency: best up and left")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    best = statistics.pareto(frame[[metric, *costs]].to_numpy().tolist(), [True, False, False])
    beaten = list(frame["arm"][[not each for each in best]])
    caption = "The dashed line joins those that no other beats in both. On the means, " + (
        f"another is no worse in any of accuracy, size and latency than {' or '.join(beaten)}."
        if beaten
        else "none is beaten in accuracy, size and latency at once."
    )
    several = len(study.design.seeds) > 1
    seeds = " Small marks are single seeds, thin lines the 95 % intervals of their means." if several else ""
    return Picture("pareto", caption + seeds, frame, png(figure))


def loss(study: Study, metric: str) -> Picture:
    """How much accuracy each variant lost against PyTorch, and how much faster it is."""
    import pandas as pd

    names = [str(tables.drop(study)), "quant_speed.speedup"]
    seeds = study.design.seeds
    figure, grid = canvas(1.2 + 0.36 * len(study.arms), 1, 2, sharey=True)
    rows: list[dict[str, Any]] = []
    has_interval = False
    for axes, name, neutral in zip(grid, names, (0, 1), strict=True):
        axes.axvline(neutral, color=GREY, lw=1)
        for y, arm in enumerate(study.arms):
            found = tables.mean(study, arm, name)
            if found is None:
                continue
            points(axes, tables.by_seed(study.arms[arm], name), seeds, y, BLUE)
            interval(axes, found.value, found.low, found.high, y, BLUE)
            has_interval |= found.low is not None
            rows.append({"arm": arm, "metric": name, "mean": found.value, "low": found.low, "high": found.high})
        axes.set(xlabel=tables.title(name))
        ruled(axes)
    grid[0].set(yticks=range(len(study.arms)), yticklabels=wrapped(study.arms))
    grid[0].set_ylim(len(study.arms) - 0.5, -0.5)
    grid[0].set_title("what is lost: right of 0 is worse than PyTorch")
    grid[1].set_title("what is gained: right of 1 is faster")
    key(figure, has_interval)
    caption = "Each variant against the same weights in PyTorch, measured in turns by the same run."
    return Picture("loss", caption, pd.DataFrame(rows), png(figure))


def multi_scale(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The metric over the image size, and the time that it takes."""
    import pandas as pd

    assert verdict.metric is not None
    costs = [name for name in ("seconds.train", tables.latency(study.design)) if _known(study, name)]
    figure, grid = canvas(3.4, 1, 1 + len(costs), squeeze=False)
    rows = []
    for axes, name in zip(grid[0], [verdict.metric, *costs], strict=True):
        colour = BLUE if name == verdict.metric else VERMILION
        rows += _curve(axes, study, name, colour)
        axes.set(ylabel=tables.title(name), xlabel="image size, pixels")
        axes.grid(axis="y")
        if name != verdict.metric:
            axes.set_ylim(bottom=0)
    titles = {"seconds.train": "cost of a training", verdict.metric: "what a larger image brings"}
    for axes, name in zip(grid[0], [verdict.metric, *costs], strict=True):
        axes.set_title(titles.get(name, "cost of an answer"))
    lines = any(row["low"] is not None for row in rows)
    caption = "Circles are single seeds; the line is their mean" + (", its bars the 95 % interval." if lines else ".")
    yield Picture("sizes", caption, pd.DataFrame(rows), png(figure))


def _curve(axes: Axes, study: Study, metric: str, colour: str) -> list[dict[str, Any]]:
    """A metric over the image size, with its points, mean and intervals."""
    rows: list[dict[str, Any]] = []
    for arm, own in study.arms.items():
        size = next((tables.param(row, "data.image_size") for row in own if row.record), "")
        values, found = tables.by_seed(own, metric), tables.mean(study, arm, metric)
        if size and found:
            rows.append(
                {
                    "arm": arm,
                    "image_size": float(size),
                    "metric": metric,
                    "mean": found.value,
                    "low": found.low,
                    "high": found.high,
                }
            )
            axes.plot([float(size)] * len(values), [*values.values()], "o", ms=4.5, mfc="white", mec=colour, mew=1)
    rows.sort(key=lambda row: row["image_size"])
    sizes, means = [row["image_size"] for row in rows], [row["mean"] for row in rows]
    axes.plot(sizes, means, "D-", color=colour, ms=5.5, lw=1.5)
    for row in rows:
        bar(axes, (row["image_size"], row["image_size"]), (row["low"], row["high"]), colour)
    if sizes:
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    return rows


def _known(study: Study, metric: str) -> bool:
    return any(tables.by_seed(rows, metric) for rows in study.arms.values())
