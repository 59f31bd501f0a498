"""How good class probabilities are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ....inference.evaluation import Evaluation, most_confused, thinned
from ....metrics import calibration_error
from ....shared.prepared import Item


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Accuracy and F1, by scikit-learn; `confused` has the share of the images in each of the most confused pairs."""
    from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

    probabilities = np.stack(predictions)
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
    if scorer := calibration_error(per_image, "ece"):
        metrics["ece"] = float(scorer(np.ones((len(items), 1)))[0])
    confusion = per_image.filter(["actual", "predicted"])
    metrics["confused"] = most_confused(per_image)
    return Evaluation(metrics, per_image, confusion, pd.concat(curve, ignore_index=True))
