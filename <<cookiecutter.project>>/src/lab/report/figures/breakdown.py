"""Metrics that are parts of one, such as what each kind of error costs: of each arm, and how they change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import BOTH, IMAGES, difference
from lab.contract.metrics import compiled
from lab.records import per_item
from lab.report import tables
from lab.report.figures.colours import coloured
from lab.report.figures.drawing import GREY, Picture, canvas, interval, legend, number, ruled, words, wrapped
from lab.report.figures.outputs import shown_arm
from lab.report.frame import metrics

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Examples, Study

MOST = 12  # parts of a figure: the worst
ROOM = 0.7  # of the distance between two parts, for the arms of each


def breakdown(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The parts of each arm on the left; on the right their changes to the reference, in pairs over test items.

    The best arm's worst part comes first. None where no run has measured such parts.
    """
    import pandas as pd

    labels = words(entry, table="The breakdown", title="", x="")
    names = measured(study, tables.resolved(study, entry.metrics))
    if not names:
        return
    reference = study.reference if study.reference in study.arms else None
    colours = {arm: colour for arm, colour in coloured(study, verdict).items() if _finished(study, arm)}
    arms = sorted(colours, key=lambda arm: arm != reference)
    others = [arm for arm in arms if arm != reference] if reference else []
    is_local = bool(others) or any(record.value(name) is None for record in study.finished for name in names)
    examples = per_item.read(study) if is_local else None
    if examples is not None:
        study = completed(study, names, examples)
    unknown = [name for name in names if any(record.value(name) is None for record in study.finished)]
    names = [name for name in names if name not in unknown]
    if (examples is not None and not examples.frames) or not names:
        why = f"what was said of each test {study.contract.item} is not in DVC's cache here (dvc pull brings it)"
        yield Picture(entry.file, f"{labels['table']} is not shown: {why}.", local=True)
        return
    best = shown_arm(study, verdict)
    of_best = {name: mean.value for name in names if (mean := tables.mean(study, best, name))}
    parts = sorted(of_best, key=lambda name: study.merit(name) * of_best[name])[:MOST]
    height = 1.1 + len(parts) * (0.2 + 0.16 * len(arms))
    figure, grid = canvas(height, 1, 2 if others else 1, squeeze=False, sharey=True)
    rows: list[dict[str, Any]] = []
    bases = set()
    for y, name in enumerate(parts):
        for i, arm in enumerate(arms):
            at = y + ROOM * ((i + 0.5) / len(arms) - 0.5)
            colour = colours[arm]
            mean = tables.mean(study, arm, name)
            row = {"metric": name, "arm": arm, **tables.ends("mean", mean)}
            if mean:
                interval(grid[0][0], mean.value, mean.low, mean.high, at, colour, f"{study.metric(name).title}, {arm}")
            if arm in others and examples is not None:
                between = difference(study, arm, reference, name, examples)
                if change := between.estimate:
                    interval(grid[0][1], change.value, change.low, change.high, at, colour)
                    bases.add(between.basis)
                row |= tables.ends("change", change)
            rows.append(row)
    for axes in grid[0]:
        axes.axvline(0, color=GREY, lw=1, zorder=1)
        ruled(axes)
    titles = wrapped(study.metric(name).title for name in parts)
    grid[0][0].set(yticks=range(len(parts)), yticklabels=titles, xlabel=labels["x"])
    grid[0][0].set_ylim(len(parts) - 0.5, -0.5)
    grid[0][0].set_title(labels["title"] or "each arm")
    if others:
        grid[0][1].set(xlabel=f"change in {labels['x']}" if labels["x"] else "change")
        grid[0][1].set_title(f"difference from {reference}")
    if len(arms) > 1:
        _key(figure, {arm: colours[arm] for arm in arms}, reference)
    data = pd.DataFrame(rows).rename(columns={"mean_low": "low", "mean_high": "high"})
    whose = f"The worst of {best}" if len(study.arms) > 1 else "The worst"
    worst = f"{whose}: {study.metric(parts[0]).title}, {number(of_best[parts[0]])}."
    caption = _caption(study, bases, len(names) - len(parts) + len(unknown))
    yield Picture(entry.file, f"{worst} {caption}", data, figure, local=is_local)


def measured(study: Study, patterns: Sequence[str]) -> list[str]:
    """The metrics of finished runs whose names one of the patterns has, in the order in which they were written."""
    names = dict.fromkeys(name for record in study.finished for name in metrics(record))
    return [name for name in names if any(compiled(pattern).fullmatch(name) for pattern in patterns)]


def completed(study: Study, names: Sequence[str], examples: Examples) -> Study:
    """The study with what its runs left out of such metrics, such as rare errors, by what was said of each item."""
    import numpy as np

    replicates = []
    for replicate in study.replicates:
        frame: Any = examples.frames.get((replicate.arm, replicate.seed))
        lacking = [name for name in names if frame is not None and replicate.value(name) is None]
        scorers = {name: examples.scorer(frame, name) for name in lacking if replicate.finished}
        once = np.ones((0 if frame is None else len(frame), 1))
        added = {name: float(score(once)[0]) for name, score in scorers.items() if score}
        replicates.append(replace(replicate, record=Completed(replicate.record, added)) if added else replicate)
    return replace(study, replicates=replicates)


class Completed:
    """A record that knows more metrics."""

    def __init__(self, record: Any, added: Mapping[str, float]):
        self.record, self.added = record, added

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record, name)

    def value(self, metric: str) -> float | None:
        """A metric, by the record or what was added."""
        value = self.record.value(metric)
        return self.added.get(metric) if value is None else value


def _finished(study: Study, arm: str) -> bool:
    return any(replicate.finished for replicate in study.arms[arm])


def _key(figure: Any, colours: Mapping[str, str], reference: str | None) -> None:
    """Which colour is which arm."""
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"marker": "D", "ls": "-", "lw": 2.4, "ms": 6.5}
    labels = {arm: f"{arm} (reference)" if arm == reference else arm for arm in colours}
    legend(figure, [Line2D([], [], color=colour, label=labels[arm], **style) for arm, colour in colours.items()])


def _caption(study: Study, bases: set[str], left_out: int) -> str:
    """What the marks are."""
    over = study.over_seeds
    parts = [f"Means over {over} with their 95 % intervals." if over else "Means of one seed."]
    if bases:
        item = f"test {study.contract.item}s"
        by = f"seeds and {item}" if BOTH in bases else item if IMAGES in bases else "seeds"
        parts.append(f"Differences in pairs over {by}, each with the 95 % interval of its own: not corrected for many.")
    parts += [f"Not shown: {left_out} others, which are better or not known of each run."] if left_out else []
    return " ".join(parts)
