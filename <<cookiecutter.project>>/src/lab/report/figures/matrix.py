"""Two factors: each level of the one by each of the other, and what is lost where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean, mean_change
from lab.design.levels import label, short_names
from lab.report import tables
from lab.report.figures.drawing import (
    BLUE,
    GREY,
    SPREAD,
    Picture,
    canvas,
    interval,
    key,
    marks,
    mean_told,
    number,
    on,
    points,
    ruled,
    spread,
    words,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.statistics import Estimate
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Replicate, Study

COLOURS = "cividis"  # reads the same to colour-blind people and in grey


def matrix(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The mean of each row's level with each column's."""
    import matplotlib
    import numpy as np
    import pandas as pd

    metric = study.metric(str(verdict.metric))
    row, column = _short_names(study)
    labels = words(
        entry, row=row, column=column, row_name=row, column_name=column, title=f"{{metric}} by {row} and {column}"
    )
    frame: Any = runs(study, metric.name)
    across, down = (list(dict.fromkeys(frame[side])) for side in ("column", "row"))
    figure, axes = canvas(1.3 + 0.62 * max(2, len(down)))
    grid = np.full((len(down), len(across)), np.nan)
    cells: list[tuple[int, int, Estimate]] = []
    rows: list[dict[str, Any]] = []
    for (a, b), own in frame.groupby(["row", "column"]):
        mean = arm_mean(study, metric.name, dict(zip(own["seed"], own["value"], strict=True)))
        y, x = down.index(str(a)), across.index(str(b))
        grid[y, x] = mean.value
        cells.append((x, y, mean))
        levels = {labels["row_name"]: a, labels["column_name"]: b}
        rows.append(levels | {"mean": mean.value, "low": mean.low, "high": mean.high, "seeds": len(own)})
    image = axes.imshow(grid, cmap=COLOURS, aspect="auto")
    low, high = np.nanmin(grid), np.nanmax(grid)
    best = max((mean for _, _, mean in cells), key=lambda mean: study.merit(metric.name) * mean.value)
    for x, y, mean in cells:
        share = (mean.value - low) / (high - low) if high > low else 0.5
        star = " ★" if mean is best else ""
        text = f"{number(mean.value)}{star}\n{spread(mean.value, mean.low, mean.high)}".strip()
        colour = on(matplotlib.colormaps[COLOURS], share)
        cell = axes.text(x, y, text, ha="center", va="center", color=colour, linespacing=1.5)
        marks.tell(cell, [mean_told(f"{down[y]}, {across[x]}", mean.value, mean.low, mean.high)])
    axes.set(xticks=range(len(across)), xticklabels=wrapped(across), xlabel=labels["column"])
    axes.set(yticks=range(len(down)), yticklabels=wrapped(down), ylabel=labels["row"])
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.set_title(labels["title"].format(metric=metric.label))
    figure.colorbar(image, ax=axes, label=metric.label)
    several = any(mean.low is not None for _, _, mean in cells)
    caption = (
        f"Means over the seeds, {SPREAD}; ★ is the best." if several else "Without intervals: those take several seeds."
    )
    yield Picture(entry.file, caption, pd.DataFrame(rows), figure)


def gap(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """For each row's level: where the column has the same one, minus each other column."""
    import pandas as pd

    metric = study.metric(str(verdict.metric))
    row, column = _short_names(study)
    labels = words(
        entry,
        row_name=row,
        column_name=column,
        title=f"what is lost where {column} is not {row}",
        x="{metric}: the same minus another",
        caption="0 would be no loss.",
        missing=f"What is lost where {column} is not {row} is not shown: there are not both.",
    )
    name = entry.file
    gaps = _gaps(runs(study, metric.name), list(study.seeds))
    if not gaps:
        yield Picture(name, labels["missing"])
        return
    figure, axes = canvas(1.2 + 0.36 * len(gaps))
    rows = []
    for y, ((a, b), values) in enumerate(gaps.items()):
        mean = mean_change(study, metric.name, values)
        points(axes, values, study.seeds, y, BLUE)
        interval(axes, mean.value, mean.low, mean.high, y, BLUE)
        levels = {labels["row_name"]: a, labels["column_name"]: b}
        rows.append(levels | {"gap": mean.value, "low": mean.low, "high": mean.high})
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(gaps)), yticklabels=[f"{a} → {b}" for a, b in gaps])
    axes.set_ylim(len(gaps) - 0.5, -0.5)
    axes.set(xlabel=labels["x"].format(metric=metric.label))
    axes.set_title(labels["title"])
    ruled(axes)
    key(figure, any(row["low"] is not None for row in rows))
    yield Picture(name, labels["caption"], pd.DataFrame(rows), figure)


def runs(study: Study, metric: str) -> pd.DataFrame:
    """A row a run that has the metric: the levels of the first two factors (row, column), seed, value."""
    import pandas as pd

    row, column = tables.factors(study, 2)
    frame = pd.DataFrame(
        [
            {
                "row": level(replicate, row),
                "column": level(replicate, column),
                "seed": replicate.seed,
                "value": replicate.value(metric),
            }
            for replicate in study.replicates
        ],
        columns=["row", "column", "seed", "value"],
    )
    return frame.dropna()


def level(replicate: Replicate, factor: str) -> str:
    """What a factor is in a run: as the design has it, or of an arm with a name as the run was set to."""
    return label(replicate.levels[factor]) if factor in replicate.levels else tables.param(replicate, factor)


def _gaps(frame: Any, seeds: list[int]) -> dict[tuple[str, str], dict[int, float]]:
    """By row and column, which differ, the loss by seed."""
    value = {(run.row, run.column, run.seed): run.value for run in frame.itertuples()}
    across = dict.fromkeys(frame["column"])
    pairs = [(a, b) for a in dict.fromkeys(frame["row"]) for b in across if a != b and a in across]
    gaps = {
        (a, b): {
            seed: value[a, a, seed] - value[a, b, seed]
            for seed in seeds
            if (a, a, seed) in value and (a, b, seed) in value
        }
        for a, b in pairs
    }
    return {pair: values for pair, values in gaps.items() if values}


def _short_names(study: Study) -> tuple[str, str]:
    """What the two factors are called on an axis."""
    row, column = tables.factors(study, 2)
    names = short_names([row, column])
    return names[row], names[column]
