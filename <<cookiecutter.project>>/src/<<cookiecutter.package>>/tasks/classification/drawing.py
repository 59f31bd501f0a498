"""Classified images in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = frozenset({"actual", "predicted", "correct", "confidence", "probabilities"})


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Right or wrong; among equals, the most confident."""
    return frame.assign(score=frame["correct"].astype(float), surety=frame["confidence"])


def describe(row: Any) -> str:
    """The predicted class, and with which confidence."""
    return f"{row['predicted']} ({row['confidence']:.2f})"


def truth(row: Any) -> str:
    """The true class."""
    return f"is {row['actual']}"


def title(row: Any) -> str:
    """The true class, and what it was taken for."""
    return f"{row['actual']} → {describe(row)}"


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """Nothing: the words above an image say it all."""


def legend(colours: Mapping[str, str]) -> str:
    """What the words above a single model's images are."""
    return "" if colours else "Above each image: its class, and what it was taken for with which confidence."
