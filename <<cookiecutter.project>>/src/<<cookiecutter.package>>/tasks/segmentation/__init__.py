"""Instance segmentation: objects with classes and masks.

Labels lie beside the images, in <site>/<split>/labels/NAME.txt for <site>/<split>/images/NAME.png: rows of class, x1,
y1, x2, y2, …: an object's outline, as fractions of the image. A prediction is an image's objects (k,), best first, of
networks/masks.py's OBJECT: `box` is x1, y1, x2, y2 as fractions of the image, confidence, class; `mask` its pixels.
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

OBJECTS = "objects a class"
MAIN_METRICS = ("mAP50_95", "mAP50")
MINIMIZED = ()
DEFAULT_ENGINE = "ultralytics"
FIXED = {"resize": "letterbox", "interpolation": "bilinear"}


def write_labels(image: Path, sample: Sample) -> None:
    """Write the label file of a prepared image."""
    labels = label_file(image)
    labels.parent.mkdir(exist_ok=True)
    outlines: Sequence[np.ndarray] = getattr(sample, "outlines", ())
    labels.write_text(
        "".join(
            f"{int(label)} {' '.join(f'{value:.8g}' for value in outline.ravel())}\n"
            for label, outline in zip(sample.boxes[:, 0], outlines, strict=True)
        )
    )


def label_file(image: Path) -> Path:
    """Where a prepared image's outlines are."""
    return image.parent.parent / "labels" / f"{image.stem}.txt"


def outlines(item: Item) -> tuple[np.ndarray, list[np.ndarray]]:
    """The classes (n,) of a prepared image's objects, and their outlines (points, 2) as fractions of the image."""
    import numpy as np

    text = label_file(item.path).read_text(encoding="utf-8")
    rows = [np.array(line.split(), dtype=np.float32) for line in text.splitlines()]
    return np.array([row[0] for row in rows], dtype=np.float32), [row[1:].reshape(-1, 2) for row in rows]


def boxes(labels: np.ndarray, outlines: Sequence[np.ndarray]) -> np.ndarray:
    """The boxes around outlines: (n, 5) float32 rows of class, cx, cy, w, h as fractions of the image."""
    import numpy as np

    low = np.array([points.min(0) for points in outlines], dtype=np.float32).reshape(-1, 2)
    high = np.array([points.max(0) for points in outlines], dtype=np.float32).reshape(-1, 2)
    return np.column_stack([labels, (low + high) / 2, high - low])


def score(items: list[Item], predictions: list[np.ndarray], classes: list[str]) -> Evaluation:
    """Average precision of masks. Raises UserError where no image has an object."""
    from .evaluation.scoring import score

    return score(items, predictions, classes)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the objects that both see, as F1: the same class at a mask's IoU 0.5."""
    from ...inference.matching import agreement
    from .networks.masks import overlaps

    return agreement(one["box"], other["box"], overlaps(list(one["mask"]), list(other["mask"])))


def combine(members: Sequence[list[np.ndarray]], voting: str) -> list[np.ndarray]:
    """The members' boxes fused, image by image, whatever infer.voting is, with the masks of the surest of them.

    Raises UserError.
    """
    from .evaluation.fusion import fuse

    return [fuse(objects) for objects in zip(*members, strict=True)]
