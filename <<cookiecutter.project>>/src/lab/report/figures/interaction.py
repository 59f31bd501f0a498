"""Two factors that are crossed: whether what the one does depends on the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean
from lab.design.levels import label, short_names
from lab.report.figures.drawing import COLOURS, GREY, Picture, bar, canvas, legend, marks, mean_told, wrapped

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study


def crossed(study: Study) -> tuple[str, str] | None:
    """The two factors of a design that has each level of the one with each of the other; None of all others.

    The one with more levels first.
    """
    factors = study.design.factors()
    levels = [replicates[0].levels for replicates in study.arms.values()]
    if len(factors) != 2 or not all(factor in own for own in levels for factor in factors):
        return None
    sizes = [len({label(own[factor]) for own in levels}) for factor in factors]
    if min(sizes) < 2 or sizes[0] * sizes[1] != len(study.arms):
        return None
    first, second = factors if sizes[0] >= sizes[1] else reversed(factors)
    return first, second


def interaction(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The metric over one factor's levels, a line for each level of the other."""
    import pandas as pd

    metric, factors = study.metric(str(verdict.metric)), crossed(study)
    if factors is None:
        yield Picture(entry.file, "An interaction is not shown: there are not two factors, each level with each.")
        return
    across, lines = factors
    names = short_names([across, lines])
    rows: list[dict[str, Any]] = []
    for arm, replicates in study.arms.items():
        values = study.values(arm, metric.name)
        if values:
            mean, levels = arm_mean(study, metric.name, values), replicates[0].levels
            place = {names[across]: label(levels[across]), names[lines]: label(levels[lines])}
            rows.append(place | {"mean": mean.value, "low": mean.low, "high": mean.high})
    frame: Any = pd.DataFrame(rows)
    levels, others = (list(dict.fromkeys(frame[names[factor]])) for factor in factors)
    figure, axes = canvas(3.6)
    for i, other in enumerate(others):
        own = frame[frame[names[lines]] == other]
        shift = 0.16 * (i / max(1, len(others) - 1) - 0.5)
        x = [levels.index(level) + shift for level in own[names[across]]]
        colour = COLOURS[i] if i < len(COLOURS) else GREY
        (line,) = axes.plot(x, own["mean"], "D-", ms=5, color=colour, lw=1.5, label=f"{names[lines]}={other}")
        told = own.astype(object).where(own.notna(), None).to_dict("records")
        what = [f"{names[across]}={row[names[across]]}, {names[lines]}={other}" for row in told]
        marks.tell(line, [mean_told(w, r["mean"], r["low"], r["high"]) for w, r in zip(what, told, strict=True)])
        for at, row in zip(x, told, strict=True):
            bar(axes, (at, at), (row["low"], row["high"]), colour, 1.2)
    axes.set(
        xticks=range(len(levels)),
        xticklabels=wrapped(levels, max(14, 72 // len(levels))),
        xlabel=names[across],
        ylabel=metric.label,
    )
    axes.set_xlim(-0.4, len(levels) - 0.6)
    axes.grid(axis="y")
    axes.set_title(f"{metric.label} over {names[across]}, for each {names[lines]}")
    legend(figure, axes.get_legend_handles_labels()[0])
    bars = " Bars are 95 % intervals over the seeds." if frame["low"].notna().any() else ""
    caption = f"Parallel lines: {names[across]} does the same whatever {names[lines]} is.{bars}"
    yield Picture(entry.file, caption, frame, figure)
