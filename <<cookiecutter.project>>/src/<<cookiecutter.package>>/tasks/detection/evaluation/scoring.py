"""How good boxes are."""

from __future__ import annotations

import numpy as np

from ....inference import object_scoring
from ....inference.evaluation import Evaluation
from ....inference.matching import most_confident
from ....shared.prepared import Item
from .. import boxes


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision, by the overlap of boxes. Raises UserError where no image has an object."""
    seen = [
        object_scoring.Seen.by_boxes(item, most_confident(detections), boxes(item))
        for item, detections in zip(items, predictions, strict=True)
    ]
    return object_scoring.score(seen, classes)
