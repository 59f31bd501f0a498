"""How good detections are, by their boxes or by their masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..metrics import ERRORS, Scorer, average_precision, calibration_error, error_loss
from ..shared.errors import UserError
from ..shared.prepared import Item
from .error_kinds import errors
from .evaluation import Evaluation, thinned
from .matching import IOU_THRESHOLDS, SHOWN, SIZES, box_areas, by_size, confused, corners, iou, match

GRID = np.linspace(0, 1, 1000)  # of confidences, and of recalls
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
    matches = [match(seen.detections, seen.truth, overlaps=seen.overlaps)[0] for seen in images]
    detections, correct = np.concatenate([seen.detections for seen in images]), np.concatenate(matches)
    target = np.concatenate([seen.truth[:, 0] for seen in images])
    if not len(target):
        raise UserError(f"none of the {len(images)} test images has a labelled object: there is nothing to measure")
    there = np.unique(target).astype(int)
    by_class = [
        Curves.of(correct[:, 0], detections[:, 4], detections[:, 5] == c, int((target == c).sum())) for c in there
    ]
    rows, confusion = [], []
    bits = 2 ** np.arange(len(IOU_THRESHOLDS))
    for seen, matched in zip(images, matches, strict=True):
        item, boxed, truth = seen.item, seen.detections, seen.truth
        sized = by_size(boxed, truth, seen.found, seen.areas, seen.overlaps)
        shown = boxed[:, 4] >= SHOWN
        hits = int(matched[shown, 0].sum())
        wrong = errors(boxed, truth, seen.overlaps)
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
                "error": list(map(str, wrong.kind)),
                "right_as": [classes[c] if c >= 0 else "" for c in wrong.right_as],
                "missed": wrong.missed,
            }
            # The same for objects of one size; the ten bits above say where a detection doesn't count.
            | {name: right @ bits + (aside @ bits) * 2 ** len(bits) for name, (right, aside) in sized.items()}
            | {
                "boxes": [list(map(float, row)) for row in boxed[:, :4]],
            }
            | seen.shapes
        )
        confusion += confused(boxed[shown], truth, classes, seen.overlaps[shown])
    curves = [thinned(classes[c], GRID, one.over_recall) for c, one in zip(there, by_class, strict=True)]
    table = pd.DataFrame(rows)
    metrics = {
        "mAP50": value(table, "mAP50"),
        "mAP50_95": value(table, "mAP50_95"),
        **at_best_f1(by_class, bool(len(detections))),
        "ece": value(table, "ece", calibration_error),
        **{f"AP_{name}": value(table, f"AP_{name}") for name in SIZES if any_of(table, name)},
        "errors": {kind: value(table, f"errors.{kind}", error_loss) for kind in ERRORS},
        "images": len(images),
        "objects": len(target),
        "classes": {
            classes[c]: {key: value(table, f"classes.{classes[c]}.{key}") for key in ("AP50", "AP50_95")} for c in there
        },
    }
    return Evaluation(
        metrics,
        table,
        pd.DataFrame(confusion, columns=["actual", "predicted"]),
        pd.concat(curves, ignore_index=True),
    )


@dataclass(frozen=True)
class Curves:
    """What a class's detections come to at IoU 0.5, (1000,) each: from the confidences of GRID up, and over recall."""

    precision: np.ndarray
    recall: np.ndarray
    over_recall: np.ndarray  # the best precision that is reached at the recalls of GRID or later

    @classmethod
    def of(cls, right: np.ndarray, confidence: np.ndarray, own: np.ndarray, objects: int) -> Curves:
        """Of a class's `own` detections (k,) of all, and how many objects there are; read between its corners."""
        order = np.argsort(-confidence[own], kind="stable")
        sure, hits = confidence[own][order], right[own][order].cumsum()
        if not len(sure):
            return cls(*np.zeros((3, len(GRID))))
        precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
        envelope = np.maximum.accumulate(np.r_[1.0, precision, 0.0][::-1])[::-1]
        return cls(
            np.interp(-GRID, -sure, precision, left=1),
            np.interp(-GRID, -sure, recall, left=0),
            np.interp(GRID, np.r_[0.0, recall, 1.0], envelope),
        )


def at_best_f1(by_class: list[Curves], any_found: bool) -> dict[str, float]:
    """Precision, recall and F1, each a mean over the classes, from the confidence up where F1 is best."""
    if not any_found:
        return {"precision": 0.0, "recall": 0.0, "best_f1": 0.0, "best_f1_confidence": 1.0}
    precision, recall = (np.array([getattr(one, name) for one in by_class]) for name in ("precision", "recall"))
    f1 = (2 * precision * recall / np.maximum(precision + recall, 1e-16)).mean(0)
    best = int(f1.argmax())
    # Rounded: what a batch of another size changes is no other answer.
    return {
        "precision": round(float(precision[:, best].mean()), 6),
        "recall": round(float(recall[:, best].mean()), 6),
        "best_f1": round(float(f1[best]), 6),
        "best_f1_confidence": round(float(GRID[best]), 4),
    }


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
