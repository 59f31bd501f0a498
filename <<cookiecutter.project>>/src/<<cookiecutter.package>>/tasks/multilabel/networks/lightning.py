"""timm's networks with an output a label, which Lightning trains: what is read from their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....networks.lightning import build, for_images, fuse, ignored_scope, joined, metadata, preprocess, transforms
from ....shared.model_file import ModelFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["build", "for_images", "fuse", "ignored_scope", "joined", "metadata", "preprocess", "transforms"]

THRESHOLD = "threshold"  # of a model file's metrics: what the validation split chose


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Logits (N, classes) to an array (2, classes) an image: probabilities, and the threshold that training chose."""
    import numpy as np
    from scipy.special import expit

    probabilities = expit(output.astype(np.float64))
    thresholds = np.full_like(probabilities, model.metrics.get(THRESHOLD, 0.5))
    return list(np.stack([probabilities, thresholds], axis=1))
