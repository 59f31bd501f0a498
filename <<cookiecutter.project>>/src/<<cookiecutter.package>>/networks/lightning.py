"""timm's networks of one output a class, which Lightning trains: what tasks share of building and feeding them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..shared.environment import project_root
from ..shared.errors import UserError, nearest
from ..shared.model_file import ModelFile


def build(architecture: str | dict[str, Any], classes: list[str], pretrained: bool = False) -> Any:
    """A network of timm's for `classes`; `pretrained` fetches its ImageNet weights. Raises UserError.

    In eval mode it takes images (N, 3, S, S) float32 and gives logits (N, classes).
    """
    import timm

    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise UserError(
            f"model.architecture={architecture} is not one of timm's {len(timm.list_models())} models."
            f"{nearest(str(architecture), timm.list_models())}"
        )
    if not pretrained:
        return timm.create_model(architecture, num_classes=len(classes))
    file = project_root() / ".cache" / "weights" / f"{architecture}.safetensors"
    brought = {"file": str(file)} if file.is_file() else None
    try:
        return timm.create_model(
            architecture, num_classes=len(classes), pretrained=True, pretrained_cfg_overlay=brought
        )
    except Exception as error:
        config = timm.get_pretrained_cfg(architecture)
        address = f"https://huggingface.co/{config.hf_hub_id}" if config and config.hf_hub_id else "its authors"
        raise UserError(
            f"cannot fetch the weights of {architecture} ({' '.join(str(error).split())[:200]}): "
            f"put model.safetensors of {address} there: {file}, or use model.weights=null or another file"
        ) from error


def preprocess(model: ModelFile, image: np.ndarray) -> np.ndarray:
    """An RGB image (H, W, 3) uint8, stretched to a square and normalised: (3, S, S) float32."""
    import torch

    transform = transforms(model.image_size, model.mean, model.std)
    return transform(torch.tensor(image).permute(2, 0, 1)).numpy()


def transforms(size: int, mean: list[float], std: list[float], between: Sequence[Any] = ()) -> Any:
    """An RGB image (3, H, W) uint8 to (3, `size`, `size`) float32; `between` are augmentations, on uint8."""
    import torch
    from torchvision.transforms import v2

    stretch = v2.Resize((size, size), antialias=True)
    return v2.Compose([stretch, *between, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])


def fuse(network: Any) -> Any:
    """The network as it is."""
    return network


def exportable(network: Any) -> Any:
    """The network as it is."""
    return network


def for_images(model: ModelFile, network: Any) -> Any:
    """What `preprocess` does is a part of the network then."""
    from ..inference import embedding  # no part of training

    return embedding.stretched(network, model.mean, model.std)


def ignored_scope(network: Any) -> Any:
    """None: every layer may be quantized."""
    return


def metadata(model: ModelFile) -> dict[str, Any]:
    """Nothing: no other program reads the folder."""
    return {}
