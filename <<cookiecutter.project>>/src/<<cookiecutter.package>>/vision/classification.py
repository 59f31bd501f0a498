"""Classification networks: build and preprocess. timm gives the layers, training is next door."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError, nearest
from .model_file import ModelFile


def build(architecture: str, classes: list[str], pretrained: bool = False) -> Any:
    """A network of timm's for `classes`; `pretrained` fetches its ImageNet weights. Raises UserError."""
    import timm

    if not timm.is_model(architecture):
        raise UserError(
            f"model.architecture={architecture} is not one of timm's {len(timm.list_models())} models."
            f"{nearest(architecture, timm.list_models())}"
        )
    try:
        return timm.create_model(architecture, num_classes=len(classes), pretrained=pretrained)
    except Exception as error:
        if not pretrained:
            raise
        raise UserError(
            f"cannot fetch the weights of {architecture} ({error}): use model.weights=null or a file"
        ) from error


def load_network(model: ModelFile) -> Any:
    """The network of a model file, in eval mode: images (N, 3, S, S) float32 to logits (N, classes)."""
    assert isinstance(model.architecture, str)
    network = build(model.architecture, model.classes)
    network.load_state_dict(model.state_dict)
    return network.eval()


def preprocess(model: ModelFile, image: np.ndarray) -> np.ndarray:
    """An RGB image (H, W, 3) uint8, stretched to a square and normalised: (3, S, S) float32."""
    import torch

    from .augmentation import classification

    transform = classification(None, model.image_size, model.mean, model.std)
    return transform(torch.tensor(image).permute(2, 0, 1)).numpy()


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: logits (N, classes) to probabilities (N, classes)."""
    from scipy.special import softmax

    return softmax(logits.astype(np.float64), axis=-1)
