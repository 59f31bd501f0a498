"""Two models: their differences by class and by test item, and the items on which they disagree most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.analysis import statistics
from lab.analysis.estimates import mean_change
from lab.report.figures.drawing import (
    BLUE,
    GREY,
    INK,
    RUST,
    VERMILION,
    Picture,
    canvas,
    interval,
    key,
    points,
    ruled,
    words,
    wrapped,
)
from lab.report.figures.items import SHOWN, Items, gallery, items_of, missing, without_images
from lab.report.frame import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract import Metric
    from lab.contract.reports import Figure
    from lab.study import Study

CLASSES = 20  # of the figure by class: those that change most

Pairs = Mapping[int, tuple[Items, Items]]  # by seed: what the old model said, and what the new one did
Changes = Mapping[int, Any]  # by seed: a frame with a row an item


def two_models(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Of a design with two arms."""
    arms = sorted(study.arms, key=lambda arm: arm != study.reference)
    if len(arms) != 2:
        return
    old, new = arms
    labels = words(entry, score="")
    yield by_class(study, old, new)
    pairs = pairs_of_items(study, old, new)
    if not pairs:
        why = missing(study, "the models")
        yield Picture("per_image", f"Differences by {study.contract.item} are not shown: {why}.", local=True)
        return
    changes = {seed: before.compared(after) for seed, (before, after) in pairs.items()}
    yield by_item(study, changes, old, new, labels["score"])
    yield disagreements(study, pairs, changes, old, new)


def most_changed(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The items on which the best arm differs most from the reference; without one, from the worst arm."""
    new = verdict.winner or verdict.best
    sign = study.merit(str(verdict.metric))
    others = [arm for arm in verdict.arms if arm.mean and arm.arm != new]
    worst = min(others, key=lambda arm: sign * arm.mean.value if arm.mean else 0.0, default=None)
    old = study.reference if study.reference not in (None, new) else worst and worst.arm
    pairs = pairs_of_items(study, old, new) if old and new and study.contract.item_pictures else {}
    if not (pairs and old and new):
        why = missing(study, "the models")
        yield Picture(entry.file, f"What changes between the arms is not shown: {why}.", local=True)
        return
    changes = {seed: before.compared(after) for seed, (before, after) in pairs.items()}
    yield replace(disagreements(study, pairs, changes, old, new), name=entry.file)


# By class


def by_class(study: Study, old: str, new: str) -> Picture:
    """The change of what is measured for each class."""
    import pandas as pd

    by_name = metrics_by_class(study)
    estimates = []
    for name, metric in by_name.items():
        before, after = (study.values(arm, metric.name) for arm in (old, new))
        changes = {seed: after[seed] - before[seed] for seed in after if seed in before}
        if changes:
            estimates.append((name, changes, mean_change(study, metric.name, changes)))
    if not estimates:
        return Picture("classes", "Differences by class are not shown: the runs have no metrics by class.")
    first = next(iter(by_name.values()))
    shown = sorted(estimates, key=lambda change: -abs(change[2].value))[:CLASSES]
    shown.sort(key=lambda change: change[2].value)
    figure, axes = canvas(1.2 + 0.27 * len(shown))
    for y, (name, changes, estimate) in enumerate(shown):
        low, high = (0.0 if end is None else end for end in (estimate.low, estimate.high))
        colour = BLUE if low > 0 else VERMILION if high < 0 else GREY  # a change that may be chance has none
        points(axes, changes, study.seeds, y, colour, f"{first.by} {name}")
        interval(axes, estimate.value, estimate.low, estimate.high, y, colour, f"{first.by} {name}")
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(shown)), yticklabels=wrapped(name for name, _, _ in shown), ylabel=first.by)
    axes.set_ylim(-0.5, len(shown) - 0.5)
    axes.set(xlabel=f"change in {_measure(first)}, {new} minus {old}")
    axes.set_title(f"what changes for each {first.by}")
    ruled(axes)
    rows = [{first.by: name, "change": e.value, "low": e.low, "high": e.high} for name, _, e in estimates]
    key(figure, any(row["low"] is not None for row in rows))
    shades = f"Blue: better with {new}; orange: worse; grey: it may be chance."
    most = f"The {CLASSES} classes of {len(estimates)} that change most. " if len(estimates) > CLASSES else ""
    return Picture("classes", f"{most}{shades}", pd.DataFrame(rows), figure)


def metrics_by_class(study: Study) -> dict[str, Metric]:
    """By the class, the metric that is measured for each of them."""
    names = dict.fromkeys(name for record in study.finished for name in metrics(record))
    known = [study.metric(name) for name in names if name.startswith(f"{study.stage}.")]
    known = [metric for metric in known if metric.by and metric.shown]
    return {metric.parts[-1]: metric for metric in known if _measure(metric) == _measure(known[0])}


def _measure(metric: Metric) -> str:
    """What is measured for each class: `recall` of a metric called `recall of class 3`."""
    return metric.title.removesuffix(f" of {metric.by} {metric.parts[-1]}")


# By test item


def pairs_of_items(study: Study, old: str, new: str) -> Pairs:
    """What both models said, of the seeds that both have finished and DVC's cache has."""
    after = {replicate.seed: replicate for replicate in study.arms[new]}
    pairs = {}
    for replicate in study.arms[old]:
        other = after.get(replicate.seed)
        if other is None or not (replicate.finished and other.finished):
            continue
        items = items_of(study, replicate.record), items_of(study, other.record)
        if items[0] and items[1]:
            pairs[replicate.seed] = items
    return pairs


def by_item(study: Study, changes: Changes, old: str, new: str, score: str) -> Picture:
    """On how many items the one, the other, or neither is better, by a `score`: left out, whether they are right."""
    import pandas as pd

    item = study.contract.item
    table = pd.DataFrame(
        {
            "seed": seed,
            f"{new} better": int((frame["change"] > 0).sum()),
            "alike": int((frame["change"] == 0).sum()),
            f"{old} better": int((frame["change"] < 0).sum()),
        }
        for seed, frame in changes.items()
    )
    figure, axes = canvas(1.5 + 0.4 * len(table))
    start = [0] * len(table)
    most = len(next(iter(changes.values())))
    for name, colour, ink in zip(table.columns[1:], (BLUE, "#dddddd", VERMILION), ("white", INK, "white"), strict=True):
        axes.barh(range(len(table)), table[name], left=start, color=colour, height=0.6, label=name)
        for y, count in enumerate(table[name]):
            if count > 0.05 * most:
                axes.text(start[y] + count / 2, y, str(count), ha="center", va="center", color=ink)
        start = [before + count for before, count in zip(start, table[name], strict=True)]
    better = zip(table["seed"], table[f"{new} better"], table[f"{old} better"], strict=True)
    axes.set(
        yticks=range(len(table)),
        yticklabels=[f"seed {seed}: {ahead} to {behind}" for seed, ahead, behind in better],
        xlabel=f"test {item}s",
    )
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_title(f"on how many test {item}s which model is better")
    axes.tick_params(left=False)
    figure.legend(loc="outside lower center", ncols=3)
    caption = f"Compared by {score or f'the score of each {item}'}."
    if not score and all(_is_right_or_wrong(frame) for frame in changes.values()):
        caption = f"McNemar's exact test of the {item}s that only one has right, {'; '.join(_tests(changes))}."
    return Picture("per_image", caption, table, figure, local=True)


def _is_right_or_wrong(frame: Any) -> bool:
    """Whether an item is right or wrong, and nothing in between."""
    return bool(frame[["score", "score_old"]].isin([0, 1]).all(axis=None))


def _tests(changes: Changes) -> Iterator[str]:
    for seed, frame in changes.items():
        test = statistics.mcnemar(frame["score"] > 0, frame["score_old"] > 0)
        yield f"seed {seed}: p = {test.p:.2g}"


def disagreements(study: Study, pairs: Pairs, changes: Changes, old: str, new: str) -> Picture:
    """The items on which the two differ most over the seeds, as the models of the seed that differs most see them."""
    import pandas as pd

    column, item = next(iter(pairs.values()))[0].column, study.contract.item
    everything = pd.concat(frame.assign(seed=seed) for seed, frame in changes.items())
    total: Any = everything.groupby(column)[["change", "margin"]].mean()
    differ = total[total["change"] != 0]
    order = differ.assign(size=differ["change"].abs()).sort_values(["size", "margin"], ascending=False, kind="stable")
    half = SHOWN // 2
    most = [*order[order["change"] > 0].index[:half], *order[order["change"] < 0].index[:half]]
    if not most:
        return Picture("disagreements", f"{new} and {old} agree on every test {item}.", local=True)
    data = order.loc[most].reset_index()
    models = {path: pairs[most_different(changes, column, path, order.loc[path, "change"])] for path in most}
    images = {path: image for path in most if (image := models[path][1].image(path)) is not None}
    if not images:
        why = without_images(study)
        missing_images = f"The {item}s on which they differ most are not shown: {why}."
        return Picture("disagreements", missing_images, data, local=True)

    def draw(axes: Axes, path: str) -> None:
        before, after = models[path]
        axes.imshow(images[path], cmap="gray")
        before.draw(axes, path, VERMILION, "right")
        after.draw(axes, path, BLUE)
        lines = [after.truth(path), f"{new}: {after.describe(path)}", f"{old}: {before.describe(path)}"]
        colour = BLUE if order.loc[path, "change"] > 0 else RUST
        axes.set_title("\n".join(line for line in lines if line), fontsize=8.5, color=colour)

    several = f"Of each {item}, the seed is shown in which they differ most." if len(pairs) > 1 else ""
    legend = next(iter(pairs.values()))[1].legend({new: "blue", old: "orange"})
    titles = f"Blue titles: {new} is better on the mean of the seeds; orange ones: {old} is."
    caption = " ".join(filter(None, (titles, several, legend)))
    return Picture("disagreements", caption, data, gallery(list(images), draw, lines=3), local=True)


def most_different(changes: Changes, column: str, path: str, change: float) -> int:
    """The seed in which two models differ most on an item, in the direction of their mean difference."""
    by_seed = {seed: float(frame.loc[frame[column] == path, "change"].iloc[0]) for seed, frame in changes.items()}
    return max(by_seed, key=lambda seed: by_seed[seed] * (1 if change > 0 else -1))
