"""How good detections are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ....inference.evaluation import Evaluation, thinned
from ....shared.errors import UserError
from ....shared.prepared import Item
from .. import boxes
from .matching import IOU_THRESHOLDS, SHOWN, confused, match


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision at COCO's ten IoU thresholds, by Ultralytics' own code, on boxes as fractions of the image."""
    from ultralytics.utils.metrics import ap_per_class

    truths = [boxes(item) for item in items]
    matches = [match(detections, truth) for detections, truth in zip(predictions, truths, strict=True)]
    detections, correct = np.concatenate(predictions), np.concatenate(matches)
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
    for item, boxed, truth, matched in zip(items, predictions, truths, matches, strict=True):
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
                "matched": matched @ 2 ** np.arange(len(IOU_THRESHOLDS)),  # at which, a bit each
                "boxes": [list(map(float, row)) for row in boxed[:, :4]],
            }
        )
        confusion += confused(boxed[shown], truth, classes)
    curves = [thinned(classes[int(c)], grid, curve[i]) for i, c in enumerate(present)] if len(ap) else []
    return Evaluation(
        metrics,
        pd.DataFrame(rows),
        pd.DataFrame(confusion, columns=["actual", "predicted"]),
        pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["class", "recall", "precision"]),
    )
