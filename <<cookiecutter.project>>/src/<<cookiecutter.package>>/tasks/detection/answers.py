"""What predict.py writes of an image: its objects."""

from __future__ import annotations

from typing import Any

import numpy as np


def rows(prediction: np.ndarray, classes: list[str], shape: tuple[int, int], confidence: float) -> list[dict[str, Any]]:
    """An answer an object from `confidence` up, the surest first; corners in pixels, inside the image of `shape`."""
    height, width = shape
    corners = prediction[:, :4].clip(0, 1) * [width, height, width, height]
    found = zip(corners, prediction[:, 4], prediction[:, 5], strict=True)
    return [
        {"class": classes[int(label)], "confidence": float(sure)}
        | dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
        for box, sure, label in found
        if sure >= confidence
    ]
