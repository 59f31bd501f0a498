"""Detection: boxes with classes.

Labels lie beside the images, in <site>/<split>/labels/NAME.txt for <site>/<split>/images/NAME.png: rows of class, cx,
cy, w, h as fractions of the image. A prediction is an image's detections (k, 6), best first: x1, y1, x2, y2 as
fractions of the image (boxes may reach beyond it), confidence, class.
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

OBJECTS = "boxes a class"
MAIN_METRICS = ("mAP50_95", "mAP50")
MINIMIZED = ()
DEFAULT_ENGINE = "ultralytics"
FIXED = {"resize": "letterbox", "interpolation": "bilinear"}


def write_labels(image: Path, sample: Sample) -> None:
    """Write the label file of a prepared image."""
    labels = label_file(image)
    labels.parent.mkdir(exist_ok=True)
    labels.write_text(label_rows(sample.boxes))


def label_file(image: Path) -> Path:
    """Where a prepared image's boxes are."""
    return image.parent.parent / "labels" / f"{image.stem}.txt"


def label_rows(boxes: np.ndarray) -> str:
    """A label file's text for boxes (n, 5): rows of class, cx, cy, w, h."""
    return "".join(f"{int(label)} {' '.join(f'{value:.8g}' for value in box)}\n" for label, *box in boxes)


def boxes(item: Item) -> np.ndarray:
    """The boxes of a prepared image: (n, 5) float32 rows of class, cx, cy, w, h as fractions of the image."""
    import numpy as np

    text = label_file(item.path).read_text(encoding="utf-8")
    return np.array([line.split() for line in text.splitlines()], dtype=np.float32).reshape(-1, 5)


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision. Raises UserError where no image has an object."""
    from .evaluation.scoring import score

    return score(items, predictions, classes)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the objects that both see, as F1: the same class at IoU 0.5, from the confidence that is shown."""
    from ...inference.matching import agreement

    return agreement(one, other)


def combine(members: Sequence[list[np.ndarray]], voting: str) -> list[np.ndarray]:
    """The members' boxes fused, image by image, whatever infer.voting is. Raises UserError."""
    from ...inference.fusion import fuse_boxes

    return [fuse_boxes(detections) for detections in zip(*members, strict=True)]
