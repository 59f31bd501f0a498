"""timm's networks of one output a class, which Lightning trains: what tasks share of building and feeding them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..shared.environment import project_root
from ..shared.errors import UserError, nearest
from ..shared.model_file import ModelFile
from .squares import GREY

if TYPE_CHECKING:
    import numpy as np


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
    """An RGB image (H, W, 3) uint8, fitted into a square and normalised: (3, S, S) float32."""
    import torch

    return transforms(model)(torch.tensor(image).permute(2, 0, 1)).numpy()


def transforms(model: ModelFile, between: Sequence[Any] = ()) -> Any:
    """An RGB image (3, H, W) uint8 to (3, S, S) float32; `between` are augmentations, on the uint8 square."""
    import torch
    from torchvision.transforms import v2

    fit = partial(fitted, size=model.image_size, resize=model.resize, interpolation=model.interpolation)
    return v2.Compose([fit, *between, v2.ToDtype(torch.float32, scale=True), v2.Normalize(model.mean, model.std)])


def fitted(image: Any, size: int, resize: str, interpolation: str) -> Any:
    """An image (3, H, W) uint8 as a square (3, `size`, `size`): stretched, with grey beside it, or its middle."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    height, width = sides = image.shape[-2:]
    if resize == "stretch":
        height = width = size
    else:
        fitting = max(sides) if resize == "letterbox" else min(sides)
        height, width = (max(1, round(side * size / fitting)) for side in sides)
    resized = functional.resize(image, [height, width], InterpolationMode(interpolation), antialias=True)
    if resize == "letterbox":
        top, left = (round((size - side) / 2 - 0.1) for side in (height, width))
        return functional.pad(resized, [left, top, size - width - left, size - height - top], fill=GREY)
    top, left = (height - size) // 2, (width - size) // 2
    return resized[..., top : top + size, left : left + size]


def fuse(network: Any) -> Any:
    """The network as it is."""
    return network


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The only one."""
    return outputs[0]


def for_images(model: ModelFile, network: Any) -> Any:
    """What `preprocess` does is a part of the network then."""
    from ..inference import embedding  # no part of training

    return embedding.fitted(network, model)


def ignored_scope(network: Any) -> Any:
    """None: every layer may be quantized."""
    return


def metadata(model: ModelFile) -> dict[str, Any]:
    """Nothing: no other program reads the folder."""
    return {}
