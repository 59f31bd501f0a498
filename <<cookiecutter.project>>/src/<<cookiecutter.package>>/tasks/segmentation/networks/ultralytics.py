"""Ultralytics' segmentation networks: built, read and converted.

A network gives two things: objects, (N, 4 + classes + coefficients, anchors) as detection's with coefficients below,
and prototypes (N, coefficients, h, w), of which each object's mask is a weighted sum. To be compared and read they are
joined: the prototypes are further columns, with -1 where objects have coordinates and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....networks.ultralytics import build_as, described, detections, for_images, fuse, ignored_scope, preprocess
from ....shared.model_file import ModelFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["for_images", "fuse", "ignored_scope", "preprocess"]

HEADS = ("Segment",)


def unusable(architecture: str | Mapping[str, Any]) -> str:
    """Why an architecture is no segmentation network, as far as its name says it; empty where it doesn't."""
    if isinstance(architecture, Mapping):
        head = architecture.get("head")
        name = str(head[-1][2]) if head and len(head[-1]) > 2 else "no head"
        return "" if name in HEADS else f"a mapping that ends in {name}: expected {' or '.join(HEADS)}"
    if "-seg" not in architecture.lower():
        return f"{architecture} is no YOLO for masks: the task segmentation trains such as yolo11n-seg or yolov8s-seg"
    return ""


def build(architecture: str | dict[str, Any], classes: list[str]) -> Any:
    """An untrained network for `classes`. `architecture` as in ModelFile. Raises UserError for an unknown name."""
    example = "yolo11n-seg or yolov8s-seg"
    return build_as("SegmentationModel", architecture, classes, "segmentation", HEADS, example)


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """The joined output (N, 4 + classes + coefficients, columns) to objects, one array (k,) of OBJECT an image."""
    return [_objects(model, raw, shape) for raw, shape in zip(output, shapes, strict=True)]


def _objects(model: ModelFile, raw: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import numpy as np
    import torch
    from ultralytics.utils.ops import process_mask_native

    from .masks import OBJECT, Mask

    classes = len(model.classes)
    is_prototype = raw[4] < 0  # of all scores the first class's
    rows = detections(model, raw[:, ~is_prototype], shape, classes)
    prototypes = raw[4 + classes :, is_prototype]
    side = int(np.sqrt(prototypes.shape[1]))
    height, width = shape
    corners = torch.from_numpy(rows[:, :4] * [width, height, width, height])
    weights = torch.from_numpy(rows[:, 6:].astype(np.float32))
    masks = process_mask_native(torch.from_numpy(prototypes.reshape(-1, side, side).copy()), weights, corners, shape)
    objects = np.empty(len(rows), OBJECT)
    objects["box"] = rows[:, :6]
    for index, mask in enumerate(masks.numpy()):
        objects["mask"][index] = Mask.of(mask)
    return objects


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Objects, and prototypes as further columns: -1 above the weights, which no score is."""
    import numpy as np

    objects, prototypes = outputs
    columns = prototypes.reshape(*prototypes.shape[:2], -1)
    above = ((0, 0), (objects.shape[1] - columns.shape[1], 0), (0, 0))
    return np.concatenate([objects, np.pad(columns, above, constant_values=-1)], axis=2)


def metadata(model: ModelFile) -> dict[str, Any]:
    """What Ultralytics' own `val` and `predict` read."""
    return described(model, "segment", build(model.architecture, model.classes))
