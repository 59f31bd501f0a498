"""How good a model is on a test split: one code for PyTorch, OpenVINO and ensembles, so that numbers compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError
from .layout import Item, Prepared, boxes, read_image
from .model_file import ModelFile
from .predictor import Predictor, preprocess

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's
SHOWN = 0.25  # detections from this confidence up count in the confusion matrix and in an image's F1


@dataclass
class Evaluation:
    """Metrics as numbers, results an image, and what the plots show.

    `per_image` has one row an image, so that two models can be compared image by image; `confusion` one row an object
    (actual, predicted); `curve` precision over recall, by class.
    """

    metrics: dict[str, Any]
    per_image: pd.DataFrame
    confusion: pd.DataFrame
    curve: pd.DataFrame


def check_classes(model: ModelFile, prepared: Prepared) -> None:
    """Raise UserError unless model and data are of one task and one list of classes."""
    if model.task != prepared.task:
        raise UserError(f"the model {model.name} is for {model.task}, the prepared data for {prepared.task}")
    if model.classes != prepared.classes:
        raise UserError(
            f"the model {model.name} knows the classes {', '.join(model.classes)}, the prepared data has "
            f"{', '.join(prepared.classes)}: train on this data, or prepare the data that the model was trained on"
        )


def evaluate(predictor: Predictor, prepared: Prepared, site: Any, batch_size: int, split: str = "test") -> Evaluation:
    """Evaluate one network on a split of `site` (a name, a list of names or "all"). Raises UserError."""
    check_classes(predictor.model, prepared)
    items = prepared.items(split, site)
    return score(items, predict(predictor, items, batch_size), prepared)


def predict(predictor: Predictor, items: list[Item], batch_size: int) -> list[np.ndarray]:
    """One array an item: class probabilities (classes,), or detections (k, 6) as detection.postprocess gives them."""
    model = predictor.model
    results: list[np.ndarray] = []
    for group in batches(items, batch_size):
        images = [read_image(item) for item in group]
        output = predictor(np.stack([preprocess(model, image) for image in images]))
        if model.task == "detection":
            from .detection import postprocess

            results += postprocess(output, [image.shape[:2] for image in images], model.image_size)
        else:
            from .classification import probabilities

            results += list(probabilities(output))
    return results


def batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Groups of `size` items; the last may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def score(items: list[Item], results: list[np.ndarray], prepared: Prepared) -> Evaluation:
    """Compare `results`, one array an item as `predict` gives them, with the labels."""
    scorer: Callable[..., Evaluation] = score_detection if prepared.task == "detection" else score_classification
    return scorer(items, results, prepared.classes)


def score_classification(items: list[Item], results: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Accuracy and F1, by scikit-learn."""
    from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

    probabilities = np.stack(results)
    actual = np.array([classes.index(item.label) for item in items])
    predicted = probabilities.argmax(1)
    by_class = precision_recall_fscore_support(
        actual,
        predicted,
        labels=range(len(classes)),
        zero_division=0,  # type: ignore[arg-type]
    )
    precision, recall, f1, support = map(np.asarray, by_class)
    present = support > 0  # a class without a test image has no F1; it would pull the mean down
    metrics = {
        "f1_macro": float(f1[present].mean()),
        "accuracy": float((actual == predicted).mean()),
        "images": len(items),
        "classes": {
            name: {"f1": float(f1[i]), "precision": float(precision[i]), "recall": float(recall[i])}
            for i, name in enumerate(classes)
            if present[i]
        },
    }
    curve = []
    for i, name in enumerate(classes):
        if present[i]:
            at, over, _ = precision_recall_curve(actual == i, probabilities[:, i])
            curve.append(thinned(name, over[::-1], at[::-1]))
    names = np.array(classes)
    per_image = pd.DataFrame(
        {
            "path": [item.path.as_posix() for item in items],
            "site": [item.site for item in items],
            "actual": names[actual],
            "predicted": names[predicted],
            "correct": actual == predicted,
            "confidence": probabilities.max(1),
            "probabilities": list(probabilities),
        }
    )
    confusion = per_image.filter(["actual", "predicted"])
    return Evaluation(metrics, per_image, confusion, pd.concat(curve, ignore_index=True))


def score_detection(items: list[Item], results: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision at COCO's ten IoU thresholds, by Ultralytics' own code, on boxes as fractions of the image."""
    from ultralytics.utils.metrics import ap_per_class

    truths = [boxes(item) for item in items]
    matches = [match(detections, truth) for detections, truth in zip(results, truths, strict=True)]
    detections, correct = np.concatenate(results), np.concatenate(matches)
    target = np.concatenate([truth[:, 0] for truth in truths])
    if not len(target):
        raise UserError(f"none of the {len(items)} test images has a labelled object: there is nothing to measure")
    with np.errstate(invalid="ignore"):
        _, _, precision, recall, _, ap, present, _, _, _, grid, curve = ap_per_class(
            correct, detections[:, 4], detections[:, 5], target
        )
    metrics = {
        "mAP50": float(ap[:, 0].mean()) if len(ap) else 0.0,
        "mAP50_95": float(ap.mean()) if len(ap) else 0.0,
        "precision": float(precision.mean()) if len(ap) else 0.0,
        "recall": float(recall.mean()) if len(ap) else 0.0,
        "images": len(items),
        "objects": len(target),
        "classes": {
            classes[int(c)]: {"AP50": float(ap[i, 0]), "AP50_95": float(ap[i].mean())} for i, c in enumerate(present)
        },
    }
    rows, confusion = [], []
    for item, found, truth, matched in zip(items, results, truths, matches, strict=True):
        shown = found[:, 4] >= SHOWN
        hits = int(matched[shown, 0].sum())
        rows.append(
            {
                "path": item.path.as_posix(),
                "site": item.site,
                "objects": len(truth),
                "f1": 2 * hits / (int(shown.sum()) + len(truth)) if shown.sum() + len(truth) else 1.0,
                "actual": [classes[int(c)] for c in truth[:, 0]],
                "predicted": [classes[int(c)] for c in found[:, 5]],
                "confidence": found[:, 4],
                "correct": matched.sum(1),  # at how many of the ten IoU thresholds
                "matched": matched @ 2 ** np.arange(len(IOU_THRESHOLDS)),  # at which, a bit each
                "boxes": [list(map(float, row)) for row in found[:, :4]],
            }
        )
        confusion += confused(found[shown], truth, classes)
    curves = [thinned(classes[int(c)], grid, curve[i]) for i, c in enumerate(present)] if len(ap) else []
    return Evaluation(
        metrics,
        pd.DataFrame(rows),
        pd.DataFrame(confusion, columns=["actual", "predicted"]),
        pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["class", "recall", "precision"]),
    )


def match(detections: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which detections (k, 6), best first, are correct at which IoU threshold: (k, 10) bool.

    COCO's rule: each takes the best free object of its class. `truth` is (n, 5): class, cx, cy, width, height.
    """
    correct = np.zeros((len(detections), len(IOU_THRESHOLDS)), bool)
    overlaps = iou(detections[:, :4], corners(truth)) * (detections[:, 5:6] == truth[None, :, 0])
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth), bool)
        for d, row in enumerate(overlaps):
            candidates = np.where(free, row, 0)
            if len(candidates) and candidates.max() >= threshold:
                free[candidates.argmax()] = False
                correct[d, t] = True
    return correct


def confused(detections: np.ndarray, truth: np.ndarray, classes: list[str]) -> list[tuple[str, str]]:
    """(actual, predicted) of each object, whatever its class, at IoU 0.5; "background" where one side is missing."""
    overlaps = iou(detections[:, :4], corners(truth))
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


def thinned(name: str, recall: np.ndarray, precision: np.ndarray) -> pd.DataFrame:
    """A class's curve at 51 recalls: enough for a plot, little enough for git."""
    grid = np.linspace(0, 1, 51)
    return pd.DataFrame({"class": name, "recall": grid, "precision": np.interp(grid, recall, precision).round(5)})
