"""Sweeps: the response to the parameters, the settings side by side, and which parameter matters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean
from lab.design.blocks import Range
from lab.design.levels import label, short_names
from lab.design.models import SweepDesign
from lab.report.figures.drawing import (
    BLUE,
    GREY,
    SPREAD,
    Picture,
    bar,
    canvas,
    marks,
    number,
    on,
    spread,
    wrapped,
)
from lab.report.figures.search import by_level, history
from lab.study import measured

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract import Metric
    from lab.contract.reports import Figure
    from lab.study import Study

LEAST = 4  # settings without which an importance or parallel coordinates say nothing
BETTER = 5  # runs that the better half has at least: Optuna's advice for PED-ANOVA
COLOURS = "cividis"  # reads the same to colour-blind people and in grey


def sweep(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """A heat map for two lists, means by level for more, slices for ranges; then all settings together."""
    assert verdict.metric is not None
    design, metric = _design(study), study.metric(study.searched_by or verdict.metric)
    frame = settings(study, metric.name)
    lists = all(isinstance(levels, list) for levels in design.sweep.parameters.values())
    if len(design.factors()) == 2 and lists and design.sweep.strategy == "grid":
        yield heat_map(study, frame, metric)
    elif lists and design.sweep.strategy == "grid" and len(design.factors()) > 1:
        yield by_level(study, metric)
    else:
        yield slices(study, frame, metric)
    if design.sweep.strategy != "grid":
        yield history(study, metric)
    if len(design.factors()) < 2:
        return
    if len(frame) < LEAST:
        yield Picture(
            "importance", f"Which parameter matters is not shown: it takes {LEAST} settings that have finished."
        )
        return
    yield parallel(study, frame, metric)
    yield importance(study, frame, metric)


def settings(study: Study, metric: str) -> pd.DataFrame:
    """A row a combination that has finished with a seed or more.

    Its levels, the `mean` with its 95 % interval (`low`, `high`), and the `values` by seed.
    """
    import pandas as pd

    rows = []
    for replicates in study.searched.values():
        values = measured(replicates, metric)
        if values:
            mean = arm_mean(study, metric, values)
            ends = {"mean": mean.value, "low": mean.low, "high": mean.high}
            rows.append({**replicates[0].levels, **ends, "values": values})
    return pd.DataFrame(rows)


def heat_map(study: Study, frame: Any, metric: Metric) -> Picture:
    """The mean of each combination of two parameters."""
    import matplotlib
    import numpy as np

    design = _design(study)
    (a, first), (b, second) = design.sweep.parameters.items()
    assert isinstance(first, list) and isinstance(second, list)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    means = {(label(row[a]), label(row[b])): row["mean"] for row in rows}
    spreads = {(label(row[a]), label(row[b])): spread(row["mean"], row["low"], row["high"]) for row in rows}
    grid = np.array([[means.get((label(x), label(y)), math.nan) for x in first] for y in second])
    figure, axes = canvas(1.1 + 0.62 * max(2, len(second)))
    image = axes.imshow(grid, cmap=COLOURS, aspect="auto")
    low, high = np.nanmin(grid), np.nanmax(grid)
    best = max(means, key=lambda at: study.merit(metric.name) * means[at])
    early = {(label(each.levels[a]), label(each.levels[b])) for each in study.replicates if each.stopped}
    for (y, x), value in np.ndenumerate(grid):
        at = (label(first[x]), label(second[y]))
        share = (value - low) / (high - low) if high > low else 0.5
        colour = GREY if math.isnan(value) else on(matplotlib.colormaps[COLOURS], share)
        missing = "stopped early" if at in early else "not run"
        text = missing if math.isnan(value) else number(value) + (" ★" if at == best else "")
        below = spreads.get(at)
        weight, raised = "bold" if at == best else "normal", 1 if below else 0
        lines = {"ha": "center", "color": colour, "textcoords": "offset points"}
        cell = axes.annotate(text, (x, y), (0, 5 * raised), va="center", weight=weight, **lines)
        marks.tell(cell, [f"{a}={at[0]}, {b}={at[1]}: {text} {below or ''}".strip()])
        if below:
            axes.annotate(below, (x, y), (0, -8), va="center", fontsize=7.5, **lines)
    names = short_names([a, b])
    axes.set(xticks=range(len(first)), xticklabels=wrapped(map(label, first)), xlabel=names[a])
    axes.set(yticks=range(len(second)), yticklabels=wrapped(map(label, second)), ylabel=names[b])
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.set_title(f"{metric.label} by {names[a]} and {names[b]}{_over(study)}")
    figure.colorbar(image, ax=axes, label=wrapped([metric.label], 18)[0])
    small = f" Below each mean, {SPREAD}." if any(spreads.values()) else ""
    caption = f"★ marks the best.{small} {_luck(study, len(frame))}".strip()
    return Picture("response", caption, frame.drop(columns="values"), figure)


def slices(study: Study, frame: Any, metric: Metric) -> Picture:
    """The metric over each parameter, all the others varying as well."""
    design = _design(study)
    factors = design.factors()
    lines, columns = (len(factors) + 2) // 3, min(3, len(factors))
    figure, grid = canvas(0.6 + 2.5 * lines, lines, columns, squeeze=False, sharey=True)
    names = short_names(factors)
    best = frame["mean"].mul(study.merit(metric.name)).idxmax()
    for axes, factor in zip(grid.flat, factors, strict=False):
        scale = Scale(design, factor)
        at = [scale.position(level) for level in frame[factor]]
        for x, values in zip(at, frame["values"], strict=True):
            (line,) = axes.plot([x] * len(values), [*values.values()], "o", ms=4.5, mfc="white", mec=GREY, mew=1)
            marks.tell(line, [f"seed {seed}: {value:.4g}" for seed, value in values.items()])
        for x, low, high in zip(at, frame["low"], frame["high"], strict=True):
            bar(axes, (x, x), (low, high), GREY, 1)
        (line,) = axes.plot(at, frame["mean"], "D", ms=5.5, color=GREY)
        marks.tell(line, [settings_told(row, factors, names) for _, row in frame.iterrows()])
        axes.plot([at[best]], [frame["mean"][best]], "D", ms=8, color=BLUE, zorder=5)
        scale.axis(axes, names[factor])
        axes.grid(axis="y")
    for axes in list(grid.flat)[len(factors) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel(metric.label)
    grid[0][0].set_title(f"{metric.label} over each parameter")
    several = " Small circles are single seeds, diamonds their means, thin lines the means' 95 % intervals."
    seeds = several if len(design.seeds) > 1 else ""
    data = frame.drop(columns="values")
    return Picture("response", f"The best setting is blue.{seeds} {_luck(study, len(frame))}".strip(), data, figure)


def parallel(study: Study, frame: Any, metric: Metric) -> Picture:
    """A line for each setting, through its levels to what came out."""
    design = _design(study)
    factors = design.factors()
    names = short_names(factors)
    scales = [Scale(design, factor) for factor in factors]
    low, high = frame["mean"].min(), frame["mean"].max()
    figure, axes = canvas(3.6)
    ordered = frame.sort_values("mean", ascending=study.merit(metric.name) > 0)
    for rank, (_, row) in enumerate(ordered.iterrows()):
        best = rank == len(ordered) - 1
        heights = [scale.share(row[factor]) for factor, scale in zip(factors, scales, strict=True)]
        heights.append((row["mean"] - low) / (high - low) if high > low else 0.5)
        (line,) = axes.plot(
            range(len(heights)),
            heights,
            color=BLUE if best else GREY,
            lw=2.6 if best else 1.3,
            alpha=1 if best else 0.25 + 0.65 * rank / len(ordered),
            zorder=3 if best else 2,
        )
        marks.thread(line, settings_told(row, factors, names))
    outcome = [(0.0, number(low)), (1.0, number(high))] if high > low else [(0.5, number(low))]
    for x, texts in enumerate([*(scale.marks() for scale in scales), outcome]):
        axes.axvline(x, color=GREY, lw=1, zorder=1)
        for share, text in texts:
            axes.annotate(
                text,
                (x, share),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.6},
                zorder=5,
            )
    axes.set(xticks=range(len(factors) + 1), xticklabels=wrapped([*(names[f] for f in factors), metric.label], 18))
    axes.set(yticks=[], ylim=(-0.06, 1.06), xlim=(-0.45, len(factors) + 0.02))
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False)
    axes.set_title(f"every setting, a line each{_over(study)}; the best is blue, the worse the paler")
    caption = "Lines that end high and run together show which levels the good settings have in common."
    return Picture("parallel", caption, ordered.drop(columns="values"), figure)


def settings_told(row: Any, factors: list[str], names: Mapping[str, str]) -> str:
    """What a setting's mark says."""
    return ", ".join(f"{names[factor]}={label(row[factor])}" for factor in factors) + f": {row['mean']:.4g}"


def importance(study: Study, frame: Any, metric: Metric) -> Picture:
    """Which parameter tells the better half of the runs from the rest: PED-ANOVA, by Optuna.

    A run is a trial, so that seeds count. Of a grid with two levels, a smaller part than the half could hold one level
    of each parameter, and then all would have the same share.

    Watanabe, Bansal, Hutter, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces, IJCAI
    2023.
    """
    import warnings

    import optuna
    import pandas as pd

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    design, sign = _design(study), study.merit(metric.name)
    runs = [(row, value) for _, row in frame.iterrows() for value in row["values"].values()]
    half = math.ceil(len(runs) / 2)
    if half < BETTER:
        why = f"it takes {2 * BETTER - 1} runs that have finished, here are {len(runs)}"
        return Picture("importance", f"Which parameter matters is not shown: {why}.")
    merits = sorted((sign * value for _, value in runs), reverse=True)
    if merits[half - 1] == merits[-1]:
        why = "half of the runs came out the same, and none worse"
        return Picture("importance", f"Which parameter matters is not shown: {why}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direction: Any = "maximize" if sign > 0 else "minimize"
        trials = optuna.create_study(direction=direction)
        space = {factor: Scale(design, factor).distribution() for factor in design.factors()}
        for row, value in runs:
            levels = {factor: Scale(design, factor).value(row[factor]) for factor in space}
            trials.add_trial(optuna.trial.create_trial(params=levels, distributions=space, value=value))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5)
        shares = optuna.importance.get_param_importances(trials, evaluator=evaluator)
    names = short_names(design.factors())
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure, axes = canvas(0.9 + 0.36 * len(ordered))
    axes.barh([names[name] for name, _ in ordered], [share for _, share in ordered], color=BLUE, height=0.55)
    for y, (_, share) in enumerate(ordered):
        axes.annotate(f"{100 * share:.0f} %", (share, y), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set(xlim=(0, 1.08), xlabel="share of the importance (PED-ANOVA)")
    axes.set_title("which parameter tells the better half of the runs from the rest")
    axes.tick_params(left=False)
    caption = f"From {len(runs)} runs of {len(frame)} settings"
    caption += ": a hint, not a finding." if len(frame) < 30 else "."
    return Picture("importance", caption, pd.DataFrame(ordered[::-1], columns=["parameter", "importance"]), figure)


class Scale:
    """Where a parameter's levels lie on an axis: numbers by their value or its logarithm, all others in turn."""

    def __init__(self, design: SweepDesign, factor: str):
        self.levels = design.sweep.parameters[factor]
        if isinstance(self.levels, Range):
            self.ends: tuple[float, float] = (self.levels.low, self.levels.high)
            self.numeric, self.log = True, self.levels.log
        else:
            numbers = [float(v) for v in self.levels if isinstance(v, int | float) and not isinstance(v, bool)]
            self.numeric = len(numbers) == len(self.levels) > 1
            self.ends = (min(numbers), max(numbers)) if self.numeric else (0, len(self.levels) - 1)
            self.log = self.numeric and self.ends[0] > 0 and self.ends[1] / self.ends[0] >= 4

    def position(self, level: Any) -> float:
        """The place of a level on an axis."""
        if self.numeric:
            return float(level)
        assert isinstance(self.levels, list)
        return [label(other) for other in self.levels].index(label(level))

    def share(self, level: Any) -> float:
        """The place between both ends, 0 to 1."""
        low, high, at = (math.log(x) if self.log else x for x in (*self.ends, self.position(level)))
        return (at - low) / (high - low) if high > low else 0.5

    def marks(self) -> list[tuple[float, str]]:
        """Places between 0 and 1 with what is written there."""
        if isinstance(self.levels, list):
            return [(self.share(level), label(level)) for level in self.levels]
        low, high = self.ends
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return [(0, f"{low:.3g}"), (0.5, f"{middle:.2g}"), (1, f"{high:.3g}")]

    def axis(self, axes: Axes, name: str) -> None:
        """Label an axis with it."""
        from matplotlib.ticker import NullLocator

        axes.set_xlabel(name)
        if self.log:
            axes.set_xscale("log")
        if isinstance(self.levels, list):
            axes.set_xticks([self.position(level) for level in self.levels], wrapped(map(label, self.levels), 12))
        else:
            low, high = self.ends
            middle = math.sqrt(low * high) if self.log else (low + high) / 2
            axes.set_xticks([low, middle, high], [text for _, text in self.marks()])
        if not self.numeric:
            axes.set_xlim(-0.5, self.ends[1] + 0.5)
        axes.xaxis.set_minor_locator(NullLocator())

    def distribution(self) -> Any:
        """The same for Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if isinstance(self.levels, list):
            return CategoricalDistribution([label(level) for level in self.levels])
        levels = self.levels
        if levels.int:
            return IntDistribution(int(levels.low), int(levels.high), levels.log, int(levels.step or 1))
        return FloatDistribution(levels.low, levels.high, levels.log)

    def value(self, level: Any) -> Any:
        """A level as Optuna takes it."""
        return label(level) if isinstance(self.levels, list) else level


def _design(study: Study) -> SweepDesign:
    assert isinstance(study.design, SweepDesign)
    return study.design


def _over(study: Study) -> str:
    return f", mean over {study.over_seeds}" if study.over_seeds else ", one seed"


def _luck(study: Study, count: int) -> str:
    if count < 2:
        return ""
    way = "the test split tells of those that went on" if study.finalists else "run it again with fresh seeds"
    return f"The best of {count} settings looks better than it is: {way}."
