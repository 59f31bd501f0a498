"""timm's classification networks, which Lightning trains: what is read from their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....networks.lightning import build, for_images, fuse, ignored_scope, joined, metadata, preprocess, transforms
from ....shared.model_file import ModelFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["build", "for_images", "fuse", "ignored_scope", "joined", "metadata", "preprocess", "transforms"]


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Logits (N, classes) to probabilities, one array (classes,) an image."""
    from scipy.special import softmax

    return list(softmax(output.astype("float64"), axis=-1))
