"""Boxes in a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = frozenset({"objects", "f1", "actual", "predicted", "confidence", "boxes"})
SURE = 0.25  # detections from this confidence up are drawn
TRUTH = "truth green and dashed"
GREEN = "#009E73"  # Okabe and Ito's
PREPARED = "data/prepared/"


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """F1 at IoU 0.5; among equals, the one with the most objects."""
    return frame.assign(score=frame["f1"], surety=frame["objects"].astype(float))


def describe(row: Any) -> str:
    """The image's F1."""
    return f"F1 {row['f1']:.3f}"


def truth(row: Any) -> str:
    """Nothing: the boxes are drawn."""
    return ""


def title(row: Any) -> str:
    """The image's F1."""
    return describe(row)


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """The detections with their classes on a `side`, and the true boxes."""
    height, width = axes.images[0].get_array().shape[:2]
    for (x1, y1, x2, y2), name, confidence in zip(row["boxes"], row["predicted"], row["confidence"], strict=True):
        if confidence >= SURE:
            frame(axes, (x1 * width, y1 * height), ((x2 - x1) * width, (y2 - y1) * height), ec=colour, lw=1.3)
            x = max(x1, 0.0) if side == "left" else min(x2, 1.0)
            label(axes, name, (x * width, max(y1, 0.0) * height), colour, side, "top")
    path = row["path"].removeprefix(PREPARED)
    rows = read(str(PurePosixPath(path.replace("/images/", "/labels/")).with_suffix(".txt"))) or b""
    manifest = read("manifest.json")
    classes = json.loads(manifest)["classes"] if manifest else []
    for line in rows.decode().splitlines():
        index, cx, cy, w, h = map(float, line.split()[:5])
        corner, size = ((cx - w / 2) * width, (cy - h / 2) * height), (w * width, h * height)
        frame(axes, corner, size, ec=GREEN, lw=1, ls=(0, (3, 2)))
        if classes:
            label(axes, classes[int(index)], ((cx + w / 2) * width, (cy + h / 2) * height), GREEN, "right", "bottom")


def frame(axes: Any, corner: tuple[float, float], size: tuple[float, float], **style: Any) -> None:
    """An empty box, in pixels."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(corner, *size, fill=False, **style))


def label(axes: Any, name: str, place: tuple[float, float], colour: str, ha: str, va: str) -> None:
    """A box's class in one of its corners, in pixels."""
    ground = {"fc": colour, "ec": "none", "pad": 0.8}
    axes.text(*place, str(name), color="white", fontsize=6.5, ha=ha, va=va, bbox=ground, clip_on=True)


def legend(colours: Mapping[str, str]) -> str:
    """Whose boxes have which colour."""
    models = ", ".join(f"{name} {colour}" for name, colour in colours.items())
    return f"Boxes with their classes: {TRUTH}, {models or f'prediction blue (from a confidence of {SURE:g} up)'}."
