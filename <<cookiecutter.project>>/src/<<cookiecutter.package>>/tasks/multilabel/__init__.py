"""Multi-label classification: any number of labels an image.

Labels lie beside the images, in <site>/<split>/labels/NAME.txt for <site>/<split>/images/NAME.png: a class's name a
line. A prediction is (2, classes): each class's probability, and from which probability up the image has the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ...data.shared.dataset import Sample
    from ...inference.evaluation import Evaluation
    from ...shared.prepared import Item

OBJECTS = "images a class"
MAIN_METRICS = ("mAP", "f1_macro", "f1_micro")
MINIMIZED = ()
DEFAULT_ENGINE = "lightning"


def write_labels(image: Path, sample: Sample) -> None:
    """Write the label file of a prepared image."""
    labels = label_file(image)
    labels.parent.mkdir(exist_ok=True)
    labels.write_text("".join(f"{name}\n" for name in sample.objects(())), encoding="utf-8")


def label_file(image: Path) -> Path:
    """Where a prepared image's labels are."""
    return image.parent.parent / "labels" / f"{image.stem}.txt"


def present(items: Sequence[Item], classes: Sequence[str]) -> np.ndarray:
    """Which image has which class: (images, classes) bool."""
    import numpy as np

    labels = [set(label_file(item.path).read_text(encoding="utf-8").splitlines()) for item in items]
    return np.array([[name in own for name in classes] for own in labels]).reshape(len(items), len(classes))


def said(prediction: np.ndarray) -> np.ndarray:
    """Which classes a prediction gives an image: (classes,) bool."""
    probabilities, thresholds = prediction
    return probabilities >= thresholds


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision and F1. Raises UserError where no image has a label."""
    from .evaluation.scoring import score

    return score(items, predictions, classes)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the classes of which both say the same."""
    return float((said(one) == said(other)).mean())


def combine(members: Sequence[list[np.ndarray]], voting: str) -> list[np.ndarray]:
    """The members' joint probabilities and thresholds by infer.voting. Raises UserError."""
    import numpy as np

    from .evaluation.voting import vote

    return list(vote(np.array(members), voting))
