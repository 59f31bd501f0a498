"""Which detection is of which object."""

from __future__ import annotations

import numpy as np

SHOWN = 0.25  # detections from this confidence up count in the confusion matrix and in an image's F1
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's


SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # COCO's, in square pixels
MOST = 100  # detections of a class in an image that COCO counts, the most confident


def match(
    detections: np.ndarray,
    truth: np.ndarray,
    counted: np.ndarray | None = None,
    own: np.ndarray | None = None,
    overlaps: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections (k, 6), best first, are right at which IoU threshold, and which don't count: two (k, 10) bool.

    COCO's rule (pycocotools, cocoeval.py, evaluateImg): each takes the best free object of its class. `truth` is
    (n, 5): class, cx, cy, width, height. Objects that are not `counted` (n,) are taken where there is no other, and who
    takes one doesn't count; nor does a detection that finds nothing and is not `own` (k,) to the sizes asked for.
    `overlaps` (k, n) are the IoU of something else than the boxes, such as masks.
    """
    shape = len(detections), len(IOU_THRESHOLDS)
    right, aside = np.zeros(shape, bool), np.zeros(shape, bool)
    counted = np.ones(len(truth), bool) if counted is None else counted
    near = iou(detections[:, :4], corners(truth)) if overlaps is None else overlaps
    near = near * (detections[:, 5:6] == truth[None, :, 0])
    candidates = np.flatnonzero(near.max(1, initial=0) >= IOU_THRESHOLDS[0])
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth), bool)
        for d in candidates:
            for kind, found in ((counted, right), (~counted, aside)):
                row = np.where(free & kind, near[d], 0)
                best = len(row) - 1 - int(row[::-1].argmax())
                if row[best] >= threshold:
                    free[best] = False
                    found[d, t] = True
                    break
    if own is not None:
        aside |= ~(right | aside) & ~own[:, None]
    return right, aside


def box_areas(detections: np.ndarray, truth: np.ndarray, pixels: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The areas of detections (k,) and objects (n,) in an image of `pixels` (height, width), in square pixels."""
    height, width = pixels
    found = (detections[:, 2] - detections[:, 0]) * width * ((detections[:, 3] - detections[:, 1]) * height)
    return found, truth[:, 3].astype(float) * width * (truth[:, 4].astype(float) * height)


def by_size(
    detections: np.ndarray,
    truth: np.ndarray,
    found: np.ndarray,
    areas: np.ndarray,
    overlaps: np.ndarray | None = None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`match` for the objects of each of SIZES; `found` (k,) and `areas` (n,) are in square pixels."""
    return {
        name: match(detections, truth, _within(areas, limits), _within(found, limits), overlaps)
        for name, limits in SIZES.items()
    }


def _within(areas: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (areas >= limits[0]) & (areas <= limits[1])


def most_confident(detections: np.ndarray) -> np.ndarray:
    """The detections (k, 6), best first, without those of a class beyond the first MOST."""
    kept = [np.flatnonzero(detections[:, 5] == label)[:MOST] for label in np.unique(detections[:, 5])]
    return detections[np.sort(np.concatenate(kept))] if kept else detections


def agreement(one: np.ndarray, other: np.ndarray, overlaps: np.ndarray | None = None) -> float:
    """The F1 of one's detections (k, 6) against another's, from confidence SHOWN up; 1 where both see none."""
    shown, seen = (rows[:, 4] >= SHOWN for rows in (one, other))
    one, other = one[shown], other[seen]
    if not len(one) + len(other):
        return 1.0
    overlaps = None if overlaps is None else overlaps[shown][:, seen]
    low, high = other[:, :2], other[:, 2:4]
    truth = np.column_stack([other[:, 5], (low + high) / 2, high - low])
    return 2 * int(match(one, truth, overlaps=overlaps)[0][:, 0].sum()) / (len(one) + len(other))


def confused(
    detections: np.ndarray, truth: np.ndarray, classes: list[str], overlaps: np.ndarray | None = None
) -> list[tuple[str, str]]:
    """(actual, predicted) of each object, whatever its class, at IoU 0.5; "background" where one side is missing."""
    overlaps = iou(detections[:, :4], corners(truth)) if overlaps is None else overlaps
    pairs, free = [], set(range(len(truth)))
    for d, row in enumerate(overlaps):
        best = max(free, key=lambda i: row[i], default=None)
        if best is not None and row[best] >= 0.5:
            free.remove(best)
            pairs.append((classes[int(truth[best, 0])], classes[int(detections[d, 5])]))
        else:
            pairs.append(("background", classes[int(detections[d, 5])]))
    return pairs + [(classes[int(truth[i, 0])], "background") for i in sorted(free)]


def corners(truth: np.ndarray) -> np.ndarray:
    """Rows of class, cx, cy, width, height to (n, 4): x1, y1, x2, y2."""
    centre, half = truth[:, 1:3], truth[:, 3:5] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), x1 y1 x2 y2: (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = (high - low).clip(0).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return intersection / np.maximum(area_a[:, None] + area_b[None] - intersection, 1e-12)
