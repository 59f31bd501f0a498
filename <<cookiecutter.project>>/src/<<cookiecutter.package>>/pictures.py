"""What a report shows of single test images: lab.yaml names these functions.

Frames and rows are those of results/<stage>/predictions.parquet. Their columns say of which task they are, and the
task's drawing.py does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from .shared import registry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from .shared.protocols import Drawing


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `score` (0 to 1: how right each image is) and `surety` (how much it counts among equals)."""
    return _drawing(frame.columns).score(frame)


def describe(row: pd.Series) -> str:
    """What the model said of an image."""
    return _drawing(row.index).describe(row)


def truth(row: pd.Series) -> str:
    """What is in an image; empty where a few words don't say it."""
    return _drawing(row.index).truth(row)


def title(row: pd.Series) -> str:
    """What stands above an image that is shown alone."""
    return _drawing(row.index).title(row)


def draw(
    axes: Axes,
    row: pd.Series,
    colour: str,
    side: Literal["left", "right"],
    read: Callable[[str], bytes | None],
) -> None:
    """Draw what the model said, in `colour` with its words on a `side`, and the truth, on the image in `axes`.

    `read` gives a file of data/prepared by its path there; None where it is absent.
    """
    _drawing(row.index).draw(axes, row, colour, side, read)


def legend(frame: pd.DataFrame, colours: Mapping[str, str] | None = None) -> str:
    """What is drawn, in a sentence. `colours` are those of several models by their names; without, there is one."""
    return _drawing(frame.columns).legend(colours or {})


def _drawing(columns: Iterable[str]) -> Drawing:
    return registry.drawing(columns)
