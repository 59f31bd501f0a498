"""What a sweep has searched: the mean of each level of a grid, and how the best came about in a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean
from lab.design.levels import label, short_names
from lab.report.figures.drawing import (
    BLUE,
    GREY,
    Picture,
    canvas,
    interval,
    key,
    marks,
    points,
    ruled,
    wrapped,
)
from lab.study import measured

if TYPE_CHECKING:
    from lab.contract import Metric
    from lab.study import Study


def by_level(study: Study, metric: Metric) -> Picture:
    """For each level of each parameter the mean over all settings that have it, seed by seed."""
    import pandas as pd

    factors = study.design.factors()
    names = short_names(factors)
    rows: list[dict[str, Any]] = []
    figure, axes = canvas(1.2)
    lines: list[str] = []
    for factor in factors:
        for level in dict.fromkeys(label(replicate.levels[factor]) for replicate in study.replicates):
            values = over_settings(study, factor, level, metric.name)
            if not values:
                continue
            mean, y = arm_mean(study, metric.name, values), len(lines)
            what = f"{names[factor]}={level}"
            points(axes, values, study.seeds, y, BLUE, what)
            interval(axes, mean.value, mean.low, mean.high, y, BLUE, what)
            rows.append({"parameter": factor, "level": level, "mean": mean.value, "low": mean.low, "high": mean.high})
            lines.append(what)
        axes.axhline(len(lines) - 0.5, color=GREY, lw=0.6)
    figure.set_figheight(1.2 + 0.34 * len(lines))
    axes.set(yticks=range(len(lines)), yticklabels=wrapped(lines), xlabel=metric.label)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_title("the mean of each level, over all settings of the other parameters")
    ruled(axes)
    key(figure, any(row["low"] is not None for row in rows))
    caption = "Each setting counts alike. What a level does with one setting of the others may differ."
    return Picture("response", caption, pd.DataFrame(rows), figure)


def over_settings(study: Study, factor: str, level: str, metric: str) -> dict[int, float]:
    """The mean by seed over the arms that have a level, of the seeds that all of these have."""
    of_arms = [
        values
        for replicates in study.searched.values()
        if label(replicates[0].levels[factor]) == level and (values := measured(replicates, metric))
    ]
    seeds = [seed for seed in study.seeds if of_arms and all(seed in values for values in of_arms)]
    return {seed: sum(values[seed] for values in of_arms) / len(of_arms) for seed in seeds}


def history(study: Study, metric: Metric) -> Picture:
    """What each setting came to in the order in which they were drawn, and the best so far."""
    import pandas as pd
    from matplotlib.ticker import MaxNLocator

    rows: list[dict[str, Any]] = []
    best, pick = None, min if study.minimized(metric.name) else max
    for number, (arm, replicates) in enumerate(study.searched.items(), start=1):
        values = measured(replicates, metric.name)
        if values:
            mean = sum(values.values()) / len(values)
            best = mean if best is None else pick(best, mean)
            rows.append({"setting": number, "arm": arm, "mean": mean, "best": best, "low": None, "high": None})
    frame = pd.DataFrame(rows)
    figure, axes = canvas(3.2)
    axes.step(frame["setting"], frame["best"], where="post", color=BLUE, lw=1.8, label="the best so far")
    (line,) = axes.plot(frame["setting"], frame["mean"], "o", ms=5.5, color=GREY, label="each setting")
    marks.tell(line, [f"{row['setting']}: {row['arm']}: {row['mean']:.4g}" for row in rows])
    axes.set(xlabel="setting, in the order in which they were drawn", ylabel=metric.label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    axes.legend(loc="best")
    axes.set_title("how the search went")
    caption = "Where the line still moves at its end, more settings may find a better one."
    return Picture("history", caption, frame.drop(columns=["low", "high"]), figure)
