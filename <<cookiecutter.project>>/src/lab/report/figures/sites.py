"""Models and sites: how well a model of one site does at another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean, over_seeds
from lab.report import tables
from lab.report.figures.drawing import (
    BLUE,
    GREY,
    SPREAD,
    Picture,
    canvas,
    interval,
    key,
    number,
    on,
    png,
    points,
    ruled,
    spread,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.verdict import Verdict
    from lab.records.study import Study


def cross_site(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Each training site on each test site, and how much of a model's accuracy stays at home."""
    assert verdict.metric is not None
    yield matrix(study, verdict.metric)
    yield gap(study, verdict.metric)


def sites(study: Study, metric: str) -> pd.DataFrame:
    """A row a run: train, test, seed, value."""
    import pandas as pd

    train, test = tables.SITES
    found = [
        {
            "train": tables.param(row, train),
            "test": tables.param(row, test),
            "seed": row.seed,
            "value": row.value(metric),
        }
        for row in study.rows
    ]
    return pd.DataFrame(found, columns=["train", "test", "seed", "value"]).dropna()


def matrix(study: Study, metric: str) -> Picture:
    """Train × test."""
    import matplotlib
    import numpy as np
    import pandas as pd

    frame: Any = sites(study, metric)
    train, test = (list(dict.fromkeys(frame[side])) for side in ("train", "test"))
    figure, axes = canvas(1.3 + 0.62 * max(2, len(train)))
    rows: list[dict[str, Any]] = []
    grid = np.full((len(train), len(test)), np.nan)
    for (a, b), own in frame.groupby(["train", "test"]):
        found = arm_mean(study, metric, dict(zip(own["seed"], own["value"], strict=True)))
        grid[train.index(str(a)), test.index(str(b))] = found.value
        rows.append(
            {"train": a, "test": b, "mean": found.value, "low": found.low, "high": found.high, "seeds": len(own)}
        )
    image = axes.imshow(grid, cmap="cividis", aspect="auto")
    low, high = np.nanmin(grid), np.nanmax(grid)
    for row in rows:
        share = (row["mean"] - low) / (high - low) if high > low else 0.5
        text = f"{number(row['mean'])}\n{spread(row['mean'], row['low'], row['high'])}".strip()
        at = (test.index(str(row["test"])), train.index(str(row["train"])))
        axes.text(
            *at, text, ha="center", va="center", color=on(matplotlib.colormaps["cividis"], share), linespacing=1.5
        )
    axes.set(xticks=range(len(test)), xticklabels=wrapped(test), xlabel="tested on site")
    axes.set(yticks=range(len(train)), yticklabels=wrapped(train), ylabel="trained on site")
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.set_title(f"{tables.title(metric)} of each site's model at each site")
    figure.colorbar(image, ax=axes, label=tables.title(metric))
    several = any(row["low"] is not None for row in rows)
    means = f"Means over the seeds, {SPREAD}."
    caption = means if several else "Without intervals: those take several seeds."
    return Picture("sites", caption, pd.DataFrame(rows), png(figure))


def gap(study: Study, metric: str) -> Picture:
    """The generalization gap: at home minus elsewhere, for each model and each other site."""
    import pandas as pd

    frame: Any = sites(study, metric)
    value = {(row.train, row.test, row.seed): row.value for row in frame.itertuples()}
    trained = list(dict.fromkeys(frame["train"]))
    pairs = [(a, b) for a in trained for b in dict.fromkeys(frame["test"]) if a != b and a in set(frame["test"])]
    rows, drawn = [], []
    for a, b in pairs:
        gaps = {
            seed: value[a, a, seed] - value[a, b, seed]
            for seed in study.design.seeds
            if (a, a, seed) in value and (a, b, seed) in value
        }
        if gaps:
            found = over_seeds(study, metric, gaps)
            drawn.append((f"{a} → {b}", gaps, found))
            rows.append({"train": a, "test": b, "gap": found.value, "low": found.low, "high": found.high})
    if not rows:
        return Picture("gap", "The generalization gap is not shown: no model was tested at home and elsewhere.")
    figure, axes = canvas(1.2 + 0.36 * len(drawn))
    for y, (_, gaps, found) in enumerate(drawn):
        points(axes, gaps, study.design.seeds, y, BLUE)
        interval(axes, found.value, found.low, found.high, y, BLUE)
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(drawn)), yticklabels=[name for name, _, _ in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set(xlabel=f"{tables.title(metric)} at home minus elsewhere")
    axes.set_title("generalization gap: what a model loses at the other site")
    ruled(axes)
    key(figure, any(row["low"] is not None for row in rows))
    return Picture("gap", "0 would be a model that does as well elsewhere.", pd.DataFrame(rows), png(figure))
