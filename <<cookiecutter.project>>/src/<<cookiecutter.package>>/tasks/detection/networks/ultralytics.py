"""Ultralytics' detection networks: built, fed, read and converted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from ....shared.errors import UserError
from ....shared.model_file import ModelFile
from ....shared.quiet_ultralytics import quiet_ultralytics
from .squares import GREY, in_image, preprocess

__all__ = ["preprocess"]  # the same for every engine

HEADS = ("Detect",)
OTHERS = re.compile(r"^(rtdetr|sam|fastsam|mobile_sam)|-(seg|pose|cls|obb)", re.IGNORECASE)  # for other tasks
CONFIDENCE, IOU, MAX_DETECTIONS = 0.001, 0.7, 300  # what Ultralytics' own validation uses


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
    quiet_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    cfg: Any = deepcopy(architecture)  # DetectionModel takes a mapping as well, and writes into it
    if isinstance(cfg, str) and "://" in cfg:  # it would be fetched
        raise UserError(f"model.architecture={cfg} is an address: expected a name such as yolo11n.yaml, or a mapping")
    if isinstance(cfg, str) and not cfg.endswith((".yaml", ".yml")):
        cfg = f"{cfg}.yaml"
    try:
        network = DetectionModel(cfg, ch=3, nc=len(classes), verbose=False)
    except FileNotFoundError as error:
        raise UserError(
            f"model.architecture={architecture} is unknown to Ultralytics: expected a name such as yolo11n"
        ) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"model.architecture can't be built: {' '.join(str(error).split())}") from error
    head = type(network.model[-1]).__name__  # type: ignore[index]
    if head not in HEADS:
        raise UserError(
            f"model.architecture={architecture if isinstance(architecture, str) else 'a mapping'} ends in {head}: the "
            f"task detection trains networks that end in {' or '.join(HEADS)}, such as yolo11n or yolov8s"
        )
    network.names = dict(enumerate(classes))
    return network


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Raw output (N, 4 + classes, anchors) to detections, one array (k, 6) an image, best first.

    The output has centre x, centre y, width, height in pixels of the S x S image, then a score in [0, 1] a class; a
    detection is x1, y1, x2, y2 as fractions of the original image, confidence, class. `shapes` are the original
    images' (height, width) in pixels. Non-maximum suppression by class, as in Ultralytics' validation.
    """
    import torch
    from ultralytics.utils.nms import non_max_suppression

    kept = non_max_suppression(
        torch.from_numpy(np.array(output)),
        CONFIDENCE,
        IOU,
        multi_label=True,
        max_det=MAX_DETECTIONS,
        max_time_img=1e6,  # a busy machine must not change the result
    )
    detections = []
    for rows, shape in zip(kept, shapes, strict=True):
        rows = np.asarray(rows, dtype=np.float64)
        rows[:, :4] = in_image(rows[:, :4], shape, model.image_size)
        detections.append(rows)
    return detections


def fuse(network: Any) -> Any:
    """The network with its batch norms fused into the convolutions."""
    return network.fuse(verbose=False)


def exportable(network: Any) -> Any:
    """The fused network, which gives the decoded boxes alone, without the raw feature maps."""
    network = fuse(network)
    network.model[-1].export = True
    return network


def for_images(model: ModelFile, network: Any) -> Any:
    """What `preprocess` does is a part of the network then. Its boxes stay in pixels of the S x S image."""
    from ....inference import embedding  # no part of training

    return embedding.letterboxed(network, model.image_size, GREY)


def ignored_scope(network: Any) -> Any:
    """The decoding of boxes and every sigmoid of an `openvino.Model`, not the head's convolutions.

    Box coordinates and scores share one output, and 8 bits for both ranges lose the boxes: mAP50-95 drops by a tenth
    (ultralytics#25306).
    """
    import nncf

    operations = network.get_ordered_ops()
    sigmoids = [operation.get_friendly_name() for operation in operations if operation.get_type_name() == "Sigmoid"]
    head = sigmoids[-1].split("/")[0]  # such as __module.model.23; the scores' sigmoid is the last one
    names = (operation.get_friendly_name() for operation in operations)
    decoding = [name for name in names if name.startswith((f"{head}/", f"{head}.dfl"))]
    return nncf.IgnoredScope(names=sorted({*sigmoids, *decoding}))


def metadata(model: ModelFile) -> dict[str, Any]:
    """What Ultralytics' own `val` and `predict` read."""
    return {
        "task": "detect",
        "stride": int(build(model.architecture, model.classes).stride.max()),
        "batch": 1,
        "imgsz": [model.image_size, model.image_size],
        "channels": 3,
        "names": dict(enumerate(model.classes)),
        "args": {},
    }
