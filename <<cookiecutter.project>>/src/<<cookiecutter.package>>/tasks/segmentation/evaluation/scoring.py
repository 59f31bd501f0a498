"""How good masks are."""

from __future__ import annotations

import numpy as np

from ....inference import object_scoring
from ....inference.evaluation import Evaluation
from ....inference.matching import SHOWN, most_confident
from ....shared.prepared import Item
from .. import boxes, outlines
from ..networks.masks import Mask, overlaps


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision, by the overlap of masks. Raises UserError where no image has an object."""
    seen = [_seen(item, objects) for item, objects in zip(items, predictions, strict=True)]
    return object_scoring.score(seen, classes)


def _seen(item: Item, objects: np.ndarray) -> object_scoring.Seen:
    numbered = np.column_stack([objects["box"], np.arange(len(objects))])
    chosen = most_confident(numbered)[:, 6].astype(int)
    found, masks = objects["box"][chosen], list(objects["mask"][chosen])
    labels, polygons = outlines(item)
    there = [Mask.inside(polygon, object_scoring.pixels(item)) for polygon in polygons]
    shown = [mask.outline() if row[4] >= SHOWN else [] for row, mask in zip(found, masks, strict=True)]
    return object_scoring.Seen(
        item,
        found,
        boxes(labels, polygons),
        overlaps(masks, there),
        np.array([mask.area for mask in masks], float),
        np.array([mask.area for mask in there], float),
        {"outlines": shown},
    )
