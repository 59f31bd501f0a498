"""What quality costs: arms by the main metric and what it takes, and what each gains and loses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.analysis import statistics
from lab.report import tables
from lab.report.figures.colours import coloured
from lab.report.figures.drawing import (
    DASHED,
    GREY,
    Picture,
    bar,
    canvas,
    interval,
    key,
    legend,
    marks,
    points,
    ruled,
    words,
    wrapped,
)

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study

MARKERS = "osD^vP*X"


def pareto(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Which arms no other beats in the metric that matters and in cost at once."""
    import pandas as pd

    costs, metric = tables.resolved(study, entry.metrics), tables.main_metric(study)
    titles = [study.metric(name).title for name in ([metric] if metric else []) + costs]
    labels = words(
        entry,
        what="Quality against cost",
        unmeasured="no run has measured a metric that matters",
        all=" and ".join([", ".join(titles[:-1]), titles[-1]]) if len(titles) > 1 else "both",
    )
    name = entry.file
    if metric is None:
        yield Picture(name, f"{labels['what']} is not shown: {labels['unmeasured']}.")
        return
    rows = []
    for arm in study.arms:
        rows.append({"arm": arm})
        for column in (metric, *costs):
            rows[-1] |= tables.ends(column, tables.mean(study, arm, column))
    frame: Any = pd.DataFrame(rows).dropna(subset=[metric, *costs])
    if frame.empty or not costs:
        yield Picture(name, f"{labels['what']} is not shown: no run has measured them all.")
        return
    up, colours = not study.minimized(metric), coloured(study, verdict)
    figure, grid = canvas(3.6, 1, len(costs), sharey=True, squeeze=False)
    for i, (axes, cost) in enumerate(zip(grid[0], costs, strict=True)):
        frame[f"best by {cost}"] = _unbeaten(study, frame, [metric, cost])
        front = frame[frame[f"best by {cost}"]].sort_values(cost)
        axes.plot(front[cost], front[metric], color=GREY, lw=1, ls=DASHED, zorder=1)
        _scatter(axes, study, frame, metric, cost, colours)
        axes.set(xlabel=study.metric(cost).label)
        axes.set_xlim(left=0, right=max([*axes.get_xlim(), *(frame[cost] * 1.08)]))
        axes.grid(True)
        better = f"best {'up' if up else 'down'} and {'left' if study.minimized(cost) else 'right'}"
        axes.set_title(entry.titles[i] if i < len(entry.titles) else f"{study.metric(cost).title}: {better}")
    grid[0][0].set(ylabel=study.metric(metric).label)
    legend(figure, grid[0][0].get_legend_handles_labels()[0])
    best = _unbeaten(study, frame, [metric, *costs])
    beaten = list(frame["arm"][[not is_best for is_best in best]])
    caption = "The dashed line joins those that no other beats in both. On the means, " + (
        f"another is no worse in any of {labels['all']} than {' or '.join(beaten)}."
        if beaten
        else f"none is beaten in {labels['all']} at once."
    )
    several = len(study.seeds) > 1
    seeds = " Small marks are single seeds, thin lines the 95 % intervals of their means." if several else ""
    yield Picture(name, caption + seeds, frame, figure)


def _unbeaten(study: Study, frame: Any, metrics: list[str]) -> list[bool]:
    """Which rows no other is better than in one of the metrics, and no worse in all others."""
    return statistics.pareto(frame[metrics].to_numpy().tolist(), [not study.minimized(metric) for metric in metrics])


def _scatter(axes: Any, study: Study, frame: Any, metric: str, cost: str, colours: Mapping[str, str]) -> None:
    """Each arm's mean with its intervals, and its seeds."""
    for i, arm in enumerate(study.arms):
        mean = frame[frame["arm"] == arm]
        colour, marker = colours.get(arm, GREY), MARKERS[i % len(MARKERS)]
        across, up = (tables.by_seed(study.arms[arm], name) for name in (cost, metric))
        both = [(across[seed], up[seed]) for seed in across if seed in up]
        axes.plot(*zip(*both, strict=True), marker, ms=4, mfc="white", mec=colour, mew=1) if len(both) > 1 else None
        (line,) = axes.plot(mean[cost], mean[metric], marker, ms=8, color=colour, label=arm)
        x, y = (tables.mean(study, arm, name) for name in (cost, metric))
        if x and y:
            named = zip((metric, cost), (y, x), strict=True)
            marks.tell(line, [f"{arm}: " + ", ".join(f"{study.metric(n).label} {m.value:.4g}" for n, m in named)])
            bar(axes, (x.low, x.high), (y.value, y.value), colour, 1.2)
            bar(axes, (x.value, x.value), (y.low, y.high), colour, 1.2)


def gains(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Metrics of each arm beside each other, each with a line where nothing is gained or lost."""
    import pandas as pd

    labels, name = words(entry, caption="Each arm against the line."), entry.file
    metrics = tables.resolved(study, entry.metrics)
    if not any(tables.is_measured(study, metric) for metric in metrics):
        yield Picture(name, f"What is gained and lost is not shown: no run has measured {' or '.join(metrics)}.")
        return
    seeds, colours = study.seeds, coloured(study, verdict)
    figure, grid = canvas(1.2 + 0.36 * len(study.arms), 1, len(metrics), sharey=True, squeeze=False)
    rows: list[dict[str, Any]] = []
    for i, (axes, metric) in enumerate(zip(grid[0], metrics, strict=True)):
        if i < len(entry.lines):
            axes.axvline(entry.lines[i], color=GREY, lw=1)
        for y, arm in enumerate(study.arms):
            mean = tables.mean(study, arm, metric)
            if mean is None:
                continue
            colour = colours.get(arm, GREY)
            points(axes, tables.by_seed(study.arms[arm], metric), seeds, y, colour, arm)
            interval(axes, mean.value, mean.low, mean.high, y, colour, arm)
            rows.append({"arm": arm, "metric": metric, "mean": mean.value, "low": mean.low, "high": mean.high})
        axes.set(xlabel=study.metric(metric).label)
        axes.set_title(entry.titles[i] if i < len(entry.titles) else "")
        ruled(axes)
    grid[0][0].set(yticks=range(len(study.arms)), yticklabels=wrapped(study.arms))
    grid[0][0].set_ylim(len(study.arms) - 0.5, -0.5)
    key(figure, any(row["low"] is not None for row in rows))
    yield Picture(name, labels["caption"], pd.DataFrame(rows), figure)
