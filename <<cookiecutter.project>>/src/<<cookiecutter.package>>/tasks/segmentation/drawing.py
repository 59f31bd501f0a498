"""Masks in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...object_drawing import OF_TRUTH, SURE, TRUTH, describe, label, score, true_objects, truth

__all__ = ["COLUMNS", "describe", "draw", "legend", "score", "title", "truth"]

COLUMNS = frozenset({"objects", "f1", "actual", "predicted", "confidence", "boxes", "outlines"})
title = describe


def draw(axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
    """The predicted masks with their classes on a `side`, and the true outlines."""
    for outline, name in zip(row["outlines"], row["predicted"], strict=True):
        if len(outline):
            x, y = shape(axes, outline, fc=colour, ec=colour, alpha=0.35)
            label(axes, name, (x.min() if side == "left" else x.max(), y.min()), colour, side, "top")
    for name, outline in true_objects(row, read):
        x, y = shape(axes, outline, fill=False, **OF_TRUTH)
        if name:
            label(axes, name, (x.max(), y.max()), OF_TRUTH["ec"], "right", "bottom")


def shape(axes: Any, outline: Sequence[float], **style: Any) -> np.ndarray:
    """A polygon x1, y1, x2, y2, … in fractions of the image; its x and y (2, n) in pixels."""
    from matplotlib.patches import Polygon

    height, width = axes.images[0].get_array().shape[:2]
    points = np.reshape(np.asarray(outline, float), (-1, 2)) * [width, height]
    axes.add_patch(Polygon(points, **style))
    return points.T


def legend(colours: Mapping[str, str]) -> str:
    """Whose masks have which colour."""
    models = ", ".join(f"{name} {colour}" for name, colour in colours.items())
    return f"Masks with their classes: {TRUTH}, {models or f'prediction blue (from a confidence of {SURE:g} up)'}."
