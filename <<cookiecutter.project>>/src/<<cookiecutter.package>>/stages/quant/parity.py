"""Whether a converted network says what PyTorch says, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...inference.evaluation import batches
from ...inference.predictor import Predictor, network_of
from ...shared import registry
from ...shared.prepared import Item, read_image


@dataclass(frozen=True)
class Both:
    """What both said. `expected` and `actual` have a prediction an image, of PyTorch and of the variant."""

    expected: list[np.ndarray]
    actual: list[np.ndarray]
    agreement: list[float]
    """Of each image, from 0 to 1, as its task defines it."""
    largest: float
    """The largest difference of two raw outputs, as a share of their range in PyTorch."""

    def summary(self) -> dict[str, float]:
        return {"largest_difference": self.largest, "agreement": float(np.mean(self.agreement))}


def ask(reference: Predictor, variant: Predictor, items: Sequence[Item], batch_size: int) -> Both:
    """Ask both of every item, in the same batches."""
    model = reference.model
    network, agree = network_of(model), registry.task(model.task).agreement
    expected: list[np.ndarray] = []
    actual: list[np.ndarray] = []
    largest, low, high = 0.0, np.inf, -np.inf
    for group in batches(list(items), batch_size):
        images = [read_image(item, needed=model.image_size) for item in group]
        batch = np.stack([network.preprocess(model, image) for image in images])
        theirs = reference(batch)
        ours = theirs if variant is reference else variant(batch)
        largest = max(largest, float(np.abs(theirs - ours).max()))
        low, high = min(low, float(theirs.min())), max(high, float(theirs.max()))
        shapes = [image.shape[:2] for image in images]
        expected += network.postprocess(model, theirs, shapes)
        actual += network.postprocess(model, ours, shapes)
    agreement = [agree(one, other) for one, other in zip(expected, actual, strict=True)]
    return Both(expected, actual, agreement, largest / (high - low) if high > low else 0.0)
