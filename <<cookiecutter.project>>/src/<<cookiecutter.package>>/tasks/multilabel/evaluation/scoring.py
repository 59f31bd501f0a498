"""How good several labels an image are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ....inference.evaluation import Evaluation, most_confused, thinned
from ....metrics import Scorer, accuracy, calibration_error, f1, label_precision
from ....shared.errors import UserError
from ....shared.prepared import Item
from .. import present, said

Hook = Callable[[pd.DataFrame, str], Scorer | None]
NO_LABEL = "no label"  # in the confusion matrix: what is missed where nothing is added, and the other way round


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision over all thresholds, F1 at the model's own; metrics.py makes them of what each image adds.

    Classes without a test image have neither; `confused` has the share of the images in each of the most confused
    pairs. Raises UserError where no image has a label.
    """
    from sklearn.metrics import precision_recall_curve

    there, given = present(items, classes), np.stack([said(prediction) for prediction in predictions])
    probabilities = np.stack([prediction[0] for prediction in predictions])
    if not there.any():
        raise UserError(f"none of the {len(items)} test images has a label: there is nothing to measure")
    both, either = (there & given).sum(1), there.sum(1) + given.sum(1)
    names = np.array(classes)
    per_image = pd.DataFrame(
        {
            "path": [item.path.as_posix() for item in items],
            "site": [item.site for item in items],
            "actual": [list(names[row]) for row in there],
            "predicted": [list(names[row]) for row in given],
            "exact": (there == given).all(1),
            "f1": np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0),
            "confidence": list(probabilities),  # of each class
            "correct": list(there.astype(int)),  # whether it is there
        }
    )

    def value(of: Hook, metric: str) -> float:
        """A metric with each image once."""
        scorer = of(per_image, metric)
        assert scorer is not None, metric
        return float(scorer(np.ones((len(items), 1)))[0])

    curves, by_class = [], {}
    for index in np.flatnonzero(there.any(0)):
        name = classes[index]
        at, over, _ = precision_recall_curve(there[:, index], probabilities[:, index])
        curves.append(thinned(name, over[::-1], at[::-1]))
        by_class[name] = {"AP": value(label_precision, f"classes.{name}.AP")} | {
            key: value(f1, f"classes.{name}.{key}") for key in ("f1", "precision", "recall")
        }
    metrics = {
        "mAP": value(label_precision, "mAP"),
        "f1_macro": value(f1, "f1_macro"),
        "f1_micro": value(f1, "f1_micro"),
        "exact_match": value(accuracy, "exact_match"),
        "ece": value(calibration_error, "ece"),
        "images": len(items),
        "classes": by_class,
        "confused": most_confused(per_image),
    }
    return Evaluation(metrics, per_image, confusion(there, given, classes), pd.concat(curves, ignore_index=True))


def confusion(there: np.ndarray, given: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """A row (actual, predicted) for each label of an image that is seen, and each pair of a missed and an added one.

    Where an image has only missed or only added labels, the other side is NO_LABEL: as in Heydarian, Doyle and Samavi,
    MLCM: Multi-Label Confusion Matrix, IEEE Access 10, 2022. Unlike there, a label that is seen is confused with none,
    and each missed one is with every added one, whichever order the classes have.

    Args:
        there, given: which image has which class, and which it is given: (images, classes) bool.
    """
    nothing = NO_LABEL
    while nothing in classes:
        nothing = f"({nothing})"
    names, rows = np.array(classes), []
    for own, called in zip(there, given, strict=True):
        missed, added = names[own & ~called].tolist(), names[called & ~own].tolist()
        rows += [(name, name) for name in names[own & called].tolist()]
        if missed or added:
            rows += [(one, other) for one in missed or [nothing] for other in added or [nothing]]
    return pd.DataFrame(rows, columns=["actual", "predicted"])
