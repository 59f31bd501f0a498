"""Images with several labels in a report: words above them, nothing on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = frozenset({"actual", "predicted", "exact", "f1", "confidence"})


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Each image's F1; among equals, the one with the most labels."""
    return frame.assign(score=frame["f1"], surety=frame["actual"].map(len).astype(float))


def describe(row: Any) -> str:
    """The labels that the model gave."""
    return listed(row["predicted"])


def truth(row: Any) -> str:
    """The labels that the image has."""
    return f"has {listed(row['actual'])}"


def title(row: Any) -> str:
    """The image's labels, and those it was given."""
    return f"{listed(row['actual'])} → {describe(row)}"


def listed(labels: Iterable[str]) -> str:
    """Labels in a few words."""
    return ", ".join(map(str, labels)) or "none"


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """Nothing: the words above an image say it all."""


def legend(colours: Mapping[str, str]) -> str:
    """What the words above a single model's images are."""
    return "" if colours else "Above each image: its labels, and those that the model gave it."
