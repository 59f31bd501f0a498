"""torchvision's detectors: built, fed, read and converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....networks.squares import GREY, in_image, preprocess
from ....shared.model_file import ModelFile
from .architectures import unusable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["preprocess", "unusable"]

CONFIDENCE, IOU, MAX_DETECTIONS = 0.001, 0.6, 300
LEARNED = ("Convolution", "GroupConvolution", "Constant", "Parameter")  # where the search for decoding ends
MOST_CANDIDATES = 3000  # of an image, before non-maximum suppression


def build(architecture: str | dict[str, Any], classes: list[str]) -> Any:
    """An untrained network for `classes`. `architecture` as in ModelFile. Raises UserError for an unknown one."""
    from . import detectors

    return detectors.build(architecture, len(classes))


def postprocess(model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Raw output (N, 4 + classes, boxes) to detections, one array (k, 6) an image, best first.

    The output is as `detectors.Detector` has it; a detection is x1, y1, x2, y2 as fractions of the original image,
    confidence, class. `shapes` are the original images' (height, width) in pixels. Non-maximum suppression by class.
    """
    import numpy as np
    import torch
    from torchvision.ops import batched_nms, box_convert

    detections = []
    for rows, shape in zip(torch.from_numpy(np.array(output)), shapes, strict=True):
        boxes, scores = box_convert(rows[:4].T, "cxcywh", "xyxy").clamp(0, model.image_size), rows[4:].T
        which, labels = torch.nonzero(scores > CONFIDENCE, as_tuple=True)
        sure, best = scores[which, labels].sort(descending=True, stable=True)
        which, labels, sure = which[best][:MOST_CANDIDATES], labels[best][:MOST_CANDIDATES], sure[:MOST_CANDIDATES]
        kept = batched_nms(boxes[which], sure, labels, IOU)[:MAX_DETECTIONS]
        corners = in_image(boxes[which[kept]].double().numpy(), shape, model.image_size)
        detections.append(np.column_stack([corners, sure[kept].double().numpy(), labels[kept].numpy()]))
    return detections


def fuse(network: Any) -> Any:
    """The network as it is."""
    return network


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The only one."""
    return outputs[0]


def for_images(model: ModelFile, network: Any) -> Any:
    """What `preprocess` does is a part of the network then. Its boxes stay in pixels of the S x S image."""
    from ....inference import embedding  # no part of training

    return embedding.letterboxed(network, model.image_size, GREY)


def ignored_scope(network: Any) -> Any:
    """What is made of the heads' outputs in an `openvino.Model`: anchors and scores become boxes, in FP32.

    Coordinates in pixels and scores share the output, and 8 bits for both ranges would lose the boxes.
    """
    import nncf

    names: set[str] = set()
    seen: set[str] = set()
    ahead = [result.input_value(0).get_node() for result in network.get_results()]
    while ahead:
        operation = ahead.pop()
        name = operation.get_friendly_name()
        if operation.get_type_name() in LEARNED or name in seen:
            continue
        seen.add(name)
        if operation.get_type_name() != "MatMul":  # of Faster R-CNN's second stage, before which boxes choose features
            names.add(name)
        ahead += [value.get_node() for value in operation.input_values()]
    return nncf.IgnoredScope(names=sorted(names))


def metadata(model: ModelFile) -> dict[str, Any]:
    """Nothing: no other program reads the folder."""
    return {}
