"""Ultralytics' detection networks: built, read and converted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....networks.ultralytics import build_as, described, detections, for_images, fuse, ignored_scope, preprocess
from ....shared.model_file import ModelFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["for_images", "fuse", "ignored_scope", "preprocess"]

HEADS = ("Detect",)
OTHERS = re.compile(r"^(rtdetr|sam|fastsam|mobile_sam)|-(seg|pose|cls|obb)", re.IGNORECASE)  # for other tasks


def unusable(architecture: str | Mapping[str, Any]) -> str:
    """Why an architecture is no detector that can be trained, as far as its name says it; empty where it doesn't."""
    if isinstance(architecture, Mapping):
        head = architecture.get("head")
        name = str(head[-1][2]) if head and len(head[-1]) > 2 else "no head"
        return "" if name in HEADS else f"a mapping that ends in {name}: expected {' or '.join(HEADS)}"
    if OTHERS.search(architecture):
        return f"{architecture} is no YOLO for boxes: the task detection trains such as yolo11n or yolov8s"
    return ""


def build(architecture: str | dict[str, Any], classes: list[str]) -> Any:
    """An untrained network for `classes`. `architecture` as in ModelFile. Raises UserError for an unknown name."""
    return build_as("DetectionModel", architecture, classes, "detection", HEADS, "yolo11n or yolov8s")


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Raw output (N, 4 + classes, anchors) to detections, one array (k, 6) an image, best first."""
    return [detections(model, raw, shape, len(raw) - 4) for raw, shape in zip(output, shapes, strict=True)]


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The only one."""
    return outputs[0]


def metadata(model: ModelFile) -> dict[str, Any]:
    """What Ultralytics' own `val` and `predict` read."""
    return described(model, "detect", build(model.architecture, model.classes))
