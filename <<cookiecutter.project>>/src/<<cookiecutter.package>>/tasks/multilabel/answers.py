"""What predict.py writes of an image: its labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import said


def rows(prediction: np.ndarray, classes: list[str], shape: tuple[int, int], confidence: float) -> list[dict[str, Any]]:
    """An answer a label that the image has by the model's own threshold, the surest first, however sure."""
    there = said(prediction)
    return [
        {"class": classes[label], "confidence": float(prediction[0, label])}
        for label in np.argsort(-prediction[0], kind="stable")
        if there[label]
    ]
