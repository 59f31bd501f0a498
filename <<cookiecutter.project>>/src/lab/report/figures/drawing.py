"""What all figures have in common: size, type, colours that colour-blind people tell apart, marks for uncertainty."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from lab.contract.reports import TAKES
from lab.report.figures import marks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.contract.reports import Figure as Entry

# Okabe and Ito, Color Universal Design, 2008.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
RUST = "#a84800"  # VERMILION as a text has to be, to be read on white
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY, INK = marks.GREY, marks.INK
DASHED = (0, (4, 3))
WIDTH, DPI = 8.0, 140  # inches, dots in one
LINE = 92  # characters of a title that fit into it
MOST_TOLD = 12  # of a figure's values, in its alternative text
SPREAD = "± half of the 95 % interval, or the ends of one that is cut off at 0 or 1"  # what `spread` writes
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "grid.color": marks.RULE,
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.dpi": DPI,
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "lab",  # the same figure gives the same ids
}


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: of its files, without the ending.
        caption: what it shows, for people; where it couldn't be drawn, why.
        data: what is drawn.
        figure: of matplotlib; None where it couldn't be drawn.
        local: it needs files of DVC's cache, so that a clone without them can't draw it.
    """

    name: str
    caption: str
    data: pd.DataFrame | None = field(default=None, repr=False)
    figure: Figure | None = field(default=None, repr=False)
    local: bool = False

    @cached_property
    def png(self) -> bytes | None:
        """The image; None where it couldn't be drawn. The same figure gives the same bytes."""
        if self.figure is None:
            return None
        content = io.BytesIO()
        with style():
            lay_out(self.figure)
            self.figure.savefig(content, format="png", metadata={"Software": None})
        return content.getvalue()

    @cached_property
    def svg(self) -> str:
        """The same as an element of a page, whose marks say what they are; empty of none, and of photographs."""
        if self.figure is None or self.local or self.png is None:  # which lays it out
            return ""
        with style():
            return marks.svg(self.figure, self.name, self.alt)

    @cached_property
    def alt(self) -> str:
        """What is seen, for those who can't see it: what it is about, and its values. The caption stands below."""
        panels = [] if self.figure is None or self.local else self.figure.axes
        titles = (axes.get_title(loc="left") for axes in panels)
        about = next(filter(None, titles), self.name.replace("_", " "))
        return ": ".join(filter(None, (" ".join(about.split()), values(self.data))))


def words(entry: Entry, **defaults: str) -> dict[str, str]:
    """A figure's labels: lab.yaml's in place of the `defaults`, which are all that its way has."""
    assert set(defaults) == set(TAKES[entry.draw][0])
    return defaults | entry.labels


def style() -> AbstractContextManager[None]:
    """The style of all figures, whatever a user's matplotlibrc says."""
    import matplotlib

    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, **STYLE}
    del settings["backend"]  # by which matplotlib would import what shows windows
    return matplotlib.rc_context(settings)


def canvas(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # whose one renderer measures all texts, and remembers them
    return figure, figure.subplots(rows, columns, **options)


def lay_out(figure: Figure) -> None:
    """Give all its places, once: with an engine that has done so, matplotlib would draw twice for each file."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)


def titled(figure: Figure) -> None:
    """Break the titles of panels into lines that end where their panel does: none is cut, or runs into the next one."""
    for axes in figure.axes:
        place = axes.get_subplotspec()
        if place is not None and (title := axes.get_title(loc="left")):
            columns = place.get_gridspec().ncols
            width = LINE if columns == 1 else round(0.8 * LINE / columns)  # names stand beside the first
            lines = re.sub(r",(?=\S)", ", ", title).splitlines()
            axes.set_title("\n".join(textwrap.fill(line, width) for line in lines), loc="left")


def values(data: pd.DataFrame | None) -> str:
    """The means of a figure's data with their intervals in words: what is read off it; empty where it has none."""
    if data is None or not {"mean", "low", "high"} <= {*data.columns}:
        return ""
    told = {"seed", "value", "seeds", "basis", "change", "change_low", "change_high", "mean", "low", "high", "step"}
    names = [name for name in data.columns if name not in told]
    rows = data.astype(object).where(data.notna(), None).drop_duplicates(names).to_dict("records")
    texts = []
    for row in rows[:MOST_TOLD]:
        levels = (row[name] for name in names)
        what = " ".join(
            f"{level:g}" if isinstance(level, float) else str(level) for level in levels if level is not None
        )
        if row["mean"] is not None:
            ends = "" if row["low"] is None else f" ({number(row['low'])} to {number(row['high'])})"
            texts.append(f"{what} {number(row['mean'])}{ends}".strip())
    more = f"; and {len(rows) - MOST_TOLD} more" if len(rows) > MOST_TOLD else ""
    return f"{'; '.join(texts)}{more}." if texts else ""


def wrapped(texts: Iterable[Any], width: int = 30) -> list[str]:
    """Names for an axis: in lines of at most `width`, broken where levels end."""
    return [
        "\n".join(textwrap.wrap(str(text).replace(",", ", ").replace(":", ": "), width)) or str(text) for text in texts
    ]


def points(axes: Axes, values: dict[int, float], seeds: Sequence[int], y: float, colour: str, about: str = "") -> None:
    """A small circle for each seed, beside the line of the mean at `y`; a seed has the same distance in each arm."""
    at = {seed: y + 0.17 + 0.2 * i / max(1, len(seeds) - 1) for i, seed in enumerate(seeds)}
    (line,) = axes.plot(
        [*values.values()], [at[seed] for seed in values], "o", ms=4.5, mfc="white", mec=colour, mew=1, zorder=3
    )
    told = f"{about}, " if about else ""
    marks.tell(line, [f"{told}seed {seed}: {value:.4g}" for seed, value in values.items()])


def bar(axes: Axes, x: Sequence[Any], y: Sequence[Any], colour: str, width: float = 2.4) -> None:
    """A bar from one end of an interval to the other, along x or y; none where an end is None."""
    if None not in (*x, *y):
        axes.plot(x, y, color=colour, lw=width, solid_capstyle="butt", zorder=2, alpha=0.75)


def interval(
    axes: Axes, value: float, low: float | None, high: float | None, y: float, colour: str, about: str = ""
) -> None:
    """A diamond for an estimate, and a bar for its interval where it has one."""
    bar(axes, (low, high), (y, y), colour)
    (mark,) = axes.plot([value], [y], "D", ms=6.5, color=colour, zorder=4)
    marks.tell(mark, [mean_told(about, value, low, high)])


def mean_told(about: str, value: float, low: float | None, high: float | None) -> str:
    """What a mean's mark says: `lr=0.1: mean 0.953 [0.941, 0.965]`."""
    ends = "" if low is None or high is None or low == high else f" [{low:.4g}, {high:.4g}]"
    return f"{f'{about}: ' if about else ''}mean {value:.4g}{ends}"


def ruled(axes: Axes) -> None:
    """A scale of values along x that can be read, and names along y without ticks."""
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5, min_n_ticks=3)
    axes.tick_params(left=False)


def key(figure: Figure, with_intervals: bool, of: str = "seeds", lines: Mapping[str, str] | None = None) -> None:
    """The key to the marks, below the figure; `lines` are others by their meaning: dashed, in ink thick ones."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", ls="", ms=4.5, mfc="white", mec=INK, label="one seed"),
        Line2D([], [], marker="D", ls="-" if with_intervals else "", lw=2.4, ms=6.5, color=INK),
    ]
    handles[1].set_label(f"mean, and its 95 % interval over {of}" if with_intervals else "mean")
    for text, colour in (lines or {}).items():
        style: dict[str, Any] = {"lw": 4.5} if colour == INK else {"lw": 1.2, "ls": DASHED}
        handles.append(Line2D([], [], color=colour, label=text, **style))
    legend(figure, handles, "right")


def legend(figure: Figure, handles: Sequence[Artist], side: Literal["center", "right"] = "center") -> None:
    """What the marks mean, below the figure, in as many columns as there is room for; long words in several lines."""
    labels = [textwrap.fill(re.sub(r",(?=\S)", ", ", str(handle.get_label())), LINE - 8) for handle in handles]
    place: Any = f"outside lower {side}"
    for columns in range(len(labels), 0, -1):
        drawn = figure.legend(handles=[*handles], labels=labels, loc=place, ncols=columns)
        if columns == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            return
        drawn.remove()


def number(value: float) -> str:
    """A value as it is written into a figure."""
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.3g}"


def spread(value: float, low: float | None, high: float | None) -> str:
    """`± 0.012`, half of an interval; `[0.73, 1]`, the ends of one that is cut off at 0 or 1; empty without one."""
    if low is None or high is None or low == high:
        return ""
    if math.isclose(value - low, high - value, rel_tol=1e-6):
        return f"± {number(high - value)}"
    return f"[{low:.3g}, {high:.3g}]"


def on(colours: Any, share: float) -> str:
    """Black or white: what is read better on a colour map's colour at `share`."""
    luminance = relative_luminance(colours(share)[:3])
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return marks.DARK if on_black > on_white else marks.LIGHT


def relative_luminance(colour: Sequence[float]) -> float:
    """Of red, green and blue between 0 and 1: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
