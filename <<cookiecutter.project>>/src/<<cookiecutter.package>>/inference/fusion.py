"""Several detectors asked as one, by weighted box fusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .ensemble import check_members
from .matching import iou as overlap


def fuse_boxes(members: Sequence[np.ndarray], iou: float = 0.55) -> np.ndarray:
    """Weighted box fusion of several detectors' boxes in one image.

    Boxes of a class that overlap by more than `iou` become one box: the mean of their corners weighted by their scores.
    Its score is their mean score, lowered in proportion where only some members found it.
    Solovyev, Wang, Gabruseva, Weighted boxes fusion, Image and Vision Computing 2021, arXiv:1910.13302, section 3.

    Args:
        members: for each detector (n, 6) rows of x1, y1, x2, y2, score, class, in any one unit.
        iou: the overlap above which two boxes are taken for the same object; 0.55 is the paper's best.

    Returns:
        (k, 6) rows of the same kind, the highest score first.

    Raises:
        UserError: fewer than three members.
    """
    check_members(len(members))
    boxes = np.concatenate([np.asarray(member, dtype=np.float64).reshape(-1, 6) for member in members])
    fused = [_fuse_class(boxes[boxes[:, 5] == label], len(members), iou) for label in np.unique(boxes[:, 5])]
    result = np.concatenate([np.empty((0, 6)), *fused])
    return result[np.argsort(-result[:, 4], kind="stable")]


def _fuse_class(boxes: np.ndarray, members: int, iou: float) -> np.ndarray:
    """The boxes of one class, the surest first, each joined to the fused box that it overlaps most, or starting one."""
    fused = np.empty_like(boxes)
    clusters: list[list[np.ndarray]] = []
    for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
        overlaps = overlap(box[None, :4], fused[: len(clusters), :4])[0]
        if np.any(overlaps > iou):
            chosen = int(overlaps.argmax())
            clusters[chosen].append(box)
        else:
            chosen = len(clusters)
            clusters.append([box])
        fused[chosen] = _weighted_mean(np.array(clusters[chosen]))
    fused = fused[: len(clusters)]
    sizes = np.array([len(cluster) for cluster in clusters])
    fused[:, 4] *= np.minimum(sizes, members) / members
    return fused


def _weighted_mean(cluster: np.ndarray) -> np.ndarray:
    """One box (6,) for a cluster (n, 6): corners weighted by score, the mean score, the class they share."""
    scores = cluster[:, 4]
    weights = scores if scores.sum() > 0 else np.ones_like(scores)
    return np.concatenate([np.average(cluster[:, :4], axis=0, weights=weights), [scores.mean(), cluster[0, 5]]])
