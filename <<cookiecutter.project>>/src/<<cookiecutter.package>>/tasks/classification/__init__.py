"""Classification: one label an image.

Labels are the folders: <site>/<split>/<class>/NAME.png. A prediction is an image's class probabilities (classes,).
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
MAIN_METRICS = ("f1_macro", "accuracy")
MINIMIZED = ()
DEFAULT_ENGINE = "lightning"


def write_labels(image: Path, sample: Sample) -> None:
    """Nothing: an image's folder is its label."""


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Accuracy and F1."""
    from .evaluation.scoring import score

    return score(items, predictions, classes)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Whether both put the same class first."""
    return float(one.argmax() == other.argmax())


def combine(members: Sequence[list[np.ndarray]], voting: str) -> list[np.ndarray]:
    """The members' joint probabilities by infer.voting. Raises UserError."""
    import numpy as np

    from .evaluation.voting import vote

    return list(vote(np.array(members), voting))
