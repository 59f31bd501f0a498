"""How good detections are, by their boxes or by their masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..metrics import Scorer, average_precision, calibration_error
from ..shared.errors import UserError
from ..shared.prepared import Item
from .evaluation import Evaluation, thinned
from .matching import IOU_THRESHOLDS, SHOWN, SIZES, box_areas, by_size, confused, corners, iou, match

Hook = Callable[[pd.DataFrame, str], Scorer | None]


@dataclass
class Seen:
    """What was said of an image, and what is there.

    `detections` (k, 6) are the best first, `truth` (n, 5) has class, cx, cy, width, height. `overlaps` (k, n) is their
    IoU, `found` (k,) and `areas` (n,) their sizes in square pixels; `shapes` goes into the image's row.
    """

    item: Item
    detections: np.ndarray
    truth: np.ndarray
    overlaps: np.ndarray
    found: np.ndarray
    areas: np.ndarray
    shapes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def by_boxes(cls, item: Item, detections: np.ndarray, truth: np.ndarray) -> Seen:
        """By the overlap of boxes."""
        found, areas = box_areas(detections, truth, pixels(item))
        return cls(item, detections, truth, iou(detections[:, :4], corners(truth)), found, areas)


def score(images: list[Seen], classes: list[str]) -> Evaluation:
    """Average precision at COCO's ten IoU thresholds, as pycocotools counts it; precision and recall at the best F1.

    What each image adds lies in `per_image`, and metrics.py makes the metrics of it, so that they and their intervals
    are of one code.
    """
    from ultralytics.utils.metrics import ap_per_class

    matches = [match(seen.detections, seen.truth, overlaps=seen.overlaps)[0] for seen in images]
    detections, correct = np.concatenate([seen.detections for seen in images]), np.concatenate(matches)
    target = np.concatenate([seen.truth[:, 0] for seen in images])
    if not len(target):
        raise UserError(f"none of the {len(images)} test images has a labelled object: there is nothing to measure")
    with np.errstate(invalid="ignore"):
        _, _, precision, recall, _, ap, present, _, _, f1, grid, curve = ap_per_class(
            correct, detections[:, 4], detections[:, 5], target
        )
    rows, confusion = [], []
    bits = 2 ** np.arange(len(IOU_THRESHOLDS))
    for seen, matched in zip(images, matches, strict=True):
        item, boxed, truth = seen.item, seen.detections, seen.truth
        sized = by_size(boxed, truth, seen.found, seen.areas, seen.overlaps)
        shown = boxed[:, 4] >= SHOWN
        hits = int(matched[shown, 0].sum())
        rows.append(
            {
                "path": item.path.as_posix(),
                "site": item.site,
                "objects": len(truth),
                "f1": 2 * hits / (int(shown.sum()) + len(truth)) if shown.sum() + len(truth) else 1.0,
                "actual": [classes[int(c)] for c in truth[:, 0]],
                "predicted": [classes[int(c)] for c in boxed[:, 5]],
                "confidence": boxed[:, 4],
                "correct": matched.sum(1),  # at how many of the ten IoU thresholds
                "matched": matched @ bits,  # at which, a bit each
                "areas": seen.areas,  # of the objects, in square pixels
            }
            # The same for objects of one size; the ten bits above say where a detection doesn't count.
            | {name: right @ bits + (aside @ bits) * 2 ** len(bits) for name, (right, aside) in sized.items()}
            | {
                "boxes": [list(map(float, row)) for row in boxed[:, :4]],
            }
            | seen.shapes
        )
        confusion += confused(boxed[shown], truth, classes, seen.overlaps[shown])
    curves = [thinned(classes[int(c)], grid, curve[i]) for i, c in enumerate(present)] if len(ap) else []
    table = pd.DataFrame(rows)
    there = [classes[int(c)] for c in np.unique(target)]
    metrics = {
        "mAP50": value(table, "mAP50"),
        "mAP50_95": value(table, "mAP50_95"),
        "precision": float(precision.mean()) if len(ap) else 0.0,
        "recall": float(recall.mean()) if len(ap) else 0.0,
        **best_f1(grid, f1),
        "ece": value(table, "ece", calibration_error),
        **{f"AP_{name}": value(table, f"AP_{name}") for name in SIZES if any_of(table, name)},
        "images": len(images),
        "objects": len(target),
        "classes": {
            name: {key: value(table, f"classes.{name}.{key}") for key in ("AP50", "AP50_95")} for name in there
        },
    }
    return Evaluation(
        metrics,
        table,
        pd.DataFrame(confusion, columns=["actual", "predicted"]),
        pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["class", "recall", "precision"]),
    )


def best_f1(confidences: np.ndarray, f1: np.ndarray) -> dict[str, float]:
    """The best mean F1 of the classes (classes, n) at IoU 0.5, and from which confidence up; nothing found has none."""
    if not len(f1):
        return {"best_f1": 0.0, "best_f1_confidence": 1.0}
    best = int(f1.mean(0).argmax())
    # Rounded: what a batch of another size changes is no other answer.
    return {"best_f1": round(float(f1.mean(0)[best]), 6), "best_f1_confidence": round(float(confidences[best]), 4)}


def value(images: pd.DataFrame, metric: str, function: Hook = average_precision) -> float:
    """A metric with each image once."""
    scorer = function(images, metric)
    assert scorer is not None, metric
    return float(scorer(np.ones((len(images), 1)))[0])


def any_of(images: pd.DataFrame, size: str) -> bool:
    """Whether there is an object of a size; COCO says -1 where there is none, which no mean may take in."""
    low, high = SIZES[size]
    return any(((areas >= low) & (areas <= high)).any() for areas in images["areas"])


def pixels(item: Item) -> tuple[int, int]:
    """The height and width of an image."""
    with Image.open(item.path) as image:
        return image.height, image.width
