"""The validation split's average precision after each epoch, by which the best one is chosen.

The area under the curve of precision over recall; what infer and quant report is counted as COCO does.
"""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import box_iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU, COCO's


def average_precision(detections: list[np.ndarray], truths: list[np.ndarray]) -> dict[str, float]:
    """`mAP50` and `mAP50_95` over the classes that there are; 0 where there are none.

    Args:
        detections: of each image (k, 6): x1, y1, x2, y2, confidence, class, the best first.
        truths: of each image (n, 5): class, x1, y1, x2, y2 in the same units.
    """
    found = np.concatenate([np.empty((0, 6)), *detections])
    hits = np.concatenate([np.empty((0, len(THRESHOLDS)), bool), *map(right, detections, truths)])
    actual = np.concatenate([np.empty((0, 5)), *truths])[:, 0]
    best_first = np.argsort(-found[:, 4], kind="stable")
    values = [areas(hits[best_first][found[best_first, 5] == c], int((actual == c).sum())) for c in np.unique(actual)]
    mean = np.mean(values, axis=0) if values else np.zeros(len(THRESHOLDS))
    return {"mAP50": float(mean[0]), "mAP50_95": float(mean.mean())}


def right(detections: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which detections take an object of their class, the best free one, at which of THRESHOLDS: (k, 10) bool."""
    taken = np.zeros((len(detections), len(THRESHOLDS)), bool)
    if not (len(truth) and len(detections)):
        return taken
    overlaps = box_iou(torch.from_numpy(detections[:, :4]), torch.from_numpy(truth[:, 1:].astype(float))).numpy()
    overlaps = overlaps * (detections[:, 5:] == truth[:, 0])
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(truth))
        for d in np.flatnonzero(overlaps.max(1) >= threshold):
            best = int((overlaps[d] * free).argmax())
            if overlaps[d, best] * free[best] >= threshold:
                taken[d, t], free[best] = True, 0
    return taken


def areas(hits: np.ndarray, objects: int) -> np.ndarray:
    """The area under a class's curve at each threshold (10,), of detections' `hits` (k, 10), the best first."""
    if not len(hits):
        return np.zeros(len(THRESHOLDS))
    precision = hits.cumsum(0) / np.arange(1, len(hits) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return (envelope * hits).sum(0) / objects
