"""What all figures have in common: size, type, colours that colour-blind people tell apart, marks for uncertainty."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.contract.reports import TAKES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.contract.reports import Figure as Entry

# Okabe and Ito, Color Universal Design, 2008.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY, INK = "#8a8a8a", "#222222"
DASHED = (0, (4, 3))
WIDTH = 8.0  # inches
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
    "grid.color": "#e4e4e4",
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.dpi": 140,
}


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: of its files, without the ending.
        caption: what it shows, for people; where it couldn't be drawn, why.
        data: what is drawn.
        png: the image; None where it couldn't be drawn.
        local: it needs files of DVC's cache, so that a clone without them can't draw it.
    """

    name: str
    caption: str
    data: pd.DataFrame | None = field(default=None, repr=False)
    png: bytes | None = field(default=None, repr=False)
    local: bool = False


def words(entry: Entry, **defaults: str) -> dict[str, str]:
    """A figure's labels: lab.yaml's in place of the `defaults`, which are all that its way has."""
    assert set(defaults) == set(TAKES[entry.draw][0])
    return defaults | entry.labels


def style() -> AbstractContextManager[None]:
    """The style of all figures, whatever a user's matplotlibrc says."""
    import matplotlib

    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, **STYLE}
    return matplotlib.rc_context(settings)


def canvas(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure and its axes: one, or an array of them (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def png(figure: Figure) -> bytes:
    """The figure as a file. The same figure gives the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def wrapped(texts: Iterable[Any], width: int = 30) -> list[str]:
    """Names for an axis: in lines of at most `width`, broken where levels end."""
    return [
        "\n".join(textwrap.wrap(str(text).replace(",", ", ").replace(":", ": "), width)) or str(text) for text in texts
    ]


def points(axes: Axes, values: dict[int, float], seeds: Sequence[int], y: float, colour: str) -> None:
    """A small circle for each seed, beside the line of the mean at `y`; a seed has the same distance in each arm."""
    at = {seed: y + 0.17 + 0.2 * i / max(1, len(seeds) - 1) for i, seed in enumerate(seeds)}
    axes.plot([*values.values()], [at[seed] for seed in values], "o", ms=4.5, mfc="white", mec=colour, mew=1, zorder=3)


def bar(axes: Axes, x: Sequence[Any], y: Sequence[Any], colour: str, width: float = 2.4) -> None:
    """A bar from one end of an interval to the other, along x or y; none where an end is None."""
    if None not in (*x, *y):
        axes.plot(x, y, color=colour, lw=width, solid_capstyle="butt", zorder=2, alpha=0.75)


def interval(axes: Axes, value: float, low: float | None, high: float | None, y: float, colour: str) -> None:
    """A diamond for an estimate, and a bar for its interval where it has one."""
    bar(axes, (low, high), (y, y), colour)
    axes.plot([value], [y], "D", ms=6.5, color=colour, zorder=4)


def ruled(axes: Axes) -> None:
    """A scale of values along x that can be read, and names along y without ticks."""
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5, min_n_ticks=3)
    axes.tick_params(left=False)


def key(figure: Figure, with_intervals: bool, of: str = "seeds", lines: Mapping[str, str] | None = None) -> None:
    """The key to the marks, below the figure; `lines` are dashed ones, by their meaning."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", ls="", ms=4.5, mfc="white", mec=INK, label="one seed"),
        Line2D([], [], marker="D", ls="-" if with_intervals else "", lw=2.4, ms=6.5, color=INK),
    ]
    handles[1].set_label(f"mean, and its 95 % interval over {of}" if with_intervals else "mean")
    handles += [Line2D([], [], color=c, lw=1.2, ls=DASHED, label=text) for text, c in (lines or {}).items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles))


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
    red, green, blue, _ = colours(share)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"
