"""Many arms: their ranks over the seeds, and which can't be told from the best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.report.figures.colours import coloured
from lab.report.figures.drawing import GREY, Picture, canvas, marks, ruled, wrapped

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study

LEVEL = 0.05


def ranking(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Mean ranks over the seeds, with Nemenyi's critical difference to the best.

    Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006: here the seeds are the blocks.
    """
    import pandas as pd

    metric = study.metric(str(verdict.metric))
    values: Any = pd.DataFrame({arm: study.values(arm, metric.name) for arm in study.arms}).dropna(axis="columns")
    seeds, number = values.shape
    if seeds < 2 or number < 3:
        yield Picture(entry.file, "A ranking is not shown: it takes two seeds with which three arms have finished.")
        return
    ranks = values.rank(axis="columns", ascending=study.minimized(metric.name)).mean().sort_values(kind="stable")
    reach = critical_difference(number, seeds)
    best, colours = ranks.iloc[0], coloured(study, verdict)
    figure, axes = canvas(1.1 + 0.24 * number)
    axes.axvspan(best, best + reach, color=GREY, alpha=0.18, lw=0)
    for y, (arm, rank) in enumerate(ranks.items()):
        colour = colours.get(str(arm), GREY)
        axes.plot([1, rank], [y, y], color=colour, lw=1, alpha=0.5, zorder=1)
        (mark,) = axes.plot([rank], [y], "D", ms=6, color=colour)
        marks.tell(mark, [f"{arm}: mean rank {rank:.3g}, {metric.title} {values[arm].mean():.4g}"])
    texts = zip(ranks.index, wrapped(ranks.index, 44), strict=True)
    names = [f"{text} ★" if arm == (verdict.winner or verdict.best) else text for arm, text in texts]
    axes.set(yticks=range(number), yticklabels=names, xlabel="mean rank over the seeds, 1 is best")
    axes.set_ylim(number - 0.5, -0.5)
    axes.set_xlim(0.7, max(number, best + reach) + 0.3)
    axes.set_title(f"who does best with each seed, by {metric.label}")
    ruled(axes)
    caption = (
        f"Shaded: within the critical difference of {reach:.3g} ranks, in which {seeds} seeds can't tell {number} arms "
    )
    caption += "from the best (Nemenyi's test at 5 %)."
    data = pd.DataFrame({"arm": ranks.index, "rank": ranks.to_numpy(), "mean": values[ranks.index].mean().to_numpy()})
    yield Picture(entry.file, caption, data, figure)


def critical_difference(number: int, blocks: int) -> float:
    """By how much the mean ranks of two of `number` arms have to differ over so many blocks."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, number, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(number * (number + 1) / (6 * blocks))
