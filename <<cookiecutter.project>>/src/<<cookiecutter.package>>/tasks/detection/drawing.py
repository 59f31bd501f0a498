"""Boxes in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...object_drawing import OF_TRUTH, SURE, TRUTH, describe, label, score, true_objects, truth

__all__ = ["COLUMNS", "describe", "draw", "legend", "score", "title", "truth"]

COLUMNS = frozenset({"objects", "f1", "actual", "predicted", "confidence", "boxes"})
title = describe


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """The detections with their classes on a `side`, and the true boxes."""
    height, width = axes.images[0].get_array().shape[:2]
    for (x1, y1, x2, y2), name, confidence in zip(row["boxes"], row["predicted"], row["confidence"], strict=True):
        if confidence >= SURE:
            frame(axes, (x1 * width, y1 * height), ((x2 - x1) * width, (y2 - y1) * height), ec=colour, lw=1.3)
            x = max(x1, 0.0) if side == "left" else min(x2, 1.0)
            label(axes, name, (x * width, max(y1, 0.0) * height), colour, side, "top")
    for name, (cx, cy, w, h, *_) in true_objects(row, read):
        corner, size = ((cx - w / 2) * width, (cy - h / 2) * height), (w * width, h * height)
        frame(axes, corner, size, **OF_TRUTH)
        if name:
            label(axes, name, ((cx + w / 2) * width, (cy + h / 2) * height), OF_TRUTH["ec"], "right", "bottom")


def frame(axes: Any, corner: tuple[float, float], size: tuple[float, float], **style: Any) -> None:
    """An empty box, in pixels."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(corner, *size, fill=False, **style))


def legend(colours: Mapping[str, str]) -> str:
    """Whose boxes have which colour."""
    models = ", ".join(f"{name} {colour}" for name, colour in colours.items())
    return f"Boxes with their classes: {TRUTH}, {models or f'prediction blue (from a confidence of {SURE:g} up)'}."
