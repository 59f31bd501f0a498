"""How a training went: each metric over the epochs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.report.figures.drawing import COLOURS, GREY, Picture, canvas, png

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.contract.reports import Figure
    from lab.study import Study

MOST_PANELS = 6
COLOUR_NAMES = ("blue", "orange", "green", "pink", "yellow", "sky blue")  # of COLOURS, for people


def curves(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Each metric over the epochs: a thin line for each seed, and one for their mean."""
    import pandas as pd
    from matplotlib.ticker import MaxNLocator

    rows = [
        {"metric": name, "seed": replicate.seed, "epoch": point.step + 1, "value": point.value}
        for replicate in study.replicates
        if replicate.finished
        for name, points in replicate.record.curves.items()
        for point in points
    ]
    if not rows:
        yield Picture(entry.file, "Training curves are not shown: no run has any.")
        return
    frame: Any = pd.DataFrame(rows)
    parts = study.contract.curves.parts if study.contract.curves else {}
    colours = dict(zip(parts, COLOURS, strict=False))
    all_panels = panels(study.contract, list(dict.fromkeys(frame["metric"])), list(parts))
    shown = dict(list(all_panels.items())[:MOST_PANELS])
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
            axes.plot(mean.index, mean, color=colour, lw=2, marker="o" if len(mean) < 15 else "", ms=3.5, label=part)
        axes.set(xlabel="epoch")
        axes.set_title(title)
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, frame["epoch"].max() + 0.5)
        if len(names) > 1:
            axes.legend()
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    seeds = "Thin lines are single seeds, thick ones their mean." if frame["seed"].nunique() > 1 else ""
    key = "; ".join(f"{colour}: {words}" for colour, words in zip(COLOUR_NAMES, parts.values(), strict=False))
    key = f"{key[:1].upper()}{key[1:]}." if key else ""
    rest = list(all_panels)[MOST_PANELS:]
    others = f"Not drawn: {', '.join(rest)}." if rest else ""
    caption = " ".join(filter(None, (seeds, key, others))) or "Each metric as it was after each epoch."
    yield Picture(entry.file, caption, frame, png(figure))


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
