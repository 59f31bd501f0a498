"""Tables that a stage wrote as figures: of one run for tracking servers, of all runs of a study for its report."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.analysis import statistics
from lab.report.figures.drawing import BLUE, COLOURS, GREY, INK, Picture, canvas, marks, on, style, words, wrapped
from lab.report.figures.reliability import reliability_of

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.contract.reports import Figure
    from lab.study import Record, Study

MOST_CLASSES = 20  # in a confusion matrix that can be read; of more, those that are confused most


def pictures_of_run(record: Record, contract: Contract) -> dict[str, bytes]:
    """PNGs of the tables that a run has and that lab.yaml's figures draw of a run with its settings, by their names."""
    drawn = {}
    with style():
        for entry in (*contract.single.figures, *contract.model_figures):
            asked = entry.draw in DRAWN and contract.fits(entry.when, record.params)
            text = record.text(entry.output) if entry.output and asked else ""
            picture = DRAWN[entry.draw](entry, [text], contract.item) if text else None
            if picture and picture.png:
                drawn[entry.file] = picture.png
    return drawn


def confusion(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """How often each class was taken for which, over all seeds."""
    texts = texts_of(entry, study, verdict)
    if texts is not None:
        yield of_arm(confusion_of(entry, texts, study.contract.item), study, verdict)


def curve_by_class(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """One share over another by class, such as precision over recall, the seeds averaged."""
    texts = texts_of(entry, study, verdict)
    if texts is not None:
        yield of_arm(curve_of(entry, texts, study.contract.item), study, verdict)


def texts_of(entry: Figure, study: Study, verdict: Verdict) -> list[str] | None:
    """The table of each finished run of the best arm; empty where it has none.

    None where all arms have the same ones, or none of several has any: they are not about what the design varies.
    """
    by_arm = {
        arm: [replicate.record.text(entry.output) for replicate in replicates if replicate.finished]
        for arm, replicates in study.arms.items()
        if entry.output
    }
    distinct = {tuple(texts) for texts in by_arm.values() if any(texts)}
    if len(study.arms) > 1 and len(distinct) < 2:
        return None
    return by_arm.get(shown_arm(study, verdict), [])


def shown_arm(study: Study, verdict: Verdict) -> str:
    """The arm whose models are shown: the winner, or the best on the mean."""
    return verdict.winner or verdict.best or next(iter(study.arms))


def of_arm(picture: Picture, study: Study, verdict: Verdict) -> Picture:
    """A figure that says whose models it shows, where there are several arms."""
    if len(study.arms) == 1 or picture.figure is None:
        return picture
    return replace(picture, caption=f"The models of {shown_arm(study, verdict)}, the best arm. {picture.caption}")


def confusion_of(entry: Figure, texts: Sequence[str], item: str) -> Picture:
    """A matrix of tables with a row an item: what it is, and what it was taken for."""
    import matplotlib
    import numpy as np
    import pandas as pd
    from matplotlib.ticker import MaxNLocator

    title = f"test {item}s by their class and what they were taken for"
    labels = words(entry, table="The confusion matrix", title=title)
    frames = [pd.read_csv(io.StringIO(text), dtype=str) for text in texts if text]
    if not frames:
        return Picture(entry.file, f"{labels['table']} is not shown: no run has recorded one.")
    pairs = pd.concat(frames, ignore_index=True)
    actual, predicted = pairs.columns[:2]
    counts: Any = pd.crosstab(pairs[actual], pairs[predicted])
    names = sorted({*counts.index, *counts.columns})
    if not names:
        return Picture(entry.file, f"{labels['table']} is not shown: no run has recorded a row of it.")
    full: Any = counts.reindex(index=names, columns=names, fill_value=0)
    shown, note = full, ""
    if len(names) > MOST_CLASSES:
        wrong = full.sum(axis=1) + full.sum(axis=0) - 2 * np.diag(full)
        most = sorted(wrong.nlargest(MOST_CLASSES).index)
        shown, note = full.loc[most, most], f" The {MOST_CLASSES} classes of {len(names)} that are confused most."
    shares = shown.div(full.sum(axis=1).reindex(shown.index).clip(lower=1), axis=0).to_numpy()
    figure, axes = canvas(min(7.0, 2.2 + 0.36 * len(shown)))
    right = np.eye(len(shown), dtype=bool)
    most_wrong = max(shares[~right].max(initial=0), 1e-9)
    # Errors have a scale of their own: beside a strong diagonal a tenth of it would not be seen.
    axes.imshow(np.where(right, shares, np.nan), cmap="Blues", vmin=0, vmax=1.4)
    image = axes.imshow(np.where(right, np.nan, np.sqrt(shares / most_wrong)), cmap="Oranges", vmin=0, vmax=1.6)
    small = {"fontsize": 8 if len(shown) > 12 else 9}
    for (y, x), count in np.ndenumerate(shown.to_numpy()):
        if count:
            is_right = y == x
            shade = shares[y, x] / 1.4 if is_right else math.sqrt(shares[y, x] / most_wrong) / 1.6
            colour = on(matplotlib.colormaps["Blues" if is_right else "Oranges"], shade)
            text = axes.text(x, y, str(count), ha="center", va="center", color=colour, in_layout=False, **small)
            said = f"{actual} {shown.index[y]}, {predicted} {shown.columns[x]}: {count}, {100 * shares[y, x]:.1f} %"
            marks.tell(text, [said])
    ticks = wrapped(shown.index, 14)
    turned = 90 if max(map(len, map(str, shown.index))) > 3 else 0
    axes.set(yticks=range(len(ticks)), yticklabels=ticks, ylabel=actual, xlabel=predicted)
    axes.set_xticks(range(len(ticks)), ticks, rotation=turned)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.set_title(labels["title"])
    if shares[~right].any():
        bar = figure.colorbar(image, ax=axes, label="errors, share of the class")
        percents = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, 100 * most_wrong)
        percents = percents[percents <= 100 * most_wrong]
        bar.set_ticks(np.sqrt(percents / (100 * most_wrong)), labels=[f"{percent:g} %" for percent in percents])
        bar.ax.set_ylim(0, 1)  # the scale goes on where no cell is
    over = f", {len(frames)} seeds together" if len(frames) > 1 else ""
    return Picture(
        entry.file,
        f"Numbers of test {item}s{over}: blue what is right, orange the errors, on a scale of their own.{note}",
        full.reset_index(),
        figure,
    )


def curve_of(entry: Figure, texts: Sequence[str], item: str) -> Picture:
    """A line for each class, and their mean, of tables with a row a point: class, x, y, both between 0 and 1."""
    import pandas as pd

    labels = words(entry, table="The curve by class", title="")
    frames = [pd.read_csv(io.StringIO(text), dtype={text.partition(",")[0]: str}) for text in texts if text]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return Picture(entry.file, f"{labels['table']} is not shown: no run has recorded one.")
    by, across, up = frames[0].columns[:3]
    everything: Any = pd.concat(frames, keys=range(len(frames)), names=["run"]).reset_index("run")
    mean = everything.groupby([by, across], sort=True)[up].mean().reset_index()
    classes = list(dict.fromkeys(mean[by]))
    figure, axes = canvas(4.2)
    few = len(classes) <= len(COLOURS)
    for i, name in enumerate(classes):
        own = mean[mean[by] == name]
        line = {"color": COLOURS[i], "lw": 1.6, "label": name} if few else {"color": GREY, "lw": 0.7, "alpha": 0.6}
        axes.plot(own[across], own[up], **line)
    by_run = everything.groupby([across, "run"], sort=True)[up].mean()
    overall = pd.DataFrame({across: x, **_share(up, own.tolist())} for x, own in by_run.groupby(across))
    axes.plot(overall[across], overall[up], color=INK, lw=2.4, label="mean of the classes")
    if len(frames) > 1:
        axes.fill_between(overall[across], overall["low"], overall["high"], color=INK, lw=0, alpha=0.15)
    axes.set(xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(True)
    axes.legend(loc="lower left")
    axes.set_title(labels["title"] or f"{up} over {across}")
    band = f"The mean over {len(frames)} seeds. Grey: the 95 % interval of the mean of the classes, at each {across}."
    data = pd.concat([mean, overall.assign(**{by: "mean of the classes"})])
    return Picture(entry.file, band if len(frames) > 1 else "One seed.", data, figure)


def _share(name: str, values: list[float]) -> dict[str, float]:
    """The mean of a share over the seeds with its interval, which is a point where all seeds agree."""
    mean = statistics.mean(values)
    low, high = (mean.value if end is None else end for end in (mean.low, mean.high))
    return {name: mean.value, "low": max(low, 0.0), "high": min(high, 1.0)}


DRAWN = {
    "confusion": confusion_of,
    "curve_by_class": curve_of,
    "reliability": lambda entry, texts, item: reliability_of(entry, {"the model": texts}, {"the model": BLUE}),
}
