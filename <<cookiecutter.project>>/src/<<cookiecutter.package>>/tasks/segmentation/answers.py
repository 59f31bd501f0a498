"""What predict.py writes of an image: its objects with their outlines."""

from __future__ import annotations

from typing import Any

import numpy as np


def rows(prediction: np.ndarray, classes: list[str], shape: tuple[int, int], confidence: float) -> list[dict[str, Any]]:
    """An answer an object from `confidence` up, the surest first; corners and outline in pixels of the image."""
    height, width = shape
    found = []
    for box, mask in zip(prediction["box"], prediction["mask"], strict=True):
        if box[4] >= confidence:
            x1, y1, x2, y2 = map(float, box[:4].clip(0, 1) * [width, height, width, height])
            outline = np.reshape(mask.outline(), (-1, 2)) * [width, height]
            corners = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "polygon": outline.ravel().tolist()}
            found.append({"class": classes[int(box[5])], "confidence": float(box[4])} | corners)
    return found
