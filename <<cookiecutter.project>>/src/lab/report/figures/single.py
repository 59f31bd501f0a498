"""One arm: how its training went, and what it takes for what."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis import statistics
from lab.records.record import FINISHED
from lab.report import tables
from lab.report.figures.arms import comparison
from lab.report.figures.drawing import BLUE, COLOURS, GREY, VERMILION, Picture, canvas, on, png, wrapped
from lab.report.figures.images import samples

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.records.study import Study

MOST_CLASSES = 20  # in a confusion matrix that can be read; of more, those that are confused most
MOST_PANELS = 6  # of training curves
PARTS = {"train": VERMILION, "val": BLUE}
BACKGROUND = "background"


def single(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The result by seed, training curves, the confusion matrix or the precision-recall curve, and sample predictions."""
    yield from comparison(study, verdict)
    finished = study.finished
    yield curves(study)
    texts = {name: [record.text(f"results/infer/{name}.csv") for record in finished] for name in ("confusion", "curve")}
    detects = any(record.params.get("task") == "detection" for record in finished)
    yield precision_recall(texts["curve"]) if detects else confusion(texts["confusion"])
    yield samples(finished, study.design.target)


def curves(study: Study) -> Picture:
    """Each metric over the epochs: a thin line for each seed, and one for their mean."""
    import pandas as pd
    from matplotlib.ticker import MaxNLocator

    found = [
        {"metric": name, "seed": row.seed, "epoch": point.step, "value": point.value}
        for row in study.rows
        if row.record and row.status == FINISHED
        for name, points in row.record.curves.items()
        for point in points
    ]
    if not found:
        return Picture("curves", "Training curves are not shown: no run has any.")
    frame: Any = pd.DataFrame(found)
    everything = _panels(list(dict.fromkeys(frame["metric"])))
    panels = dict(list(everything.items())[:MOST_PANELS])
    lines = (len(panels) + 2) // 3
    figure, grid = canvas(0.4 + 2.4 * lines, lines, min(3, len(panels)), squeeze=False)
    for axes, (title, names) in zip(grid.flat, panels.items(), strict=False):
        for name in names:
            colour = PARTS.get(name.partition("/")[0], GREY)
            own = frame[frame["metric"] == name]
            by_seed = [part for _, part in own.groupby("seed")]
            for part in by_seed if len(by_seed) > 1 else []:
                axes.plot(part["epoch"], part["value"], color=colour, lw=0.8, alpha=0.45)
            mean = own.groupby("epoch")["value"].mean()
            marker = "o" if len(mean) < 15 else ""
            axes.plot(mean.index, mean, color=colour, lw=2, marker=marker, ms=3.5, label=name.partition("/")[0])
        axes.set(xlabel="epoch, counted from 0")
        axes.set_title(title)
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_xlim(-0.5, frame["epoch"].max() + 0.5)
        if len(names) > 1:
            axes.legend()
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    seeds = "Thin lines are single seeds, thick ones their mean. " if frame["seed"].nunique() > 1 else ""
    others = f" Not drawn: {', '.join(list(everything)[MOST_PANELS:])}." if len(everything) > MOST_PANELS else ""
    caption = f"{seeds}Blue: the validation split; orange: the training split.{others}"
    return Picture("curves", caption, frame, png(figure))


def _panels(names: list[str]) -> dict[str, list[str]]:
    """Metrics that belong into one panel: train/loss and val/loss. Losses first, then those that matter most."""
    panels: dict[str, list[str]] = defaultdict(list)
    main = [*tables.MAIN_METRICS, "accuracy"]
    for name in sorted(names, key=lambda name: ("loss" not in name, name.rpartition("/")[2] not in main, name)):
        part, _, rest = name.partition("/")
        title = tables.UNITS.get(rest, rest.replace("_", " ")) if part in PARTS else name
        panels["learning rate" if title == "lr" else title].append(name)
    return panels


def confusion(texts: list[str]) -> Picture:
    """How often each class was taken for which, over all seeds."""
    import matplotlib
    import numpy as np
    import pandas as pd

    frames = [pd.read_csv(io.StringIO(text), dtype=str) for text in texts if text]
    if not frames:
        return Picture("confusion", "The confusion matrix is not shown: no run has recorded one.")
    pairs = pd.concat(frames, ignore_index=True)
    counts: Any = pd.crosstab(pairs["actual"], pairs["predicted"])
    names = sorted({*counts.index, *counts.columns})
    full: Any = counts.reindex(index=names, columns=names, fill_value=0)
    shown, note = full, ""
    if len(names) > MOST_CLASSES:
        wrong = full.sum(axis=1) + full.sum(axis=0) - 2 * np.diag(full)
        chosen = sorted(wrong.nlargest(MOST_CLASSES).index)
        shown, note = full.loc[chosen, chosen], f" The {MOST_CLASSES} classes of {len(names)} that are confused most."
    shares = shown.div(full.sum(axis=1).reindex(shown.index).clip(lower=1), axis=0).to_numpy()
    size = min(7.0, 2.2 + 0.36 * len(shown))
    figure, axes = canvas(size)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    small = {"fontsize": 8 if len(shown) > 12 else 9}
    for (y, x), count in np.ndenumerate(shown.to_numpy()):
        if count:
            colour = on(matplotlib.colormaps["cividis"], shares[y, x])
            axes.text(x, y, str(count), ha="center", va="center", color=colour, **small)
    labels = wrapped(shown.index, 14)
    turned = 90 if max(map(len, map(str, shown.index))) > 3 else 0
    axes.set(yticks=range(len(labels)), yticklabels=labels, ylabel="actual", xlabel="predicted")
    axes.set_xticks(range(len(labels)), labels, rotation=turned)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.set_title("test images by their class and what they were taken for")
    figure.colorbar(image, ax=axes, label="share of the class")
    over = f", {len(frames)} seeds together" if len(frames) > 1 else ""
    return Picture("confusion", f"Numbers of test images{over}.{note}", full.reset_index(), png(figure))


def precision_recall(texts: list[str]) -> Picture:
    """Precision over recall by class, the seeds averaged."""
    import pandas as pd

    frames = [pd.read_csv(io.StringIO(text), dtype={"class": str}) for text in texts if text]
    if not frames:
        return Picture("curve", "The precision-recall curve is not shown: no run has recorded one.")
    everything: Any = pd.concat(frames, keys=range(len(frames)), names=["run"]).reset_index("run")
    mean = everything.groupby(["class", "recall"], sort=True)["precision"].mean().reset_index()
    classes = list(dict.fromkeys(mean["class"]))
    figure, axes = canvas(4.2)
    few = len(classes) <= len(COLOURS)
    for i, name in enumerate(classes):
        own = mean[mean["class"] == name]
        style = {"color": COLOURS[i], "lw": 1.6, "label": name} if few else {"color": GREY, "lw": 0.7, "alpha": 0.6}
        axes.plot(own["recall"], own["precision"], **style)
    by_run = everything.groupby(["recall", "run"], sort=True)["precision"].mean()
    overall = pd.DataFrame(_share(recall, own.tolist()) for recall, own in by_run.groupby("recall"))
    axes.plot(overall["recall"], overall["precision"], color="black", lw=2.4, label="mean of the classes")
    if len(frames) > 1:
        axes.fill_between(overall["recall"], overall["low"], overall["high"], color="black", lw=0, alpha=0.15)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(True)
    axes.legend(loc="lower left")
    axes.set_title("precision over recall at IoU 0.5")
    band = f"The mean over {len(frames)} seeds. Grey: the 95 % interval of the mean of the classes, at each recall."
    data = pd.concat([mean, overall.assign(**{"class": "mean of the classes"})])
    return Picture("curve", band if len(frames) > 1 else "One seed.", data, png(figure))


def _share(recall: Any, precisions: list[float]) -> dict[str, float]:
    """The mean of a share over the seeds with its interval, which is a point where all seeds agree."""
    found = statistics.mean(precisions)
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return {"recall": recall, "precision": found.value, "low": max(low, 0.0), "high": min(high, 1.0)}
