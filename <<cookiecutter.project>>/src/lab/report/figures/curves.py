"""How a training went: each metric over the epochs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.report.figures.colours import coloured
from lab.report.figures.drawing import COLOURS, GREY, Picture, canvas, legend, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.contract.reports import Figure
    from lab.study import Study

MOST_PANELS = 6
FEW = 15  # epochs up to which each has a mark
COLOUR_NAMES = ("blue", "orange", "green", "pink", "yellow", "sky blue")  # of COLOURS, for people


def curves(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Each metric over the epochs: of one arm each seed and their mean, of several arms their means."""
    import pandas as pd

    rows = [
        {"arm": replicate.arm, "metric": name, "seed": replicate.seed, "epoch": point.step + 1, "value": point.value}
        for replicate in study.replicates
        if replicate.finished
        for name, points in replicate.record.curves.items()
        for point in points
    ]
    if not rows:
        yield Picture(entry.file, "Training curves are not shown: no run has any.")
        return
    frame: Any = pd.DataFrame(rows)
    if len(study.searched) > 1:
        yield by_arm(entry, study, verdict, frame)
        return
    frame = frame.drop(columns="arm")
    parts = study.contract.curves.parts if study.contract.curves else {}
    colours = dict(zip(parts, COLOURS, strict=False))
    shown, left_out = told(panels(study.contract, list(dict.fromkeys(frame["metric"])), list(parts)), frame)
    if not shown:
        yield nothing_told(entry, frame)
        return
    lines = (len(shown) + 2) // 3
    figure, grid = canvas(0.4 + 2.4 * lines, lines, min(3, len(shown)), squeeze=False)
    for axes, (title, names) in zip(grid.flat, shown.items(), strict=False):
        for name in names:
            part = name.partition("/")[0]
            own = frame[frame["metric"] == name]
            by_seed = [run for _, run in own.groupby("seed")]
            colour = colours.get(part, GREY)
            for run in by_seed if len(by_seed) > 1 else []:
                axes.plot(run["epoch"], run["value"], color=colour, lw=0.8, alpha=0.45)
            mean = own.groupby("epoch")["value"].mean()
            axes.plot(mean.index, mean, color=colour, lw=2, marker="o" if len(mean) < FEW else "", ms=3.5, label=part)
        over_epochs(axes, title, frame["epoch"].max())
        if len(names) > 1:
            axes.legend()
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    seeds = "Thin lines are single seeds, thick ones their mean." if frame["seed"].nunique() > 1 else ""
    key = "; ".join(f"{colour}: {words}" for colour, words in zip(COLOUR_NAMES, parts.values(), strict=False))
    key = f"{key[:1].upper()}{key[1:]}." if key else ""
    caption = " ".join(filter(None, (seeds, key, left_out))) or "Each metric as it was after each epoch."
    yield Picture(entry.file, caption, frame, figure)


def by_arm(entry: Figure, study: Study, verdict: Verdict, frame: Any) -> Picture:
    """A line for each arm, the mean over its seeds, in a band from the lowest to the highest of them."""
    parts = list(study.contract.curves.parts) if study.contract.curves else []
    some, left_out = told(panels(study.contract, list(dict.fromkeys(frame["metric"])), parts), frame)
    if not some:
        return nothing_told(entry, frame)
    # Of what is measured on several parts of the data the first one: each arm has one line.
    first = {part: place for place, part in enumerate(parts)}
    shown = {
        title: min(names, key=lambda name: first.get(name.partition("/")[0], len(first)))
        for title, names in some.items()
    }
    colours = coloured(study, verdict)
    lines = (len(shown) + 2) // 3
    figure, grid = canvas(0.7 + 2.4 * lines, lines, min(3, len(shown)), squeeze=False)
    for axes, (title, name) in zip(grid.flat, shown.items(), strict=False):
        for arm in [*(arm for arm in study.searched if arm not in colours), *colours]:
            own = frame[(frame["metric"] == name) & (frame["arm"] == arm)]
            if own.empty:
                continue
            ends = own.groupby("epoch")["value"].agg(["mean", "min", "max"])
            colour = colours.get(arm, GREY)
            style: dict[str, Any] = {"lw": 2.0, "zorder": 3} if arm in colours else {"lw": 0.8, "alpha": 0.5}
            style |= {"marker": "o", "ms": 3.5} if len(ends) < FEW else {}  # of one epoch there is no line
            (line,) = axes.plot(ends.index, ends["mean"], color=colour, label=arm if arm in colours else None, **style)
            marks.tell(line, [f"{arm}: {title} {ends['mean'].iloc[-1]:.4g} after {ends.index[-1]} epochs"])
            if arm in colours and own["seed"].nunique() > 1:
                axes.fill_between(ends.index, ends["min"], ends["max"], color=colour, lw=0, alpha=0.18)
        over_epochs(axes, f"{title}, {words_of(study.contract, name)}".removesuffix(", "), frame["epoch"].max())
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    legend(figure, grid.flat[0].get_legend_handles_labels()[0])
    several = frame["seed"].nunique() > 1
    band = "means over the seeds, in bands from the lowest to the highest of them" if several else "one seed"
    rest = len(study.searched) - len(colours)
    others = f"Grey: the {rest} other arms." if rest else ""
    caption = " ".join(filter(None, (f"Each arm's training: {band}.", others, left_out)))
    return Picture(entry.file, caption, frame, figure)


def told(all_panels: Mapping[str, list[str]], frame: Any) -> tuple[dict[str, list[str]], str]:
    """The panels that are drawn, and a sentence on the others: those beyond MOST_PANELS, and where all is 0."""
    moved = set(frame.loc[frame["value"] != 0, "metric"])
    telling = {title: names for title, names in all_panels.items() if moved & set(names)}
    rest = [*telling][MOST_PANELS:] + [f"{title} (0 at each epoch)" for title in all_panels if title not in telling]
    return dict([*telling.items()][:MOST_PANELS]), f"Not drawn: {', '.join(rest)}." if rest else ""


def nothing_told(entry: Figure, frame: Any) -> Picture:
    return Picture(entry.file, "Training curves are not shown: all are 0 at each epoch.", frame)


def words_of(contract: Contract, name: str) -> str:
    """Which part of the data a curve is about, in words; empty where the contract doesn't say."""
    parts = contract.curves.parts if contract.curves else {}
    return parts.get(name.partition("/")[0], "")


def over_epochs(axes: Axes, title: str, last: int) -> None:
    """A panel over the epochs, counted from 1."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch")
    axes.set_title(title)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, last + 0.5)


def panels(contract: Contract, names: list[str], parts: list[str]) -> dict[str, list[str]]:
    """The metrics by the title of their panel, such as fit/loss and test/loss: losses first, then those that matter."""
    matter = {name.rpartition(".")[2] for name in (*contract.main, *contract.told)}
    by_title: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=lambda name: ("loss" not in name, name.rpartition("/")[2] not in matter, name)):
        part, _, rest = name.partition("/")
        title = contract.metric(name).title
        if title == name and part in parts:  # the contract has no other
            title = rest.replace("_", " ")
        by_title[title].append(name)
    return by_title
