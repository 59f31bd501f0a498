"""Several networks asked as one: their boxes fused, each with the mask of the surest that it was fused from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....inference.fusion import fuse_boxes
from ....inference.matching import iou
from ..networks.masks import OBJECT

SAME = 0.5  # a member's box that overlaps a fused one by so much is of the same object


def fuse(members: Sequence[np.ndarray]) -> np.ndarray:
    """The objects (k,) of several networks in one image as those of one. Raises UserError for fewer than three."""
    boxes = fuse_boxes([objects["box"] for objects in members])
    every = np.concatenate(members)
    fused = np.empty(len(boxes), OBJECT)
    fused["box"] = boxes
    near = iou(boxes[:, :4], every["box"][:, :4]) * (boxes[:, 5:6] == every["box"][None, :, 5])
    for index, row in enumerate(near):
        candidates = np.flatnonzero(row >= min(SAME, row.max()))
        fused["mask"][index] = every["mask"][candidates[every["box"][candidates, 4].argmax()]]
    return fused
