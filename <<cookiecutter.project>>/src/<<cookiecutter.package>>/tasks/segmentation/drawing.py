"""Masks in a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = frozenset({"objects", "f1", "actual", "predicted", "confidence", "boxes", "outlines"})
TRUTH = "truth green and dashed"
GREEN = "#009E73"  # Okabe and Ito's
PREPARED = "data/prepared/"


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """F1 at a mask's IoU 0.5; among equals, the one with the most objects."""
    return frame.assign(score=frame["f1"], surety=frame["objects"].astype(float))


def describe(row: Any) -> str:
    """The image's F1."""
    return f"F1 {row['f1']:.3f}"


def truth(row: Any) -> str:
    """Nothing: the outlines are drawn."""
    return ""


def title(row: Any) -> str:
    """The image's F1."""
    return describe(row)


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """The predicted masks with their classes on a `side`, and the true outlines."""
    for outline, name in zip(row["outlines"], row["predicted"], strict=True):
        if len(outline):
            points = shape(axes, outline, fc=colour, ec=colour, alpha=0.35)
            label(axes, name, points, colour, side, "top")
    path = row["path"].removeprefix(PREPARED)
    rows = read(str(PurePosixPath(path.replace("/images/", "/labels/")).with_suffix(".txt"))) or b""
    manifest = read("manifest.json")
    classes = json.loads(manifest)["classes"] if manifest else []
    for line in rows.decode().splitlines():
        index, *outline = map(float, line.split())
        points = shape(axes, outline, fill=False, ec=GREEN, lw=1, ls=(0, (3, 2)))
        if classes:
            label(axes, classes[int(index)], points, GREEN, "right", "bottom")


def shape(axes: Any, outline: Sequence[float], **style: Any) -> np.ndarray:
    """A polygon x1, y1, x2, y2, … in fractions of the image; its points (n, 2) in pixels."""
    from matplotlib.patches import Polygon

    height, width = axes.images[0].get_array().shape[:2]
    points = np.reshape(np.asarray(outline, float), (-1, 2)) * [width, height]
    axes.add_patch(Polygon(points, **style))
    return points


def label(axes: Any, name: str, points: np.ndarray, colour: str, side: str, end: str) -> None:
    """An object's class at a corner of the box around it."""
    x, y = points[:, 0], points[:, 1]
    place = (x.min() if side == "left" else x.max(), y.min() if end == "top" else y.max())
    ground = {"fc": colour, "ec": "none", "pad": 0.8}
    axes.text(*place, str(name), color="white", fontsize=6.5, ha=side, va=end, bbox=ground, clip_on=True)


def legend(colours: Mapping[str, str]) -> str:
    """Whose masks have which colour."""
    models = ", ".join(f"{name} {colour}" for name, colour in colours.items())
    return f"Masks with their classes: {TRUTH}, {models or 'prediction blue (from a confidence of 0.25 up)'}."
