"""What predict.py writes of an image: its class."""

from __future__ import annotations

from typing import Any

import numpy as np


def rows(prediction: np.ndarray, classes: list[str], shape: tuple[int, int], confidence: float) -> list[dict[str, Any]]:
    """One answer: the likeliest class, however sure; and every class's probability, in the order of the classes."""
    best = int(prediction.argmax())
    return [
        {"class": classes[best], "confidence": float(prediction[best]), "probabilities": [float(p) for p in prediction]}
    ]
